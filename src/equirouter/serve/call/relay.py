"""A stream from an upstream to a client: no chunk is held back, and its end is never made up."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from equirouter.errors import GatewayError, UpstreamError
from equirouter.serve.call.attempts import Served
from equirouter.serve.call.sse import StreamReader, error_event, objects
from equirouter.serve.contracts import Outlet
from equirouter.serve.refusals import error_document


class Relay:
    """Passes a stream on. reader: what was read of it. error: how it went wrong, None if well."""

    def __init__(
        self,
        served: Served,
        *,
        drop_usage: bool,
        model: str | None,
        keep_text: bool,
        endpoint: str,
        most_bytes: int,
    ) -> None:
        self.reader = StreamReader(
            endpoint,
            drop_usage=drop_usage,
            model=model,
            keep_text=keep_text,
            most_bytes=most_bytes,
        )
        self.error: str | None = None
        self._is_message = endpoint == "messages"
        self._most_bytes = most_bytes
        self._last = b""  # events that are written with the end
        self._is_writing = False  # what is waited for: the client, else the upstream
        self._served = served

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer that say how it comes."""
        return {
            "Content-Type": typed(self._served.answer.content_type, "text/event-stream"),
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",  # proxies in front must not collect chunks either
        }

    async def run(self, outlet: Outlet, at_first_byte: Callable[[], None]) -> None:
        """Until the stream ends, breaks, or the client hangs up (which cuts the upstream's call).

        A stream that breaks ends with an event that holds the error, without a [DONE]. A client
        that does not take what is there within the time of the whole call has hung up: raises
        ConnectionResetError.
        """
        seconds = self._served.route.upstream_settings.total_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._pass_on(outlet, at_first_byte)
        except (UpstreamError, ValueError) as failed:
            self.error = f"the stream broke off: {failed}"
        except TimeoutError:
            if self._is_writing:
                raise _gave_up() from None
            self.error = f"the stream broke off: no end within {seconds} s"
        try:
            async with asyncio.timeout(seconds):
                await self._end(outlet)
        except TimeoutError:
            raise _gave_up() from None

    async def _end(self, outlet: Outlet) -> None:
        if self.error is not None:
            pass  # it broke off, whatever it said before
        elif self.reader.error is not None:
            self.error = "the upstream sent an error in the stream"
        elif not self.reader.is_complete:
            self.error = "the upstream ended its stream before the answer was complete"
        last = self._last
        if self.error is not None:
            self._served.close(is_healthy=False)
            if self.reader.error is None:  # else the client has the upstream's own words
                error = GatewayError(502, self.error, type_="upstream_error", code="stream_broken")
                last += error_event(error_document(error, is_message=self._is_message))
        await outlet.write_eof(last)

    async def _pass_on(self, outlet: Outlet, at_first_byte: Callable[[], None]) -> None:
        reader, answer = self.reader, self._served.answer
        chunk = self._served.body
        room = self._most_bytes
        at_first_byte()
        while chunk:
            events = reader.feed(chunk[:room])
            room -= len(chunk)
            if answer.is_over and room >= 0:
                self._last = events  # they go out with the end, in one packet
                break
            if events:
                self._is_writing = True
                await outlet.write(events)
                self._is_writing = False
            if room < 0:
                raise ValueError(f"an answer of more than {self._most_bytes} bytes")
            chunk = await answer.chunk()
        self._last += reader.rest()


def _gave_up() -> ConnectionResetError:
    return ConnectionResetError("the client does not read")


def typed(content_type: str, expected: str) -> str:
    """The content type of what was read as the expected one, with what else the upstream says."""
    return content_type if content_type.startswith(expected) else expected


def answer_text(document: dict[str, Any]) -> str:
    """All that an answer says, of every choice, with the arguments of its tool calls."""
    said: list[object] = []
    for choice in objects(document.get("choices")):
        for message in objects([choice.get("message")]):
            said += [message.get(name) for name in ("reasoning_content", "content", "refusal")]
            calls = [call.get("function") for call in objects(message.get("tool_calls"))]
            said += [function.get("arguments") for function in objects(calls)]
    for block in objects(document.get("content")):  # of a message
        said.append(block.get("text") or block.get("thinking"))
        if block.get("input"):
            said.append(orjson.dumps(block["input"]).decode())
    for item in objects(document.get("output")):  # of the Responses API
        said.append(item.get("arguments"))
        said += [part.get("text") for part in objects(item.get("content"))]
    return "".join(text for text in said if isinstance(text, str))
