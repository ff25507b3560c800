"""A stream of a chat completion as a stream of a response's events, each as soon as it can be."""

from collections.abc import Mapping
from typing import Any

import orjson

from equirouter.serve.call.sse import StreamReader, each_event, error_in, event_data
from equirouter.serve.call.translation.answer import begun, response_usage
from equirouter.serve.call.translation.building import Building

__all__ = ["ResponseStream"]


class ResponseStream:
    """One stream: bytes of the upstream in, bytes for the client out.

    request: of the Responses API. model: its name where the chunks say none. most_bytes: of one
    event, and of all that is said, which the last event says again.

    has_begun: whether the client was told of a response. is_over: whether its last event was given
    out. failure: why it broke off, None if it did not. is_said: whether the upstream itself sent
    that as an error.
    """

    def __init__(
        self, request: Mapping[str, Any], *, model: str, most_bytes: int, number: str = ""
    ) -> None:
        self.failure: str | None = None
        self.is_said = False
        self.is_over = False
        self._request = request
        self._model = model
        self._number = number
        self._most_bytes = most_bytes
        self._reader = StreamReader(most_bytes=most_bytes)  # finds where events end
        self._answer: Building | None = None
        self._usage: object = None
        self._reason: object = None
        self._events = 0

    @property
    def has_begun(self) -> bool:
        """Whether the client was told of a response."""
        return self._answer is not None

    def feed(self, chunk: bytes) -> bytes:
        """The events that can be told after these bytes."""
        if self.is_over:
            return b""
        try:
            events = self._reader.feed(chunk)
        except ValueError as too_long:
            return self.broken(str(too_long))
        return self._translated(events)

    def end(self) -> bytes:
        """The events that are left when the upstream's stream is over."""
        if self.is_over:
            return b""
        try:
            told = self._translated(self._reader.rest())
        except ValueError as too_long:
            return self.broken(str(too_long))
        if self.is_over:
            return told
        if self._reason is None:
            return told + self.broken("it ended before the answer was complete")
        return told + self._completed()

    def broken(self, why: str, code: str = "server_error") -> bytes:
        """The event of a response that failed; nothing where none had begun."""
        self.failure = why
        self.is_over = True
        if self._answer is None:
            return b""
        usage, error = response_usage(self._usage), {"code": code, "message": why}
        failed = self._answer.response("failed", usage=usage, error=error)
        return self._told({"type": "response.failed", "response": failed})

    def _translated(self, events: bytes) -> bytes:
        told: list[bytes] = []
        for event in each_event(events):
            data = event_data(event)
            if data is not None:
                told.append(self._event(data))
            elif event.strip():
                told.append(event)  # a comment, which keeps connections alive
            if self.is_over:
                break
        return b"".join(told)

    def _event(self, data: bytes) -> bytes:
        if data.strip() == b"[DONE]":
            if self._answer is None:
                return self.broken("it ended before the answer began")
            return self._completed()
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict):
            return self.broken("an event that is no JSON object")
        error = error_in(chunk)
        if error is not None:
            self.is_said = True
            return self.broken(*_reason(error))
        return self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        told = b""
        if self._answer is None:
            self._answer = begun(self._request, chunk, self._model, self._number)
            for kind in ("response.created", "response.in_progress"):
                response = self._answer.response("in_progress")
                told += self._told({"type": kind, "response": response})
        answer = self._answer
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue  # one answer was asked for
            delta = choice.get("delta")
            self._reason = choice.get("finish_reason") or self._reason
            unreadable = None
            try:
                if isinstance(delta, dict):
                    answer.add(delta)
            except ValueError as error:
                unreadable = str(error)
            told += self._told(*answer.take())
            if answer.size > self._most_bytes:
                unreadable = f"an answer of more than {self._most_bytes} characters"
            if unreadable is not None:
                return told + self.broken(unreadable)
        return told

    def _completed(self) -> bytes:
        answer = self._answer
        assert answer is not None  # noqa: S101  # it has begun
        answer.close(self._reason)
        told = self._told(*answer.take())
        self.is_over = True
        response = answer.response(answer.status, usage=response_usage(self._usage))
        return told + self._told({"type": f"response.{answer.status}", "response": response})

    def _told(self, *events: dict[str, Any]) -> bytes:
        told: list[bytes] = []
        for event in events:
            kind = event["type"].encode()
            document = orjson.dumps({**event, "sequence_number": self._events})
            told += (b"event: ", kind, b"\ndata: ", document, b"\n\n")
            self._events += 1
        return b"".join(told)


def _reason(error: object) -> tuple[str, str]:
    """The message of an upstream's error, and its code among those of failed responses."""
    details = error if isinstance(error, dict) else {"message": error}
    message = details.get("message")
    text = message if isinstance(message, str) and message else "the upstream failed"
    kinds = f"{details.get('code')} {details.get('type')} {details.get('status')}"
    is_limit = "429" in kinds or "rate_limit" in kinds
    return text, "rate_limit_exceeded" if is_limit else "server_error"
