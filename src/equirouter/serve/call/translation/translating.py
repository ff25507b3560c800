"""The dialects, and an upstream that is asked in one and is called for a chat completion."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from equirouter.errors import GatewayError, NoChatError, UpstreamError
from equirouter.serve.call.parameters import Fitting
from equirouter.serve.call.quirks import chat_body
from equirouter.serve.call.sse import StreamReader, each_event, error_in, event_data
from equirouter.serve.call.translation.chat_form import Conversation
from equirouter.serve.call.translation.messages import request as messages
from equirouter.serve.call.translation.messages.building import MessageBuilding
from equirouter.serve.call.translation.responses import request as responses
from equirouter.serve.call.translation.responses.building import Building
from equirouter.serve.call.translation.telling import Telling, whole
from equirouter.serve.call.upstream import NO_HEADERS, Answer, Upstream
from equirouter.serve.settings import UpstreamSettings

_Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way to ask and to answer.

    path: where upstreams that speak it have it. read: the conversation of a request; raises
    ValueError with the place of a wrong form. as_chat: a request as a chat completion; raises
    NoChatError. left_out: names of what that leaves out. telling: an answer in the dialect.
    """

    path: str
    read: Callable[[_Object], Conversation]
    as_chat: Callable[[_Object], dict[str, Any]]
    left_out: Callable[[_Object], list[str]]
    telling: type[Telling]

    def is_native(self, upstream: UpstreamSettings) -> bool:
        """Whether an upstream speaks it: a setting of the same name as the path."""
        return bool(getattr(upstream, self.path.removeprefix("/")))


DIALECTS: Mapping[str, Dialect] = {
    "responses": Dialect(
        "/responses", responses.read_conversation, responses.as_chat, responses.left_out, Building
    ),
    "messages": Dialect(
        "/messages",
        messages.read_conversation,
        messages.as_chat,
        messages.left_out,
        MessageBuilding,
    ),
}
"""By endpoint of the gateway."""


def translated(endpoint: str, upstream: UpstreamSettings) -> Dialect | None:
    """The dialect in which an upstream cannot be asked, None where it is asked as it came."""
    dialect = DIALECTS.get(endpoint)
    return None if dialect is None or dialect.is_native(upstream) else dialect


class AnswerStream:
    """One stream: bytes of the upstream in, bytes for the client out.

    telling: the client's dialect. request: in that dialect. model: its name where the chunks say
    none. most_bytes: of one event, and of all that is said.

    has_begun: whether the client was told of an answer. is_over: whether its last event was given
    out. failure: why it broke off, None if it did not. is_said: whether the upstream itself sent
    that as an error.
    """

    def __init__(
        self, telling: type[Telling], request: Mapping[str, Any], *, model: str, most_bytes: int
    ) -> None:
        self.failure: str | None = None
        self.is_said = False
        self.is_over = False
        self._telling = telling
        self._request = request
        self._model = model
        self._most_bytes = most_bytes
        self._reader = StreamReader(most_bytes=most_bytes)  # finds where events end
        self._answer: Telling | None = None
        self._usage: object = None
        self._reason: object = None
        self._events = 0

    @property
    def has_begun(self) -> bool:
        """Whether the client was told of an answer."""
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

    def broken(self, why: str, *, is_limit: bool = False) -> bytes:
        """The event of an answer that failed; nothing where none had begun."""
        self.failure = why
        self.is_over = True
        if self._answer is None:
            return b""
        return self._told(*self._answer.failed(why, usage=self._usage, is_limit=is_limit))

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
            return self.broken("an event that is not a JSON object")
        error = error_in(chunk)
        if error is not None:
            self.is_said = True
            why, is_limit = _reason(error)
            return self.broken(why, is_limit=is_limit)
        return self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        told = b""
        if self._answer is None:
            self._answer = self._telling(self._request, chunk, model=self._model)
            told += self._told(*self._answer.begun())
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
        try:
            answer.close(self._reason)
        except ValueError as unreadable:
            return self._told(*answer.take()) + self.broken(str(unreadable))
        told = self._told(*answer.take())
        self.is_over = True
        return told + self._told(*answer.ended(self._usage))

    def _told(self, *events: dict[str, Any]) -> bytes:
        told: list[bytes] = []
        for event in events:
            kind = event["type"].encode()
            if self._telling.is_numbered:
                event = {**event, "sequence_number": self._events}
            document = orjson.dumps(event)
            told += (b"event: ", kind, b"\ndata: ", document, b"\n\n")
            self._events += 1
        return b"".join(told)


def _reason(error: object) -> tuple[str, bool]:
    """The message of an upstream's error, and whether a limit of the provider is the reason."""
    details = error if isinstance(error, dict) else {"message": error}
    message = details.get("message")
    text = message if isinstance(message, str) and message else "the upstream failed"
    kinds = f"{details.get('code')} {details.get('type')} {details.get('status')}"
    return text, "429" in kinds or "rate_limit" in kinds


class TranslatingUpstream:
    """The dialects in front of an upstream that has chat completions only.

    What it gives back are the bytes that an upstream with that dialect would have sent, so nothing
    after it knows the difference. settings: of the upstream. fitting: what is changed for the
    model. most_bytes: of an answer.
    """

    def __init__(
        self, upstream: Upstream, settings: UpstreamSettings, fitting: Fitting, *, most_bytes: int
    ) -> None:
        self._upstream = upstream
        self._settings = settings
        self._fitting = fitting
        self._most_bytes = most_bytes
        self._dialects = {
            dialect.path: dialect
            for dialect in DIALECTS.values()
            if not dialect.is_native(settings)
        }

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> Coroutine[Any, Any, Answer]:
        """Call an endpoint, those of other dialects as ever. See Upstream."""
        dialect = self._dialects.get(path)
        if dialect is None:
            return self._upstream.post(path, body, headers)
        return self._answer(dialect, body, headers)

    async def _answer(self, dialect: Dialect, body: bytes, headers: Mapping[str, str]) -> Answer:
        request = orjson.loads(body)
        try:
            chat = dialect.as_chat(request)
        except NoChatError as error:  # such a request is not routed to this upstream
            refusal = GatewayError(400, str(error), param=error.field).body()
            raise UpstreamError(
                "status", str(error), status=400, body=orjson.dumps(refusal)
            ) from None
        is_stream = "stream" in chat
        chat, _ = self._fitting.applied(chat_body(chat, self._settings))
        answer = await self._upstream.post("/chat/completions", orjson.dumps(chat), headers)
        if answer.status != 200:
            return answer
        if not is_stream:
            return _Document(answer, dialect.telling, request)
        if answer.content_type.startswith(("application/json", "text/html")):
            return answer  # which is no stream
        stream = AnswerStream(
            dialect.telling, request, model=request["model"], most_bytes=self._most_bytes
        )
        return _Stream(answer, stream)


class _Document:
    """A chat completion that is read as an answer in another dialect."""

    is_over = False  # it is read whole

    def __init__(self, answer: Answer, telling: type[Telling], request: Mapping[str, Any]) -> None:
        self._answer = answer
        self._telling = telling
        self._request = request
        self.status, self.headers = answer.status, answer.headers
        self.content_type = "application/json"
        self.chunk, self.close = answer.chunk, answer.close

    async def read(self, most_bytes: int) -> bytes:
        """The whole body, as Answer.read."""
        body = await self._answer.read(most_bytes)
        try:
            completion = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body  # whoever reads it will say so
        if not isinstance(completion, dict) or error_in(completion) is not None:
            return body
        try:
            document = whole(self._telling, self._request, completion, model=self._request["model"])
        except ValueError as unreadable:
            raise UpstreamError("broken", f"an answer with {unreadable}") from unreadable
        return orjson.dumps(document)


class _Stream:
    """A stream of a chat completion that is read as that of another dialect."""

    is_over = False  # its end is told when it is read

    def __init__(self, answer: Answer, stream: AnswerStream) -> None:
        self._answer = answer
        self._stream = stream
        self._has_told = False
        self._broken: UpstreamError | None = None
        self.status, self.headers = answer.status, answer.headers
        self.content_type = "text/event-stream; charset=utf-8"
        self.read, self.close = answer.read, answer.close

    async def chunk(self) -> bytes:
        """The next bytes, as Answer.chunk.

        A stream that breaks ends with an event that says so, and then raises. One that breaks
        before anything was told raises at once, and another model may answer.
        """
        told = b""
        while not told:
            if self._broken is not None:
                raise self._broken
            if self._stream.is_over:
                return await self._rest()
            told = await self._next()
        if self._stream.failure is not None and not self._has_told:
            raise self._broken or UpstreamError("broken", self._stream.failure)
        self._has_told = True
        return told

    async def _next(self) -> bytes:
        """The events that the next bytes of the upstream come to; notes how it broke."""
        stream = self._stream
        try:
            chunk = await self._answer.chunk()
        except UpstreamError as error:
            self._broken = error
            return stream.broken(f"the stream broke off: {error}")
        told = stream.feed(chunk) if chunk else stream.end()
        if stream.failure is not None and not (stream.is_said and stream.has_begun):
            self._broken = UpstreamError("broken", stream.failure)
        return told

    async def _rest(self) -> bytes:
        """Read to the end, nothing of which is told: a connection that was read is used again."""
        try:
            while self._stream.failure is None and await self._answer.chunk():
                pass
        except UpstreamError:
            pass  # the answer was complete
        return b""
