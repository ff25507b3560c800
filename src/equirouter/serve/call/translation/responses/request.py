"""A request of the Responses API as a chat completion, as far as there is one that means the same.

What changes the answer and has no place in a chat completion is refused by as_chat, but for what
left_out names.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from equirouter.errors import NoChatError
from equirouter.serve.call.translation.chat_form import (
    COUNTED,
    ITEM,
    Conversation,
    joined,
    of_type,
    only,
    strings,
    taken_object,
    taken_text,
)
from equirouter.serve.call.translation.responses.tools import (
    LEFT_OUT_ITEMS,
    chat_tools,
    is_left_out,
    past_arguments,
)

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
_NEUTRAL_FIELDS: Mapping[str, tuple[object, ...]] = {
    "async": (False,),
    "caller": ({"type": "direct"},),
    "detail": ("auto",),
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
    chat: _Object = {"model": request["model"], "messages": read_conversation(request).sent()}
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


class ItemsConversation(Conversation):
    """A conversation of the Responses API. Raises ValueError with the place of a wrong form."""

    def read(self, request: Mapping[str, Any]) -> None:
        """Instructions and input."""
        instructions, given = request.get("instructions"), request.get("input")
        if isinstance(instructions, str) and instructions:
            self.messages.append({"role": "system", "content": instructions})
        elif instructions:
            self.beyond.append("instructions of this form")
        if isinstance(given, str):
            self.messages.append({"role": "user", "content": given})
            return
        if not isinstance(given, list):
            raise ValueError("input")
        for number, item in enumerate(given):
            if not isinstance(item, dict):
                raise ValueError(f"input[{number}]")
            self._read_item(item, f"input[{number}]")

    def _read_item(self, item: _Object, place: str) -> None:
        """Say an item at the end of the conversation."""
        kind = str(item.get("type", "message"))
        if kind == "message":
            self._only(item, _OF_MESSAGES, place)
            self._read_message(item, place)
        elif kind in _CALLS:
            self._only(item, _CALLS[kind], place)
            self._read_call(item, place)
        elif kind in _OUTPUTS:
            self._only(item, _OF_OUTPUTS, place)
            call_id = item.get("call_id") or item.get("id")
            if not isinstance(call_id, str):
                self.beyond.append(f"{place}.call_id of this form")
            parts = self._content(item.get("output"), f"{place}.output", texts_only=True)
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": parts})
        else:  # models answer without what is silent
            if kind != "reasoning" and kind not in LEFT_OUT_ITEMS:
                self.beyond.append(of_type(place, kind).field)
            self._count(item, "tool" if kind.endswith("_output") else ITEM)

    def _count(self, item: _Object, role: str) -> None:
        parts = self._counted(item)
        if parts:
            self.messages.append({"role": role, "content": parts})

    def _read_message(self, item: _Object, place: str) -> None:
        role = item.get("role")
        if not isinstance(role, str):
            raise ValueError(f"{place}.role")
        if role not in _ROLES:
            self.beyond.append(f"{place}.role {role[:60]}")
        role = _ROLES.get(role, role)
        content = self._content(item.get("content"), f"{place}.content", texts_only=role != "user")
        if role == "assistant" and not isinstance(content, str):
            content = joined(content, between="")
        last = self._last()
        if role == "assistant" and last.get("tool_calls") and isinstance(content, str):
            # nothing may stand between calls and their results
            last["content"] = (last["content"] or "") + content
        else:
            self.messages.append({"role": role, "content": content})

    def _read_call(self, item: _Object, place: str) -> None:
        """A call, within the message of the assistant that it belongs to."""
        call_id = item.get("call_id")
        try:
            name, arguments = past_arguments(item, place)
            taken_text(call_id, f"{place}.call_id")
        except NoChatError as wrong:
            self.beyond.append(wrong.field)
            self._count(item, ITEM)
            return
        function = {"name": name, "arguments": arguments}
        if self._last().get("role") != "assistant":
            self.messages.append({"role": "assistant", "content": None})
        calls = self._last().setdefault("tool_calls", [])
        calls.append({"id": call_id, "type": "function", "function": function})

    def _last(self) -> _Object:
        """The last message that is sent, {} before the first."""
        return next((message for message in reversed(self.messages) if message["role"] != ITEM), {})

    def _only(self, document: _Object, taken: Iterable[str], place: str) -> None:
        try:
            only(document, taken, _NEUTRAL_FIELDS, f"{place}.")
        except NoChatError as more:
            self.beyond.append(more.field)

    def _content(self, value: object, place: str, *, texts_only: bool) -> str | list[_Object]:
        if isinstance(value, str):
            return value
        if value is None:
            self.beyond.append(f"{place} of this form")
            return ""
        if not isinstance(value, list):
            raise ValueError(place)
        parts: list[_Object] = []
        for number, part in enumerate(value):
            kind = part.get("type") if isinstance(part, dict) else None
            if not isinstance(kind, str):
                raise ValueError(f"{place}[{number}]")
            parts += self._part(part, kind, f"{place}[{number}]", texts_only=texts_only)
        if len(parts) == 1 and parts[0]["type"] == "text":
            return str(parts[0]["text"])
        return parts

    def _part(self, part: _Object, kind: str, place: str, *, texts_only: bool) -> list[_Object]:
        if kind in _TEXTS:
            self._only(part, _OF_PARTS, place)
            text = part.get(_TEXTS[kind])
            if isinstance(text, str):
                return [{"type": "text", "text": text}]
            self.beyond.append(f"{place}.{_TEXTS[kind]} of this form")
            return self._counted(part)
        if texts_only or kind not in ("input_image", "input_audio", "input_file"):
            self.beyond.append(of_type(place, kind).field)
        if kind == "input_image":
            self.needs.add("vision")
            self._only(part, _OF_IMAGES, place)
            if not isinstance(part.get("image_url"), str):
                self.beyond.append(f"{place}.image_url of this form")
            detail = part.get("detail")
            more = {} if detail in (None, "auto") else {"detail": detail}
            return [{"type": "image_url", "image_url": {"url": part.get("image_url"), **more}}]
        if kind == "input_audio":
            self.needs.add("audio")
            self._only(part, {"type", "input_audio"}, place)
            return [{"type": "input_audio", "input_audio": part.get("input_audio")}]
        if kind == "input_file" and isinstance(part.get("file_data"), str):
            self._only(part, _OF_FILES, place)
            file = {name: part[name] for name in ("filename", "file_data") if part.get(name)}
            return [{"type": "file", "file": file}]
        if kind == "input_file":
            self._only(part, _OF_FILES, place)
            self.beyond.append(f"{place}.file_data of this form")
        return self._counted(part)

    def _counted(self, document: _Object) -> list[_Object]:
        """Parts that are counted and not routed on: they are paid for like all others."""
        parts: list[_Object] = []
        for name, value in document.items():
            for text in strings(value):
                if text.startswith("data:image/"):
                    self.needs.add("vision")
                    parts.append({"type": "image_url", "image_url": {"url": text}})
                elif name in ("file_data", "encrypted_content"):
                    parts.append({"type": "file", "file": {"file_data": text}})
                elif name != "type":
                    parts.append({"type": COUNTED, COUNTED: text})
        return parts


def read_conversation(request: Mapping[str, Any]) -> Conversation:
    """The conversation of a request. Raises ValueError with the place of what has a wrong form."""
    items = ItemsConversation()
    items.read(request)
    return items
