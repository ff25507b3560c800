"""An answer as a message of the Messages API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from equirouter.serve.call.translation.chat_form import function_name, identifier
from equirouter.serve.call.translation.telling import Telling
from equirouter.serve.charging import reported

_Object = dict[str, Any]

SIGNATURE = "equirouter"
"""The signature of thoughts that come from a chat completion, which has none. Claude refuses it."""
_REASONS = {"length": "max_tokens", "content_filter": "refusal"}
_DELTAS = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}


@dataclass(slots=True)
class _Block:
    """A block of the message. pieces: of its text, or of the arguments of a call.

    told: how many of the pieces the client has. is_over: whether it has the end.
    """

    kind: str
    call_id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    told: int = 0
    is_over: bool = False
    citations: list[_Object] = field(default_factory=list)

    def document(self, *, is_cut: bool = False) -> _Object:
        """The block at its end. Raises ValueError for a call whose arguments are no object.

        is_cut: the answer ended at its limit; such a call has none then.
        """
        text = "".join(self.pieces)
        if self.kind == "tool_use":
            return {**self.start(), "input": _arguments(text, is_cut=is_cut)}
        block = {**self.start(), self.kind: text}
        if self.kind == "thinking":
            block["signature"] = SIGNATURE
        return block | ({"citations": self.citations} if self.citations else {})

    def start(self) -> _Object:
        """The block before anything is said in it."""
        if self.kind == "tool_use":
            return {"type": "tool_use", "id": self.call_id, "name": self.name, "input": {}}
        more = {"signature": ""} if self.kind == "thinking" else {}
        return {"type": self.kind, self.kind: "", **more}


class MessageBuilding(Telling):
    """One message.

    Its blocks are told one after the other, since clients read them so: a call that begins while
    the arguments of another are not complete waits until these are.
    """

    def __init__(self, request: Mapping[str, Any], first: Mapping[str, Any], *, model: str) -> None:
        super().__init__(request, first, model=model)
        tools = request.get("tools")
        names = [tool.get("name") for tool in tools or () if isinstance(tool, dict)]
        self._names = {function_name(name): name for name in names if isinstance(name, str)}
        self._blocks: list[_Block] = []
        self._place = 0  # the block that is told now
        self._reason: str | None = None

    def begun(self) -> list[_Object]:
        """As Telling."""
        message = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None}
        return [{"type": "message_start", "message": {**message, "usage": message_usage(None)}}]

    def say(self, kind: str, text: str) -> None:
        """As Telling; a refusal is a text."""
        kind = "thinking" if kind == "reasoning" else "text"
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.kind != kind:
            last = self._begin(_Block(kind))
        if text:
            last.pieces.append(text)
        self._tell()

    def cite(self, citation: _Object) -> None:
        """As Telling."""
        url, title = citation.get("url"), citation.get("title")
        if not isinstance(url, str):
            return
        if not self._blocks or self._blocks[-1].kind != "text":
            self._begin(_Block("text"))
        cited: _Object = {"type": "web_search_result_location", "url": url, "cited_text": ""}
        cited |= {"title": title if isinstance(title, str) else None, "encrypted_index": ""}
        self._blocks[-1].citations.append(cited)
        delta = {"type": "citations_delta", "citation": cited}
        self._event("content_block_delta", delta=delta)

    def call(self, call_id: str, name: str) -> _Block:
        """As Telling."""
        if not call_id:
            call_id = f"toolu_{self.number}{len(self._blocks):04x}"
        block = _Block("tool_use", call_id=identifier(call_id), name=self._names.get(name, name))
        return self._begin(block)

    def argue(self, call: _Block, arguments: str) -> None:
        """As Telling."""
        if call.is_over:
            raise ValueError("a tool call that goes on after its end")
        call.pieces.append(arguments)
        self._tell()

    def close(self, reason: object) -> None:
        """As Telling; an answer that says nothing is an empty text."""
        if all(block.kind == "thinking" for block in self._blocks):
            self.say("text", "")
        if reason != "length":  # else a call may well end in the middle
            for block in self._blocks:
                block.document()
        while self._place < len(self._blocks):
            self._end()
        has_calls = any(block.kind == "tool_use" for block in self._blocks)
        self._reason = _REASONS.get(str(reason)) or ("tool_use" if has_calls else "end_turn")

    def ended(self, usage: object) -> list[_Object]:
        """As Telling."""
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        counted = message_usage(usage)
        return [
            {"type": "message_delta", "delta": delta, "usage": counted},
            {"type": "message_stop"},
        ]

    def failed(self, why: str, *, usage: object, is_limit: bool) -> list[_Object]:  # noqa: ARG002
        """As Telling."""
        kind = "rate_limit_error" if is_limit else "api_error"
        return [{"type": "error", "error": {"type": kind, "message": why}}]

    def document(self, usage: object) -> _Object:
        """As Telling."""
        is_cut = self._reason == "max_tokens"
        content = [block.document(is_cut=is_cut) for block in self._blocks]
        reason = {"stop_reason": self._reason, "stop_sequence": None}
        return {**self._head(), "content": content, **reason, "usage": message_usage(usage)}

    def _head(self) -> _Object:
        named = {"id": f"msg_{self.number}", "type": "message", "role": "assistant"}
        return {**named, "model": self.model}

    def _begin(self, block: _Block) -> _Block:
        """Add a block; nothing is added any more to a text or a thought before it."""
        last = self._blocks[-1] if self._blocks else None
        self._blocks.append(block)
        if last is None:
            self._start()
        elif last.kind != "tool_use":
            self._end()
        elif block.kind != "tool_use":
            while self._place < len(self._blocks) - 1:
                self._end()
        else:
            self._tell()
        return block

    def _tell(self) -> None:
        """Tell what may be told: of the block that is next, and of those behind complete calls."""
        self._flush()
        while self._place < len(self._blocks) - 1 and _is_complete(self._blocks[self._place]):
            self._end()

    def _start(self) -> None:
        self._event("content_block_start", content_block=self._blocks[self._place].start())
        self._flush()

    def _flush(self) -> None:
        block = self._blocks[self._place]
        text, block.told = "".join(block.pieces[block.told :]), len(block.pieces)
        if text:
            kind, name = _DELTAS.get(block.kind, ("input_json_delta", "partial_json"))
            self._event("content_block_delta", delta={"type": kind, name: text})

    def _end(self) -> None:
        """The block that is told is over; the next one begins if there is one."""
        block = self._blocks[self._place]
        if block.kind == "thinking":
            delta = {"type": "signature_delta", "signature": SIGNATURE}
            self._event("content_block_delta", delta=delta)
        self._event("content_block_stop")
        block.is_over = True
        self._place += 1
        if self._place < len(self._blocks):
            self._start()

    def _event(self, kind: str, **more: object) -> None:
        self.events.append({"type": kind, "index": self._place, **more})


def _arguments(text: str, *, is_cut: bool) -> _Object:
    try:
        given = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        given = {} if is_cut else None
    if not isinstance(given, dict):
        raise ValueError("a tool call whose arguments are no JSON object")
    return given


def _is_complete(block: _Block) -> bool:
    try:
        return bool(block.pieces) and bool(block.document())
    except ValueError:
        return False


def message_usage(report: object) -> _Object:
    """The usage of a chat completion as a message has it, zeros where it cannot be counted with.

    Anthropic counts what a cache had, and what was written to it, beside input_tokens.
    """
    tokens = reported(report)
    if tokens is None:
        return {"input_tokens": 0, "output_tokens": 0} | dict.fromkeys(_CACHES, 0)
    written = tokens.cache_write + tokens.long_cache_write
    usage: _Object = {
        "input_tokens": tokens.input - tokens.cached_input - written,
        "output_tokens": tokens.output,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": tokens.cached_input,
    }
    if tokens.long_cache_write:
        times = (tokens.cache_write, tokens.long_cache_write)
        usage["cache_creation"] = dict(zip(_TIMES, times, strict=True))
    if tokens.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return usage


_CACHES = ("cache_creation_input_tokens", "cache_read_input_tokens")
_TIMES = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


def without_own_thoughts(request: _Object) -> _Object:
    """The request for an upstream that checks signatures: without thoughts that have none."""

    def is_own(block: object) -> bool:
        return isinstance(block, dict) and block.get("signature") == SIGNATURE

    messages: list[_Object] = []
    for message in request["messages"]:
        content = message.get("content")
        if isinstance(content, list) and any(map(is_own, content)):
            kept = [block for block in content if not is_own(block)]
            messages += [{**message, "content": kept}] if kept else []
        else:
            messages.append(message)
    return {**request, "messages": messages}
