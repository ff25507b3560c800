"""A request of the Responses API as a chat completion, as far as there is one that means the same.

What changes the answer and has no place in a chat completion is refused by as_chat, but for what
left_out names.
"""

from collections.abc import Mapping
from typing import Any

from equirouter.errors import NoChatError
from equirouter.serve.call.translation.reading import of_type, only, taken_object, taken_text
from equirouter.serve.call.translation.responses.tools import (
    LEFT_OUT_ITEMS,
    chat_tools,
    is_left_out,
    past_arguments,
)

__all__ = ["as_chat", "left_out"]

_Object = dict[str, Any]

_FIELDS = "model input instructions tools tool_choice parallel_tool_calls text max_output_tokens"
_FIELDS += " temperature top_p reasoning user safety_identifier service_tier stream equirouter"
# These change nothing in what is answered: labels and the keeping of a stored answer, of which
# there is none, and hints for a provider's cache, which many a provider refuses to be given.
_LEFT_OUT = "metadata store prompt_cache_key prompt_cache_retention client_metadata include"
_FIELDS += " stream_options"
_TAKEN = frozenset(f"{_FIELDS} {_LEFT_OUT}".split())
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "background": (False,),
    "truncation": ("disabled",),
    "top_logprobs": (0,),
    "context_management": ([],),
}
# Reasoning that is shown, or kept to be sent back, changes no answer; of a search there is nothing.
_INCLUDED = ("reasoning.encrypted_content", "web_search_call.")
_SAME_NAME = ("temperature", "top_p", "user", "safety_identifier", "service_tier")
_OF_MESSAGES = frozenset({"type", "id", "role", "content", "status", "phase"})
_CALLS = {
    "function_call": frozenset(
        {"type", "id", "call_id", "name", "namespace", "arguments", "status"}
    ),
    "custom_tool_call": frozenset(
        {"type", "id", "call_id", "name", "namespace", "input", "status"}
    ),
    "local_shell_call": frozenset({"type", "id", "call_id", "action", "status"}),
}
_OF_CALLS_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "async": (False,),
    "caller": ({"type": "direct"},),
}
_OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
_OF_OUTPUTS = frozenset({"type", "id", "call_id", "name", "output", "status"})
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_CACHED = "prompt_cache_breakpoint"  # another hint
_OF_PARTS = frozenset({"type", "text", "refusal", "annotations", "logprobs", _CACHED})
_OF_IMAGES = frozenset({"type", "image_url", "detail", _CACHED})
_OF_FILES = frozenset({"type", "filename", "file_data", _CACHED})


def as_chat(request: Mapping[str, Any]) -> _Object:
    """The body of the chat completion that asks the same; without a stream's options.

    request: a body that `responses_request` has read. Raises NoChatError that names the field.
    """
    only(request, _TAKEN, _NEUTRAL)
    _check_wishes(request)
    chat: _Object = {"model": request["model"], "messages": _messages(request)}
    chat |= {name: request[name] for name in _SAME_NAME if request.get(name) is not None}
    if request.get("max_output_tokens") is not None:
        # and not max_completion_tokens: every compatible provider keeps to this one, and what is
        # reserved for the call counts on it
        chat["max_tokens"] = request["max_output_tokens"]
    chat |= chat_tools(request)
    chat |= _text(request.get("text"))
    reasoning = taken_object(request.get("reasoning"), "reasoning")
    only(
        reasoning,
        {"effort", "summary"},
        {"context": ("auto",), "mode": ("standard",)},
        "reasoning.",
    )
    if reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    if request.get("stream"):
        chat["stream"] = True
    return chat


def left_out(request: Mapping[str, Any]) -> list[str]:
    """Names of what as_chat leaves out of a request though it asks for something, each once."""
    items, tools = request.get("input"), request.get("tools")
    named = [name for name in ("client_metadata", "stream_options") if request.get(name)]
    named += [f"tools.{tool['type']}" for tool in tools or () if is_left_out(tool)]
    for item in items if isinstance(items, list) else ():
        kind = item.get("type") if isinstance(item, dict) else None
        if isinstance(kind, str) and kind in LEFT_OUT_ITEMS:
            named.append(f"input.{kind}")
    return list(dict.fromkeys(named))


def _check_wishes(request: Mapping[str, Any]) -> None:
    """Refuse wishes for the answer that nobody could fulfil."""
    options = taken_object(request.get("stream_options"), "stream_options")
    only(options, {"include_obfuscation", "include_usage"}, place="stream_options.")
    included = request.get("include") or []
    if not isinstance(included, list):
        raise NoChatError("include of this form")
    for wish in included:
        if not isinstance(wish, str) or not wish.startswith(_INCLUDED):
            raise NoChatError(f"include of {str(wish)[:60]}")


def _text(given: object) -> _Object:
    """response_format and verbosity."""
    text = taken_object(given, "text")
    only(text, {"format", "verbosity"}, place="text.")
    chat: _Object = {}
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    form = taken_object(text.get("format"), "text.format")
    kind = form.get("type", "text")
    if kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        only(form, {"type", "name", "schema", "description", "strict"}, place="text.format.")
        schema = {name: value for name, value in form.items() if name != "type"}
        schema = {name: value for name, value in schema.items() if value is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind != "text":
        raise of_type("text.format", kind)
    return chat


def _messages(request: Mapping[str, Any]) -> list[_Object]:
    messages: list[_Object] = []
    instructions = request.get("instructions")
    if instructions:
        text = taken_text(instructions, "instructions")
        messages.append({"role": "system", "content": text})
    given = request.get("input")
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    if not isinstance(given, list):
        raise NoChatError("input of this form")
    for number, item in enumerate(given):
        _add(messages, taken_object(item, f"input[{number}]"), f"input[{number}]")
    return messages


def _add(messages: list[_Object], item: _Object, place: str) -> None:
    """Say an item at the end of the conversation."""
    kind = item.get("type", "message")
    if kind == "message":
        only(item, _OF_MESSAGES, place=f"{place}.")
        _add_message(messages, item, place)
    elif isinstance(kind, str) and kind in _CALLS:
        only(item, _CALLS[kind], _OF_CALLS_NEUTRAL, f"{place}.")
        _add_call(messages, item, place)
    elif kind in _OUTPUTS:
        only(item, _OF_OUTPUTS, _OF_CALLS_NEUTRAL, f"{place}.")
        call_id = taken_text(item.get("call_id") or item.get("id"), f"{place}.call_id")
        content = _content(item.get("output"), f"{place}.output", texts_only=True)
        messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
    elif kind != "reasoning" and not (isinstance(kind, str) and kind in LEFT_OUT_ITEMS):
        # there is no place for these, and no need: models answer without
        raise of_type(place, kind)


def _add_message(messages: list[_Object], item: _Object, place: str) -> None:
    role = _ROLES.get(item["role"]) if isinstance(item.get("role"), str) else None
    if role is None:
        raise NoChatError(f"{place}.role {str(item.get('role'))[:60]}")
    if role != "assistant":
        content = _content(item.get("content"), f"{place}.content", texts_only=role == "system")
        messages.append({"role": role, "content": content})
        return
    content = _content(item.get("content"), f"{place}.content", texts_only=True)
    if not isinstance(content, str):
        content = "".join(part["text"] for part in content)
    if messages and messages[-1].get("tool_calls"):  # nothing may stand between calls and results
        messages[-1]["content"] = (messages[-1]["content"] or "") + content
    else:
        messages.append({"role": role, "content": content})


def _add_call(messages: list[_Object], item: _Object, place: str) -> None:
    """A call, within the message of the assistant that it belongs to."""
    name, arguments = past_arguments(item, place)
    call_id = taken_text(item.get("call_id"), f"{place}.call_id")
    function = {"name": name, "arguments": arguments}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    calls = messages[-1].setdefault("tool_calls", [])
    calls.append({"id": call_id, "type": "function", "function": function})


def _content(value: object, place: str, *, texts_only: bool) -> str | list[_Object]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise NoChatError(f"{place} of this form")
    parts = [
        _part(taken_object(part, f"{place}[{number}]"), f"{place}[{number}]", texts_only=texts_only)
        for number, part in enumerate(value)
    ]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _part(part: _Object, place: str, *, texts_only: bool) -> _Object:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _TEXTS:
        only(part, _OF_PARTS, place=f"{place}.")
        return {
            "type": "text",
            "text": taken_text(part.get(_TEXTS[kind]), f"{place}.{_TEXTS[kind]}"),
        }
    if texts_only:
        raise of_type(place, kind)
    if kind == "input_image":
        only(part, _OF_IMAGES, place=f"{place}.")
        image = {"url": taken_text(part.get("image_url"), f"{place}.image_url")}
        if part.get("detail") not in (None, "auto"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_audio":
        only(part, {"type", "input_audio"}, place=f"{place}.")
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    if kind == "input_file":
        only(part, _OF_FILES, {"detail": ("auto",)}, f"{place}.")
        file = {name: part[name] for name in ("filename", "file_data") if part.get(name)}
        taken_text(file.get("file_data"), f"{place}.file_data")
        return {"type": "file", "file": file}
    raise of_type(place, kind)
