"""A request of the Responses API as a chat completion, as far as there is one that means the same.

What changes the answer and has no place in a chat completion is never left out: as_chat names it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from equirouter.errors import NoChatError

__all__ = ["as_chat"]

_Object = dict[str, Any]

_FIELDS = "model input instructions tools tool_choice parallel_tool_calls text max_output_tokens"
_FIELDS += " temperature top_p reasoning user safety_identifier service_tier stream equirouter"
# These change nothing in what is answered: labels and the keeping of a stored answer, of which
# there is none, and hints for a provider's cache, which many a provider refuses to be given.
_LEFT_OUT = "metadata store prompt_cache_key prompt_cache_retention"
_TAKEN = frozenset(f"{_FIELDS} {_LEFT_OUT}".split())
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "background": (False,),
    "truncation": ("disabled",),
    "top_logprobs": (0,),
    # reasoning that is shown, or kept to be sent back, changes no answer
    "include": ([], ["reasoning.encrypted_content"]),
    "context_management": ([],),
    "stream_options": ({}, {"include_obfuscation": False}),
}
_SAME_NAME = ("temperature", "top_p", "user", "safety_identifier", "service_tier")
_OF_TOOLS = frozenset({"type", "name", "description", "parameters", "strict"})
_OF_TOOLS_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "defer_loading": (False,),
    "async": (False,),
    "allowed_callers": ([], ["direct"]),
}
_OF_MESSAGES = frozenset({"type", "id", "role", "content", "status", "phase"})
_OF_CALLS = frozenset({"type", "id", "call_id", "name", "arguments", "status"})
_OF_CALLS_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "async": (False,),
    "caller": ({"type": "direct"},),
}
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
    _only(request, _TAKEN, _NEUTRAL)
    chat: _Object = {"model": request["model"], "messages": _messages(request)}
    chat |= {name: request[name] for name in _SAME_NAME if request.get(name) is not None}
    if request.get("max_output_tokens") is not None:
        # and not max_completion_tokens: every compatible provider keeps to this one, and what is
        # reserved for the call counts on it
        chat["max_tokens"] = request["max_output_tokens"]
    chat |= _tools(request)
    chat |= _text(request.get("text"))
    reasoning = _object(request.get("reasoning"), "reasoning")
    _only(
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


def _only(
    document: Mapping[str, Any],
    taken: Iterable[str],
    neutral: Mapping[str, tuple[object, ...]] | None = None,
    place: str = "",
) -> None:
    """Refuse every other field that is not null. neutral: values that ask for nothing."""
    for name, value in document.items():
        if value is None or name in taken or value in (neutral or {}).get(name, ()):
            continue
        raise NoChatError(f"{place}{name[:60]}")


def _object(value: object, place: str) -> _Object:
    """An object, {} where it is absent."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NoChatError(f"{place} of this form")
    return value


def _text_of(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise NoChatError(f"{place} of this form")
    return value


def _of_type(place: str, value: object) -> NoChatError:
    return NoChatError(f"{place} of type {str(value)[:60]}")


def _tools(request: Mapping[str, Any]) -> _Object:
    """tools, tool_choice and parallel_tool_calls; the last two mean nothing without tools."""
    given = request.get("tools") or []
    if not isinstance(given, list):
        raise NoChatError("tools of this form")
    tools = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(given)]
    names = [tool["function"]["name"] for tool in tools]
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        choice, names = _chosen(choice, names)
        tools = [tool for tool in tools if tool["function"]["name"] in names]
    elif choice is not None and not isinstance(choice, str):
        raise NoChatError("tool_choice of this form")
    if not tools:
        if choice in (None, "auto", "none"):
            return {}
        raise NoChatError("tool_choice without tools")
    chat: _Object = {"tools": tools}
    if choice is not None:
        chat["tool_choice"] = choice
    if request.get("parallel_tool_calls") is not None:
        chat["parallel_tool_calls"] = request["parallel_tool_calls"]
    return chat


def _tool(tool: object, place: str) -> _Object:
    given = _object(tool, place)
    if given.get("type") != "function":
        raise _of_type(place, given.get("type"))
    _only(given, _OF_TOOLS, _OF_TOOLS_NEUTRAL, f"{place}.")
    _text_of(given.get("name"), f"{place}.name")
    function = {
        name: given[name]
        for name in ("name", "description", "parameters", "strict")
        if given.get(name) is not None
    }
    return {"type": "function", "function": function}


def _chosen(choice: _Object, names: list[str]) -> tuple[object, list[str]]:
    """The choice as chat says it, and the names of the tools that are left to choose from.

    Where only some tools are allowed, only those are sent: few providers know the other way.
    """
    kind = choice.get("type")
    if kind == "function":
        _only(choice, {"type", "name"}, place="tool_choice.")
        name = _text_of(choice.get("name"), "tool_choice.name")
        return {"type": "function", "function": {"name": name}}, names
    if kind != "allowed_tools":
        raise _of_type("tool_choice", kind)
    _only(choice, {"type", "mode", "tools"}, place="tool_choice.")
    tools, mode = choice.get("tools"), choice.get("mode")
    if not isinstance(tools, list) or mode not in ("auto", "required"):
        raise NoChatError("tool_choice of this form")
    allowed = []
    for number, tool in enumerate(tools):
        place = f"tool_choice.tools[{number}]"
        named = _object(tool, place)
        if named.get("type") != "function":
            raise _of_type(place, named.get("type"))
        if named.get("name") not in names:
            raise NoChatError(f"{place} that is not among tools")
        allowed.append(named["name"])
    return mode, allowed


def _text(given: object) -> _Object:
    """response_format and verbosity."""
    text = _object(given, "text")
    _only(text, {"format", "verbosity"}, place="text.")
    chat: _Object = {}
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    form = _object(text.get("format"), "text.format")
    kind = form.get("type", "text")
    if kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        _only(form, {"type", "name", "schema", "description", "strict"}, place="text.format.")
        schema = {name: value for name, value in form.items() if name != "type"}
        schema = {name: value for name, value in schema.items() if value is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind != "text":
        raise _of_type("text.format", kind)
    return chat


def _messages(request: Mapping[str, Any]) -> list[_Object]:
    messages: list[_Object] = []
    instructions = request.get("instructions")
    if instructions:
        text = _text_of(instructions, "instructions")
        messages.append({"role": "system", "content": text})
    given = request.get("input")
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    if not isinstance(given, list):
        raise NoChatError("input of this form")
    for number, item in enumerate(given):
        _add(messages, _object(item, f"input[{number}]"), f"input[{number}]")
    return messages


def _add(messages: list[_Object], item: _Object, place: str) -> None:
    """Say an item at the end of the conversation."""
    kind = item.get("type", "message")
    if kind == "message":
        _only(item, _OF_MESSAGES, place=f"{place}.")
        _add_message(messages, item, place)
    elif kind == "function_call":
        _only(item, _OF_CALLS, _OF_CALLS_NEUTRAL, f"{place}.")
        _add_call(messages, item, place)
    elif kind == "function_call_output":
        _only(item, _OF_OUTPUTS, _OF_CALLS_NEUTRAL, f"{place}.")
        call_id = _text_of(item.get("call_id"), f"{place}.call_id")
        content = _content(item.get("output"), f"{place}.output", texts_only=True)
        messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
    elif kind != "reasoning":  # there is no place for that, and no need: models answer without
        raise _of_type(place, kind)


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
    name, arguments, call_id = (
        _text_of(item.get(field), f"{place}.{field}") for field in ("name", "arguments", "call_id")
    )
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
        _part(_object(part, f"{place}[{number}]"), f"{place}[{number}]", texts_only=texts_only)
        for number, part in enumerate(value)
    ]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _part(part: _Object, place: str, *, texts_only: bool) -> _Object:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _TEXTS:
        _only(part, _OF_PARTS, place=f"{place}.")
        return {"type": "text", "text": _text_of(part.get(_TEXTS[kind]), f"{place}.{_TEXTS[kind]}")}
    if texts_only:
        raise _of_type(place, kind)
    if kind == "input_image":
        _only(part, _OF_IMAGES, place=f"{place}.")
        image = {"url": _text_of(part.get("image_url"), f"{place}.image_url")}
        if part.get("detail") not in (None, "auto"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_audio":
        _only(part, {"type", "input_audio"}, place=f"{place}.")
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    if kind == "input_file":
        _only(part, _OF_FILES, {"detail": ("auto",)}, f"{place}.")
        file = {name: part[name] for name in ("filename", "file_data") if part.get(name)}
        _text_of(file.get("file_data"), f"{place}.file_data")
        return {"type": "file", "file": file}
    raise _of_type(place, kind)
