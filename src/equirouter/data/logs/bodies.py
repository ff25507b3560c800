"""Requests as they were sent to a provider, as messages and parameters of a chat completion.

Chat completions (with OpenAI's older text completions), the Responses API and Anthropic's messages,
as documented in November 2026.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

from equirouter.data.logs.base import Fields, parsed
from equirouter.errors import FieldError

_NOT_PARAMETERS = frozenset(
    ("model", "messages", "stream", "stream_options", "input", "prompt", "system", "instructions")
)
_RENAMED = {"max_output_tokens": "max_completion_tokens"}


def request_of(body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Messages and parameters of a request; no messages where the body has none."""
    for name in ("messages", "input", "prompt"):
        content = conversation_in(body.get(name))
        if isinstance(content, Mapping):
            content = body[name]  # the text was an object of the user's
        if content:
            messages = as_messages(content)
            break
    else:
        return [], {}
    instructions = parsed(body.get("instructions") or body.get("system"))
    if instructions:
        messages.insert(0, {"role": "system", "content": _content(instructions)})
    return messages, parameters_of(body)


def conversation_in(value: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """A conversation; JSON in a text is parsed, but for a list of anything but messages."""
    content = parsed(value)
    is_data = isinstance(content, list) and not all(map(_is_item, content))
    return value if is_data and isinstance(value, str) else content


def _is_item(part: Any) -> bool:  # noqa: ANN401
    return isinstance(part, Mapping) and ("role" in part or "type" in part)


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
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else part
        for part in message["content"]
        if part is not None
    ]
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


class ReplyFields(TypedDict, total=False):
    """Fields of a LoggedRequest that an answer says."""

    model: str | None
    answer: str | None
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None


def reply_of(response: Any) -> ReplyFields:  # noqa: ANN401  # whatever JSON can hold
    """The fields that an answer says of itself; {} for nothing, or an answer that is an error."""
    document = parsed(response)
    if isinstance(response, str) and isinstance(document, list) and any(map(_is_plain, document)):
        return ReplyFields(answer=response)
    reply = _reply_in(document)
    if reply is not None or not isinstance(response, str) or not document:
        return reply or ReplyFields()
    is_error = isinstance(document, Mapping) and "error" in document
    return ReplyFields() if is_error else ReplyFields(answer=response)  # the model wrote JSON


def _is_plain(part: Any) -> bool:  # noqa: ANN401
    return not isinstance(part, Mapping)


def _reply_in(response: Any) -> ReplyFields | None:  # noqa: ANN401
    """Reply out of a provider's answer; None for whatever is none."""
    if isinstance(response, list):
        response = {"output": response} if _is_output(response) else {"content": response}
        if "content" in response and not text_of(response["content"]):
            return None
    if not isinstance(response, Mapping):
        return None
    response = Fields(response)
    message = _said(response)
    if message is None:
        return None
    answer, reason = message
    usage = response.inner("usage")
    return ReplyFields(
        model=response.named("model"),
        answer=answer,
        finish_reason=reason,
        input_tokens=_input_tokens(usage),
        output_tokens=usage.whole("completion_tokens", "output_tokens"),
    )


def text_of(content: Any) -> str:  # noqa: ANN401
    """The text of a message's content; "" where it has none."""
    if isinstance(content, str):
        return content
    return "\n".join(_texts(content)) if isinstance(content, list) else ""


def _is_output(parts: list[Any]) -> bool:
    return any(isinstance(part, Mapping) and part.get("type") == "message" for part in parts)


def _texts(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            if part.get("type") not in ("thinking", "reasoning", "summary_text"):
                yield part["text"]
        elif isinstance(part, str):
            yield part


def _said(response: Fields) -> tuple[str, str | None] | None:
    """The text of an answer and why it ended; None where the response holds no answer."""
    choices = response.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        choice = Fields(choices[0])
        message = choice.get("message")
        content = message.get("content") if isinstance(message, Mapping) else choice.get("text")
        return text_of(content), choice.named("finish_reason")
    output = response.get("output")
    if isinstance(output, list):
        spoken = [o for o in output if isinstance(o, Mapping) and o.get("type") == "message"]
        text = "\n".join(filter(None, (text_of(part.get("content")) for part in spoken)))
        return text, _ended(response, calls=len(spoken) < len(output) and not spoken)
    if "content" in response or "tool_calls" in response:
        return text_of(response.get("content")), response.named("stop_reason", "finish_reason")
    return None


def _ended(response: Fields, *, calls: bool) -> str | None:
    """Why an answer of the Responses API ended, in the words of chat completions."""
    why = response.inner("incomplete_details").named("reason")
    if why is not None:
        return "length" if why == "max_output_tokens" else why
    if response.get("status") == "completed":
        return "tool_calls" if calls else "stop"
    return response.named("status")


def _input_tokens(usage: Fields) -> int | None:
    """Anthropic counts what a cache read and wrote beside the input; others within it."""
    tokens = usage.whole("prompt_tokens", "input_tokens")
    if tokens is None or "prompt_tokens" in usage:
        return tokens
    cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return tokens + sum(usage.whole(name) or 0 for name in cached)
