"""A stream of server-sent events on its way through: passed on as it is, and read on the side.

Events are passed on when they are complete; nobody could read half of one. The bytes of an event
are those of the upstream but for the model's name where that was asked for. The one event that is
taken out is the usage which only the gateway asked for.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

_DONE = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_TOLD = re.compile(
    rb'"(?:usage"\s*:\s*\{|error"\s*:\s*[{"]|type"\s*:\s*"(?:response|error|message_stop))'
)
# a tuple and no set, as what is looked for may be anything
_ENDS = ("response.completed", "response.incomplete", "response.failed", "message_stop", "error")
_OVER = (
    b'"response.completed"',
    b'"response.incomplete"',
    b'"response.failed"',
    b'"message_stop"',
    b'"error"',
)
# What stands between the quotes of a string. Possessive, as it has nothing to come back to: else
# every character of it would be remembered, some 130 bytes each.
_INSIDE = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_TEXT = {
    "chat.completions": re.compile(
        rb'"(?:content|reasoning_content|reasoning|refusal|arguments|text)"\s*:\s*"(%b)"' % _INSIDE
    ),
    "responses": re.compile(rb'"delta"\s*:\s*"(%b)"' % _INSIDE),
    "messages": re.compile(rb'"(?:text|thinking|partial_json)"\s*:\s*"(%b)"' % _INSIDE),
}
_MODEL = re.compile(rb'("model"\s*:\s*)"%b"' % _INSIDE)
_BOUNDARY = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_LONGEST_BOUNDARY = 4


class Events:
    """Finds where events end, however their bytes are cut. most_bytes: of one event."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0

    def complete(self, chunk: bytes) -> bytes:
        """The events that this chunk brings to an end; what is left is held.

        Raises ValueError when what is held is longer than most_bytes, and still no whole event.
        """
        self._check_length()
        if not self._held and chunk.endswith(b"\n\n"):
            return chunk
        tail = self._held[-1][1 - _LONGEST_BOUNDARY :] if self._held else b""
        end = _last_boundary(tail + chunk) - len(tail)
        if end <= 0:
            self._hold(chunk)
            return b""
        events = b"".join((*self._held, chunk[:end]))
        self._held.clear()
        self._held_bytes = 0
        if end < len(chunk):
            self._hold(chunk[end:])
        return events

    def rest(self) -> bytes:
        """The events held at the end of a stream whose last event had no empty line after it."""
        self._check_length()
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _hold(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if len(self._held) > 1 and len(self._held[-2]) < _LONGEST_BOUNDARY:
            last = self._held.pop()  # a boundary may be spread over more than two chunks
            self._held[-1] += last

    def _check_length(self) -> None:
        if self._held_bytes > self._most_bytes:
            raise ValueError(f"an event of more than {self._most_bytes} bytes")


class StreamReader:
    """One stream: bytes in, complete events out, and what they said.

    endpoint: "chat.completions" or a dialect. drop_usage: take the event out that has nothing but
    the usage. model: the name to be written in place of the upstream's, None to leave that.
    keep_text: whether the answer's text is collected. most_bytes: of one event.

    usage: what the provider reported last. service_tier: that it named beside it. error: what it
    said went wrong. is_complete: whether the answer came to its end. output_bytes: of the generated
    text, for an estimate.
    """

    def __init__(
        self,
        endpoint: str = "chat.completions",
        *,
        drop_usage: bool = False,
        model: str | None = None,
        keep_text: bool = False,
        most_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.usage: dict[str, Any] | None = None
        self.service_tier: object = None
        self.error: object = None
        self.is_complete = False
        self.output_bytes = 0
        self.text: list[str] = []
        self._find_text = _TEXT[endpoint].finditer
        self._drop_usage = drop_usage
        self._model = None if model is None else b'\\1"' + _escaped(model) + b'"'
        self._keep_text = keep_text
        self._events = Events(most_bytes)

    def feed(self, chunk: bytes) -> bytes:
        """The complete events that this chunk brings to an end; what is left is held.

        Raises ValueError when what is held is longer than most_bytes, and still no whole event.
        """
        events = self._events.complete(chunk)
        return self._passed(events) if events else b""

    def rest(self) -> bytes:
        """The events held at the end of a stream whose last event had no empty line after it."""
        held = self._events.rest()
        return self._passed(held) if held else b""

    def _passed(self, events: bytes) -> bytes:
        for match in self._find_text(events):
            self.output_bytes += match.end(1) - match.start(1)
        if self._keep_text:
            self._collect(events)
        # searches for plain bytes first: they take a tenth of the time of an expression
        if not self.is_complete:
            self.is_complete = (b"[DONE]" in events and _DONE.search(events) is not None) or (
                b'"finish_reason"' in events and _FINISHED.search(events) is not None
            )
        if b'"usage"' in events or any(sign in events for sign in _OVER):
            events = self._read(events)
        if self._model is not None:
            events = b"".join(
                _MODEL.sub(self._model, event, count=1) for event in each_event(events)
            )
        return events

    def _read(self, events: bytes) -> bytes:
        """Take usage and error from the events that have one."""
        kept, end = [], 0
        for match in _TOLD.finditer(events):
            if match.start() < end:
                continue  # within the event that was just read
            start = _last_boundary(events[: match.start()])
            kept.append(events[end:start])
            end = _first_boundary(events, match.end())
            document = data_document(events[start:end])
            if document is None or not (self._noted(document) and self._drop_usage):
                kept.append(events[start:end])
        return b"".join((*kept, events[end:]))

    def _noted(self, document: dict[str, Any]) -> bool:
        """Note usage and error of an event; True if it has nothing but the usage."""
        error = error_in(document)
        if error is not None:
            self.error = error
        if document.get("type") in _ENDS:
            self.is_complete = True
        inner = document.get("response") or document.get("message")
        whole = inner if isinstance(inner, dict) else document
        usage = usage_in(whole)
        if usage is None:
            return False
        if document.get("type") == "message_delta":  # goes on with what message_start said
            known = {name: value for name, value in usage.items() if value is not None}
            usage = {**(self.usage or {}), **known}
        self.usage, self.service_tier = usage, service_tier_of({**whole, "usage": usage})
        return document.get("choices") == []

    def _collect(self, events: bytes) -> None:
        for event in each_event(events):
            document = data_document(event)
            if document is None:
                continue
            delta = document.get("delta")
            if isinstance(delta, str) and document.get("type") == "response.output_text.delta":
                self.text.append(delta)
            elif isinstance(delta, dict) and isinstance(delta.get("text"), str):  # of a message
                self.text.append(delta["text"])
            for choice in list_or_empty(document.get("choices")):
                part = choice.get("delta") if isinstance(choice, dict) else None
                content = part.get("content") if isinstance(part, dict) else None
                if isinstance(content, str):
                    self.text.append(content)


def error_event(error: Mapping[str, object]) -> bytes:
    """An event that tells clients of an error in the middle of a stream, in the form they know."""
    named = b"event: error\n" if error.get("type") == "error" else b""
    return named + b"data: " + orjson.dumps(error) + b"\n\n"


def error_in(document: object) -> object:
    """The error that a document of an upstream is, None if it is none."""
    if not isinstance(document, dict):
        return None
    if document.get("error"):
        return document["error"]
    for choice in list_or_empty(document.get("choices"))[:1]:  # OpenRouter: what failed behind it
        if isinstance(choice, dict) and choice.get("error"):
            return choice["error"]
    kind = document.get("type")
    if kind == "error":
        return {"message": document.get("message"), "code": document.get("code")}
    if kind == "response.failed" and isinstance(inner := document.get("response"), dict):
        return inner.get("error") or {"message": "response.failed"}
    return None


def usage_in(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage of an answer, None where it says nothing, or zeros, which messages need not to."""
    usage = answer.get("usage")
    return usage if isinstance(usage, dict) and any(usage.values()) else None


def service_tier_of(answer: dict[str, Any]) -> object:
    """The tier in which an answer was served, None where it does not say."""
    tier, usage = answer.get("service_tier"), answer.get("usage")
    return usage.get("service_tier") if tier is None and isinstance(usage, dict) else tier


def each_event(events: bytes) -> Iterator[bytes]:
    """The events, each with the empty line after it; all bytes are in one of them."""
    start = 0
    for match in _BOUNDARY.finditer(events):
        yield events[start : match.end()]
        start = match.end()
    if start < len(events):
        yield events[start:]


def event_data(event: bytes) -> bytes | None:
    """The data of an event, None if it has none, as comments have."""
    lines = [line[5:] for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def data_document(event: bytes) -> dict[str, Any] | None:
    """The JSON object of an event's data, None if it has none."""
    try:
        document = orjson.loads(event_data(event) or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _last_boundary(data: bytes) -> int:
    """Where the last complete event ends, 0 if there is none."""
    return max(
        data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0,
        data.rfind(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0,
        data.rfind(b"\r\r") + 2 if b"\r\r" in data else 0,
    )


def _first_boundary(data: bytes, start: int) -> int:
    """Where the event ends that goes on at start."""
    ends = [
        at + len(end)
        for end in (b"\n\n", b"\r\n\r\n", b"\r\r")
        if (at := data.find(end, start)) >= 0
    ]
    return min(ends, default=len(data))


def _escaped(model: str) -> bytes:
    return orjson.dumps(model)[1:-1].replace(b"\\", b"\\\\")


def list_or_empty(value: object) -> list[Any]:
    """The value of a field that should be a list; empty where it is something else."""
    return value if isinstance(value, list) else []


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in the value of a field that should be a list of them."""
    return [item for item in list_or_empty(value) if isinstance(item, dict)]
