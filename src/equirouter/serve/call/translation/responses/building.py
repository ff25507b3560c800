"""An answer as a response of the Responses API."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from equirouter.serve.call.translation.responses.tools import (
    Tool,
    call_fields,
    is_left_out,
    known_tools,
)
from equirouter.serve.call.translation.telling import Telling
from equirouter.serve.charging import reported

_Object = dict[str, Any]

# kind of a part -> the field that has its text, the stem of its events, the kind of its item
PARTS = {
    "output_text": ("text", "response.output_text", "message"),
    "refusal": ("refusal", "response.refusal", "message"),
    "reasoning_text": ("text", "response.reasoning_text", "reasoning"),
}
EMPTY_CALLS: Mapping[str, _Object] = {
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
    "local_shell_call": {"action": {"type": "exec", "command": [], "env": {}}},
}


@dataclass(slots=True)
class ItemPart:
    """A part of a message or of reasoning, of one of the kinds in PARTS."""

    kind: str
    pieces: list[str] = field(default_factory=list)
    annotations: list[_Object] = field(default_factory=list)

    def document(self) -> _Object:
        """The part as it is now."""
        fields: _Object = {"type": self.kind, PARTS[self.kind][0]: "".join(self.pieces)}
        if self.kind == "output_text":
            fields |= {"annotations": list(self.annotations), "logprobs": []}
        return fields


@dataclass(slots=True)
class Item:
    """A message or reasoning, which has parts; or a call, which has a name and arguments.

    tool: that is called, None for one that the client does not know.
    """

    kind: str
    id: str
    place: int
    parts: list[ItemPart] = field(default_factory=list)
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    status: str = "in_progress"
    tool: Tool | None = None

    def document(self) -> _Object:
        """The item as it is now."""
        fields: _Object = {"id": self.id, "type": self.kind, "status": self.status}
        if self.kind in EMPTY_CALLS:
            return fields | {"call_id": self.call_id, **self._named(), **self.written()}
        content = [part.document() for part in self.parts]
        if self.kind == "message":
            return fields | {"role": "assistant", "content": content}
        return fields | {"summary": [], "content": content}

    def written(self) -> _Object:
        """Fields of a call that the model wrote; but for functions, none before it is complete."""
        is_open = self.status == "in_progress" and self.kind != "function_call"
        return EMPTY_CALLS[self.kind] if is_open else self.read(self.status)

    def read(self, status: str) -> _Object:
        """Fields at the end. Raises ValueError for a complete call that cannot be read."""
        try:
            return call_fields(self.kind, "".join(self.arguments))
        except ValueError:
            if status == "completed":
                raise
            return EMPTY_CALLS[self.kind]

    def _named(self) -> _Object:
        if self.kind == "local_shell_call":
            return {}
        if self.tool is None or self.tool.namespace is None:
            return {"name": self.name if self.tool is None else self.tool.name}
        return {"name": self.tool.name, "namespace": self.tool.namespace}


Status: TypeAlias = Literal["in_progress", "completed", "incomplete", "failed"]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_KINDS = {"text": "output_text", "reasoning": "reasoning_text", "refusal": "refusal"}
_STATED = ("cost", "cost_details", "is_byok")  # by the provider, of what an answer cost
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}
_PREFIXES |= {"custom_tool_call": "ctc", "local_shell_call": "lsh"}
_SAID_AGAIN: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
    "metadata": {},
}


class Building(Telling):
    """One response.

    Texts and reasoning end where something else begins; calls end with the answer, as a provider
    may send parts of several in turn. request: much of it is said again in the answer.
    """

    is_numbered = True

    def __init__(self, request: Mapping[str, Any], first: Mapping[str, Any], *, model: str) -> None:
        super().__init__(request, first, model=model)
        created = first.get("created")
        self._created_at = created if type(created) is int and created > 0 else int(time.time())
        self._tools = {tool.chat_name: tool for tool in known_tools(request)}
        self._items: list[Item] = []
        self._open: Item | None = None  # the message or reasoning that goes on
        self._reason: str | None = None

    def begun(self) -> list[_Object]:
        """As Telling."""
        kinds = ("response.created", "response.in_progress")
        return [{"type": kind, "response": self.response("in_progress")} for kind in kinds]

    def close(self, reason: object) -> None:
        """As Telling; an answer that says nothing is an empty text."""
        self._reason = _INCOMPLETE.get(str(reason))
        if all(item.kind == "reasoning" for item in self._items):
            self.say("text", "")
        last = self._items[-1]
        self._end_open("incomplete" if self._reason and last is self._open else "completed")
        for _, item in self.calls:
            self._end_call(item, "incomplete" if self._reason and item is last else "completed")
        self.calls.clear()

    def ended(self, usage: object) -> list[_Object]:
        """As Telling."""
        return [{"type": f"response.{self.status}", "response": self.document(usage)}]

    def failed(self, why: str, *, usage: object, is_limit: bool) -> list[_Object]:
        """As Telling."""
        error = {"code": "rate_limit_exceeded" if is_limit else "server_error", "message": why}
        failed = self.response("failed", usage=response_usage(usage), error=error)
        return [{"type": "response.failed", "response": failed}]

    def document(self, usage: object) -> _Object:
        """As Telling."""
        return self.response(self.status, usage=response_usage(usage))

    @property
    def status(self) -> Status:
        """How an answer stands that was closed."""
        return "completed" if self._reason is None else "incomplete"

    def response(
        self, status: Status, *, usage: _Object | None = None, error: _Object | None = None
    ) -> _Object:
        """The response as it is now."""
        if status == "failed":
            for item in self._items:
                item.status = "incomplete" if item.status == "in_progress" else item.status
        request = self.request
        again: _Object = {
            name: request[name] if request.get(name) is not None else default
            for name, default in _SAID_AGAIN.items()
        }
        # what the model was offered
        again["tools"] = [tool for tool in again["tools"] if not is_left_out(tool)]
        if isinstance(self.service_tier, str):
            again["service_tier"] = self.service_tier
        return {
            "id": f"resp_{self.number}",
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "model": self.model,  # before what may hold a "model" of its own
            "error": error,
            "incomplete_details": {"reason": self._reason} if status == "incomplete" else None,
            "output": [item.document() for item in self._items],
            "usage": usage,
            "store": False,
            "background": False,
            "previous_response_id": None,
            "truncation": "disabled",
            **again,
        }

    def say(self, kind: str, text: str) -> None:
        """As Telling."""
        kind = _KINDS[kind]
        stem, item_kind = PARTS[kind][1:]
        item = self._open
        if item is None or item.kind != item_kind:
            self._end_open("completed")
            item = self._open = self._begin(item_kind)
        if not item.parts or item.parts[-1].kind != kind:
            self._end_part(item)
            part = ItemPart(kind)
            item.parts.append(part)
            self._tell("response.content_part.added", item, in_part=True, part=part.document())
        if text:
            item.parts[-1].pieces.append(text)
            self._tell(f"{stem}.delta", item, in_part=True, delta=text, **_logprobs(kind))

    def cite(self, citation: _Object) -> None:
        """As Telling."""
        item = self._open
        if item is None or not item.parts or item.parts[-1].kind != "output_text":
            self.say("text", "")
            item = self._open
        assert item is not None  # noqa: S101  # a text was begun
        known = item.parts[-1].annotations
        kind = "response.output_text.annotation.added"
        more = {"annotation_index": len(known), "annotation": citation}
        known.append(citation)
        self._tell(kind, item, in_part=True, **more)

    def call(self, call_id: str, name: str) -> Item:
        """As Telling."""
        self._end_open("completed")
        tool = self._tools.get(name)
        kind = "function_call" if tool is None else tool.kind
        return self._begin(kind, call_id=call_id, name=name, tool=tool)

    def argue(self, call: Item, arguments: str) -> None:
        """As Telling."""
        call.arguments.append(arguments)
        if call.kind == "function_call":
            self._tell("response.function_call_arguments.delta", call, delta=arguments)

    def _begin(
        self, kind: str, *, call_id: str = "", name: str = "", tool: Tool | None = None
    ) -> Item:
        place = len(self._items)
        number = f"{self.number}{place:04x}"
        if kind in EMPTY_CALLS and not call_id:
            call_id = f"call_{number}"
        identity = f"{_PREFIXES[kind]}_{number}"
        item = Item(kind, identity, place, call_id=call_id, name=name, tool=tool)
        self._items.append(item)
        self._tell_item("added", item)
        return item

    def _end_part(self, item: Item) -> None:
        if not item.parts:
            return
        part = item.parts[-1].document()
        field_, stem = PARTS[part["type"]][:2]
        content = {field_: part[field_], **_logprobs(part["type"])}
        self._tell(f"{stem}.done", item, in_part=True, **content)
        self._tell("response.content_part.done", item, in_part=True, part=part)

    def _end_open(self, status: str) -> None:
        item, self._open = self._open, None
        if item is not None:
            self._end_part(item)
            self._end(item, status)

    def _end_call(self, item: Item, status: str) -> None:
        item.read(status)  # refuses what cannot be told before anything is
        item.status = status
        if item.kind == "function_call":
            document = item.document()
            call = {name: document[name] for name in ("name", "arguments")}
            self._tell("response.function_call_arguments.done", item, **call)
        elif item.kind == "custom_tool_call":
            text = item.written()["input"]
            self._tell("response.custom_tool_call_input.delta", item, delta=text)
            self._tell("response.custom_tool_call_input.done", item, input=text)
        self._end(item, status)

    def _end(self, item: Item, status: str) -> None:
        item.status = status
        self._tell_item("done", item)

    def _tell_item(self, change: str, item: Item) -> None:
        kind = f"response.output_item.{change}"
        self.events.append({"type": kind, "output_index": item.place, "item": item.document()})

    def _tell(self, kind: str, item: Item, *, in_part: bool = False, **more: object) -> None:
        event: _Object = {"type": kind, "item_id": item.id, "output_index": item.place}
        if in_part:
            event["content_index"] = len(item.parts) - 1
        self.events.append(event | more)


def _logprobs(kind: str) -> _Object:
    return {"logprobs": []} if kind == "output_text" else {}


def response_usage(report: object) -> dict[str, Any] | None:
    """The usage of a chat completion as a response has it, None where it cannot be counted with.

    What it costs is the same by either.
    """
    tokens = reported(report)
    if tokens is None:
        return None
    written = tokens.cache_write + tokens.long_cache_write
    of_input: _Object = {"cached_tokens": tokens.cached_input, "cache_write_tokens": written}
    if tokens.long_cache_write:
        of_input["cache_write_tokens_details"] = {"ttl_12h_tokens": tokens.long_cache_write}
    of_output = {"reasoning_tokens": tokens.reasoning}
    if tokens.audio_input:
        of_input["audio_tokens"] = tokens.audio_input
    if tokens.audio_output:
        of_output["audio_tokens"] = tokens.audio_output
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": of_input,
        "output_tokens": tokens.output,
        "output_tokens_details": of_output,
        "total_tokens": tokens.input + tokens.output,
        **{name: report[name] for name in _STATED if isinstance(report, dict) and name in report},
    }
