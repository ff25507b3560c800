"""Requests as they were sent to a provider, as messages and parameters of a chat completion.

Chat completions (with OpenAI's older text completions), the Responses API and Anthropic's messages,
as documented in November 2026.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equirouter.data.logs.fields import parsed
from equirouter.errors import FieldError

_NOT_PARAMETERS = frozenset(
    ("model", "messages", "stream", "stream_options", "input", "prompt", "system", "instructions")
)
_RENAMED = {"max_output_tokens": "max_completion_tokens"}


def request_of(body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Messages and parameters of a request; no messages where the body has none."""
    for name in ("messages", "input", "prompt"):
        content = parsed(body.get(name))
        if content:
            messages = as_messages(content)
            break
    else:
        return [], {}
    instructions = parsed(body.get("instructions") or body.get("system"))
    if instructions:
        messages.insert(0, {"role": "system", "content": _content(instructions)})
    return messages, parameters_of(body)


def parameters_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request beside its messages; tools in the form of chat completions."""
    parameters = {
        _RENAMED.get(name, name): value
        for name, value in body.items()
        if name not in _NOT_PARAMETERS and value is not None
    }
    tools = parsed(parameters.get("tools"))
    if isinstance(tools, list):
        parameters["tools"] = [_tool(tool) for tool in tools]
    return parameters


def _tool(tool: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """A function as chat completions declare it; Anthropic and the Responses API are flatter."""
    if not isinstance(tool, Mapping) or "function" in tool or "name" not in tool:
        return tool
    schema = tool.get("parameters") or tool.get("input_schema") or {}
    about = {"description": tool["description"]} if tool.get("description") else {}
    return {"type": "function", "function": {"name": tool["name"], **about, "parameters": schema}}


def as_messages(content: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """A conversation in any of its forms: a text, or a list of messages or items.

    Raises FieldError for anything else.
    """
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    if not isinstance(content, Sequence):
        raise FieldError(f"the messages are a {type(content).__name__}, a list is expected")
    if all(isinstance(part, str) for part in content):
        return [{"role": "user", "content": part} for part in content]
    messages: list[dict[str, Any]] = []
    for place, part in enumerate(content):
        if not isinstance(part, Mapping):
            raise FieldError(
                f"message {place + 1} is a {type(part).__name__}, an object is expected"
            )
        messages.extend(_messages_of(part, place))
    return messages


def _messages_of(item: Mapping[str, Any], place: int) -> Iterator[dict[str, Any]]:
    """The messages that one message, or one item of the Responses API, stands for."""
    kind = item.get("type", "message")
    if kind == "function_call":
        yield _calling([(item.get("call_id"), item.get("name"), item.get("arguments"))])
    elif kind == "function_call_output":
        yield _result(item.get("call_id"), item.get("output"))
    elif kind == "reasoning":
        return
    elif not isinstance(item.get("role"), str):
        raise FieldError(f"message {place + 1} has no role; found {', '.join(map(repr, item))}")
    elif isinstance(item.get("content"), list):
        yield from _from_parts(item)
    else:
        yield {name: value for name, value in item.items() if name != "type"}


def _from_parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A message of parts; Anthropic's uses and results of tools become messages of their own."""
    parts = [part for part in message["content"] if isinstance(part, Mapping)]
    for part in parts:
        if part.get("type") == "tool_result":
            yield _result(part.get("tool_use_id"), part.get("content"))
    calls = [
        (part.get("id"), part.get("name"), part.get("input"))
        for part in parts
        if part.get("type") == "tool_use"
    ]
    content = _content([p for p in parts if p.get("type") not in _OF_TOOLS])
    if calls:
        yield {**_calling(calls), "content": content or None}
    elif content or not parts:
        others = {name: value for name, value in message.items() if name != "type"}
        yield {**others, "content": content}


_OF_TOOLS = ("tool_result", "tool_use", "thinking", "redacted_thinking")


def _content(content: Any) -> Any:  # noqa: ANN401
    """Content in the form of chat completions: a text, or parts of text and pictures."""
    if not isinstance(content, list):
        return content
    parts = [_part(part) if isinstance(part, Mapping) else part for part in content]
    texts = [part["text"] for part in parts if isinstance(part, Mapping) and _is_text(part)]
    return "\n".join(texts) if len(texts) == len(parts) else parts


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text", "")}
    if kind == "text":
        return {"type": "text", "text": part.get("text", "")}
    if kind == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    source = part.get("source")
    if kind == "image" and isinstance(source, Mapping):
        url = source.get("url")
        if url is None:
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    return part


def _calling(calls: Sequence[tuple[Any, Any, Any]]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": identity,
                "type": "function",
                "function": {"name": name, "arguments": _as_text(arguments)},
            }
            for identity, name, arguments in calls
        ],
    }


def _result(identity: Any, content: Any) -> dict[str, Any]:  # noqa: ANN401
    content = _content(content)
    text = content if isinstance(content, str) else _as_text(content)
    return {"role": "tool", "tool_call_id": identity, "content": text}


def _as_text(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
