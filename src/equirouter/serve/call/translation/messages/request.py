"""A request of the Messages API in the form of a chat completion.

What changes the answer and has no place there is refused by its name, but for what left_out names.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from equirouter.conversation import AGENTS_REMINDER
from equirouter.errors import NoChatError
from equirouter.serve.call.translation.chat_form import (
    COUNTED,
    ITEM,
    Conversation,
    function_name,
    joined,
)
from equirouter.serve.call.translation.messages.tools import function_of, is_left_out

_Object = dict[str, Any]

_FIELDS = "model messages system max_tokens stream temperature top_p stop_sequences tools"
_FIELDS += " tool_choice equirouter output_config output_format thinking top_k speed"
# Hints for caches, labels, and who pays: they change nothing in what is answered.
_FIELDS += " metadata cache_control service_tier context_management diagnostics betas"
_FIELDS += " user_profile_id workspace_id"
_TAKEN = frozenset(_FIELDS.split())
_NAMED = ("top_k", "speed", "context_management")  # what asks for something, and is left out
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_BILLING = "x-anthropic-billing-header:"
"""How a line begins that Claude Code sends as an instruction. It differs in every request: sent to
others, it would keep them from finding a conversation in their cache."""


class Blocks(Conversation):
    """A conversation of the Messages API. Raises ValueError with the place of a wrong form."""

    def read_system(self, system: object) -> None:
        """The instructions, which are one message."""
        if isinstance(system, str):
            system = [{"type": "text", "text": system}]
        parts = [
            part
            for part in self._parts(system, "system")
            if not str(part.get("text", "")).startswith(_BILLING)
        ]
        if parts:
            self.messages.append({"role": "system", "content": joined(parts)})

    def read_message(self, message: object, place: str) -> None:
        """Add a message of any role."""
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ValueError(place)
        role, content = message["role"], message.get("content")
        if isinstance(content, str):
            self.messages.append({"role": role, "content": content})
        elif not isinstance(content, list):
            raise ValueError(f"{place}.content")
        elif role == "assistant":
            self._read_answer(content, f"{place}.content")
        elif role in ("user", "system"):
            self._read_question(role, content, f"{place}.content")
        else:
            raise ValueError(f"{place}.role")

    def _read_answer(self, blocks: list[Any], place: str) -> None:
        """Blocks of the assistant: calls beside the texts."""
        calls = []
        for number, block in enumerate(blocks):
            if isinstance(block, dict) and block.get("type") == "tool_use":
                name = function_name(str(block.get("name")))
                arguments = orjson.dumps(block.get("input") or {}).decode()
                function = {"name": name, "arguments": arguments}
                calls.append({"id": str(block.get("id")), "type": "function", "function": function})
            elif not isinstance(block, dict):
                raise ValueError(f"{place}[{number}]")
        texts = [block for block in blocks if block.get("type") != "tool_use"]
        message: _Object = {"role": "assistant", "content": joined(self._parts(texts, place))}
        if calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = calls
        self.messages.append(message)

    def _read_question(self, role: str, blocks: list[Any], place: str) -> None:
        """Blocks of the user: results of tools are messages of their own, which come first.

        What a tool shows follows them as the user's, since most providers take texts of tools only.
        An agent's reminder beside results belongs to these, and is no question of the user.
        """
        results: dict[str, _Object] = {}
        shown: list[_Object] = []
        for number, block in enumerate(blocks):
            if not isinstance(block, dict) or not isinstance(block.get("type"), str):
                raise ValueError(f"{place}[{number}]")
            if block["type"] != "tool_result":
                continue
            content = block.get("content") or ""
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            parts = self._parts(content, f"{place}[{number}].content")
            call_id = str(block.get("tool_use_id"))
            result = results.setdefault(call_id, {"role": "tool", "tool_call_id": call_id})
            texts = [part["text"] for part in parts if part["type"] == "text"]
            result["content"] = "\n".join(filter(None, (result.get("content"), *texts)))
            shown += [part for part in parts if part["type"] != "text"]
        rest = self._parts([block for block in blocks if block["type"] != "tool_result"], place)
        if results:
            last = results[call_id]
            for part in rest:
                if str(part.get("text", "")).startswith(AGENTS_REMINDER):
                    last["content"] = "\n".join(filter(None, (last["content"], part["text"])))
            rest = [
                part for part in rest if not str(part.get("text", "")).startswith(AGENTS_REMINDER)
            ]
        self.messages += results.values()
        if shown or rest or not results:
            parts = [*shown, *rest]
            if parts and all(part["type"] == COUNTED for part in parts):
                role = ITEM
            self.messages.append({"role": role, "content": parts if parts[1:] else joined(parts)})

    def _parts(self, blocks: object, place: str) -> list[_Object]:
        """Blocks as parts of a chat's message."""
        if not isinstance(blocks, list):
            raise ValueError(place)
        parts: list[_Object] = []
        for number, block in enumerate(blocks):
            kind = block.get("type") if isinstance(block, dict) else None
            if not isinstance(kind, str):
                raise ValueError(f"{place}[{number}]")
            read = getattr(self, f"_read_{kind}", None) if kind in _BLOCKS else None
            if read is None:
                parts += self._counted(block, kind, f"{place}[{number}]")
            else:
                parts += read(block, f"{place}[{number}]")
        return parts

    def _read_text(self, block: _Object, place: str) -> list[_Object]:
        if not isinstance(block.get("text"), str):
            raise ValueError(f"{place}.text")
        return [{"type": "text", "text": block["text"]}] if block["text"] else []

    def _read_image(self, block: _Object, place: str) -> list[_Object]:
        self.needs.add("vision")
        url = self._url(block.get("source"), place)
        return [{"type": "image_url", "image_url": {"url": url}}]

    def _read_document(self, block: _Object, place: str) -> list[_Object]:
        source = block.get("source")
        kind = source.get("type") if isinstance(source, dict) else None
        if isinstance(source, dict) and kind == "text":
            return self._read_text({"text": source.get("data")}, f"{place}.source")
        if isinstance(source, dict) and kind == "content":
            content = source.get("content")
            if isinstance(content, str):
                return self._read_text({"text": content}, f"{place}.source")
            return self._parts(content, f"{place}.source.content")
        data = self._url(source, place)
        if kind != "base64":
            self.beyond.append(f"{place}.source of type {str(kind)[:60]}")
            self.kept_elsewhere.append("document")
        name = block.get("title")
        file = {"filename": name if isinstance(name, str) else "document.pdf", "file_data": data}
        return [{"type": "file", "file": file}]

    def _read_search_result(self, block: _Object, place: str) -> list[_Object]:
        head = [f"{block.get('title') or ''} ({block.get('source') or ''})"]
        texts = self._parts(block.get("content"), f"{place}.content")
        text = "\n".join([*head, *(str(part.get("text", "")) for part in texts)])
        return [{"type": "text", "text": text}]

    def _url(self, source: object, place: str) -> str:
        """The address of a source, or its data as one."""
        if not isinstance(source, dict):
            raise ValueError(f"{place}.source")
        if source.get("type") == "base64":
            data, kind = source.get("data"), source.get("media_type")
            if not isinstance(data, str) or not isinstance(kind, str):
                raise ValueError(f"{place}.source")
            return f"data:{kind};base64,{data}"
        if isinstance(source.get("url"), str):
            return str(source["url"])
        self.beyond.append(f"{place}.source of type {str(source.get('type'))[:60]}")
        self.kept_elsewhere.append("file_id")
        return ""

    def _counted(self, block: _Object, kind: str, place: str) -> list[_Object]:
        """A part that is paid for, and not sent where a chat completion has no place for it."""
        is_known = kind in _SKIPPED or kind.endswith("_tool_result")
        if not is_known:
            self.beyond.append(f"{place} of type {kind[:60]}")
        elif kind not in _SILENT:
            self.skipped.append(f"messages.{kind}")
        fields = {name: value for name, value in block.items() if name not in ("type", "signature")}
        return [{"type": COUNTED, COUNTED: orjson.dumps(fields).decode()}] if fields else []


_BLOCKS = frozenset({"text", "image", "document", "search_result"})
# A model answers without these: its own thoughts, and what a provider's tools have left.
_SILENT = frozenset({"thinking", "redacted_thinking"})
_SKIPPED = _SILENT | {"server_tool_use", "tool_reference", "compaction", "mcp_tool_use"}


def read_conversation(request: Mapping[str, Any]) -> Conversation:
    """The conversation of a request. Raises ValueError with the place of what has a wrong form."""
    blocks = Blocks()
    if request.get("system"):
        blocks.read_system(request["system"])
    for number, message in enumerate(request["messages"]):
        blocks.read_message(message, f"messages[{number}]")
    return blocks


def as_chat(request: Mapping[str, Any]) -> _Object:
    """The body of the chat completion that asks the same; without a stream's options.

    request: a body that was read before. Raises NoChatError that names what has no place there.
    """
    for name, value in request.items():
        if value and name not in _TAKEN:
            raise NoChatError(name[:60])
    chat: _Object = {"model": request["model"], "messages": read_conversation(request).sent()}
    for name, new in (
        ("max_tokens", "max_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("stop_sequences", "stop"),
    ):
        if request.get(name) is not None:
            chat[new] = request[name]
    chat |= _tools(request)
    chat |= _output(request)
    if request.get("stream"):
        chat["stream"] = True
    return chat


def left_out(request: Mapping[str, Any]) -> list[str]:
    """Names of what as_chat leaves out of a request though it asks for something, each once."""
    named = [name for name in _NAMED if request.get(name) not in (None, "standard")]
    thinking = request.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") != "disabled":
        named.append("thinking")
    tools = request.get("tools")
    listed = tools if isinstance(tools, list) else []
    named += [f"tools.{tool['type']}" for tool in listed if is_left_out(tool)]
    return list(dict.fromkeys([*named, *read_conversation(request).skipped]))


def _tools(request: Mapping[str, Any]) -> _Object:
    """tools, tool_choice and parallel_tool_calls; the last two mean nothing without tools."""
    given = request.get("tools") or []
    if not isinstance(given, list):
        raise NoChatError("tools of this form")
    functions = [
        function_of(tool, f"tools[{number}]")
        for number, tool in enumerate(given)
        if not is_left_out(tool)
    ]
    choice = request.get("tool_choice") or {"type": "auto"}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not functions:
        if kind in ("auto", "none"):
            return {}
        raise NoChatError("tool_choice without tools")
    chat: _Object = {
        "tools": [{"type": "function", "function": function} for function in functions]
    }
    if kind == "tool":
        name = function_name(str(choice.get("name")))
        if name not in [function["name"] for function in functions]:
            raise NoChatError("tool_choice that is not among tools")
        chat["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in _CHOICES:
        if request.get("tool_choice"):
            chat["tool_choice"] = _CHOICES[kind]
    else:
        raise NoChatError(f"tool_choice of type {str(kind)[:60]}")
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False
    return chat


def _output(request: Mapping[str, Any]) -> _Object:
    """response_format and reasoning_effort."""
    config = request.get("output_config") or {}
    if not isinstance(config, dict):
        raise NoChatError("output_config of this form")
    chat: _Object = {}
    effort = config.get("effort")
    if effort is not None:
        if not isinstance(effort, str) or effort not in _EFFORTS:
            raise NoChatError(f"output_config.effort {str(effort)[:60]}")
        chat["reasoning_effort"] = _EFFORTS[effort]
    form = config.get("format") or request.get("output_format")
    if form is not None:
        if not isinstance(form, dict) or form.get("type") != "json_schema":
            raise NoChatError("output_config.format of this form")
        schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    return chat
