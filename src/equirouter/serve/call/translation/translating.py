"""An upstream that is asked for a response, and is called for a chat completion."""

from collections.abc import Coroutine, Mapping
from typing import Any

import orjson

from equirouter.errors import GatewayError, NoChatError, UpstreamError
from equirouter.serve.call.quirks import chat_body
from equirouter.serve.call.sse import error_in
from equirouter.serve.call.translation.answer import as_response
from equirouter.serve.call.translation.request import as_chat
from equirouter.serve.call.translation.stream import ResponseStream
from equirouter.serve.call.upstream import Answer, Upstream
from equirouter.serve.settings import UpstreamSettings

__all__ = ["TranslatingUpstream"]


class TranslatingUpstream:
    """The Responses API in front of an upstream that has chat completions only.

    What it gives back are the bytes that an upstream with /responses would have sent, so nothing
    after it knows the difference. settings: of the upstream. most_bytes: of an answer.
    """

    def __init__(self, upstream: Upstream, settings: UpstreamSettings, *, most_bytes: int) -> None:
        self._upstream = upstream
        self._settings = settings
        self._most_bytes = most_bytes

    def post(self, path: str, body: bytes) -> Coroutine[Any, Any, Answer]:
        """Call an endpoint, all but /responses as ever. See Upstream."""
        if path != "/responses":
            return self._upstream.post(path, body)
        return self._respond(body)

    async def _respond(self, body: bytes) -> Answer:
        request = orjson.loads(body)
        try:
            chat = as_chat(request)
        except NoChatError as error:  # such a request is not routed to this upstream
            refusal = GatewayError(400, str(error), param=error.field).body()
            raise UpstreamError(
                "status", str(error), status=400, body=orjson.dumps(refusal)
            ) from None
        is_stream = "stream" in chat
        chat = chat_body(chat, self._settings)
        answer = await self._upstream.post("/chat/completions", orjson.dumps(chat))
        if answer.status != 200:
            return answer
        if not is_stream:
            return _Document(answer, request)
        if answer.content_type.startswith(("application/json", "text/html")):
            return answer  # which is no stream
        stream = ResponseStream(request, model=request["model"], most_bytes=self._most_bytes)
        return _Stream(answer, stream)


class _Document:
    """A chat completion that is read as a response."""

    def __init__(self, answer: Answer, request: Mapping[str, Any]) -> None:
        self._answer = answer
        self._request = request
        self.status = answer.status
        self.content_type = "application/json"
        self.headers = answer.headers

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
            response = as_response(self._request, completion, model=self._request["model"])
        except ValueError as unreadable:
            raise UpstreamError("broken", f"an answer with {unreadable}") from unreadable
        return orjson.dumps(response)

    async def chunk(self) -> bytes:
        """The next bytes, as Answer.chunk."""
        return await self._answer.chunk()

    def close(self) -> None:
        """Give the connection back, as Answer.close."""
        self._answer.close()


class _Stream:
    """A stream of a chat completion that is read as that of a response."""

    def __init__(self, answer: Answer, stream: ResponseStream) -> None:
        self._answer = answer
        self._stream = stream
        self._has_told = False
        self._broken: UpstreamError | None = None
        self.status = answer.status
        self.content_type = "text/event-stream; charset=utf-8"
        self.headers = answer.headers

    async def read(self, most_bytes: int) -> bytes:
        """The whole body, as Answer.read."""
        return await self._answer.read(most_bytes)

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

    def close(self) -> None:
        """Give the connection back, as Answer.close."""
        self._answer.close()
