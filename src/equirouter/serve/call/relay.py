"""A stream from an upstream to a client: no chunk is held back, and its end is never made up.

A whole answer is sent as the stream of events that a client asked for.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
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


_Object = dict[str, Any]
_DONE = b"data: [DONE]\n\n"
_SAID = {"output_text": ("output_text", "text"), "refusal": ("refusal", "refusal")}
_TEXTS = {"text": ("text",), "thinking": ("thinking", "signature")}
"""Of a message's blocks, by their type."""


class WholeAnswer:
    """An Answer of which everything is there: nothing more comes."""

    status = 200
    content_type = "text/event-stream"
    is_over = True

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    async def read(self, most_bytes: int) -> bytes:  # noqa: ARG002
        """Nothing, as Answer.read."""
        return b""

    async def chunk(self) -> bytes:
        """Nothing, as Answer.chunk."""
        return b""

    def close(self) -> None:
        """Nothing is open."""


def whole_stream(document: Mapping[str, Any], *, include_usage: bool) -> bytes:
    """The events of a chat completion, a response or a message that came in one piece.

    include_usage: whether those of a chat completion end with the usage; others always have it.
    """
    if "choices" in document:
        return b"".join(_chunks(document, include_usage=include_usage)) + _DONE
    if "output" not in document:
        return b"".join(map(_event, _of_message(document)))
    events = enumerate(_events(document))
    return b"".join(_event({**event, "sequence_number": n}) for n, event in events)


def _chunks(completion: Mapping[str, Any], *, include_usage: bool) -> Iterator[bytes]:
    """Two chunks of each choice: its message, then why it ended."""
    head = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    for place, choice in enumerate(objects(completion["choices"])):
        message = choice.get("message")
        content = message if isinstance(message, dict) else {}
        known = {key: value for key, value in content.items() if value is not None}
        for delta, reason in ((known, None), (_Object(), choice.get("finish_reason"))):
            part = {"index": place, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield _data({**head, "choices": [part]})
    if include_usage and "usage" in completion:
        yield _data({**head, "choices": [], "usage": completion["usage"]})


def _of_message(message: Mapping[str, Any]) -> Iterator[_Object]:
    """Its events, a delta for each text of a block; blocks of other kinds begin as they are."""
    usage, unsaid = message.get("usage"), dict.fromkeys(("stop_reason", "stop_sequence"))
    begun = {**message, **unsaid, "content": []}
    if isinstance(usage, dict):
        begun["usage"] = {**usage, "output_tokens": 0}
    yield {"type": "message_start", "message": begun}
    for place, block in enumerate(objects(message.get("content"))):
        texts = [name for name in _TEXTS.get(str(block.get("type")), ()) if name in block]
        start = {**block, **dict.fromkeys(texts, "")}
        cited = objects(start.pop("citations", None))
        yield {"type": "content_block_start", "index": place, "content_block": start}
        for delta in (
            *({"type": f"{name}_delta", name: block[name]} for name in texts),
            *({"type": "citations_delta", "citation": citation} for citation in cited),
        ):
            yield {"type": "content_block_delta", "index": place, "delta": delta}
        yield {"type": "content_block_stop", "index": place}
    ended = {name: message.get(name) for name in unsaid}
    yield {"type": "message_delta", "delta": ended, "usage": usage}
    yield {"type": "message_stop"}


def _events(response: Mapping[str, Any]) -> Iterator[_Object]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for place, item in enumerate(objects(response.get("output"))):
        yield from _of_item(item, {"output_index": place})
    ended = "incomplete" if response.get("status") == "incomplete" else "completed"
    yield {"type": f"response.{ended}", "response": dict(response)}


def _of_item(item: _Object, place: _Object) -> Iterator[_Object]:
    begun = {**item, "status": "in_progress"}
    is_message = item.get("type") == "message"
    if is_message:
        begun["content"] = []
    yield {"type": "response.output_item.added", **place, "item": begun}
    for number, part in enumerate(objects(item.get("content")) if is_message else ()):
        yield from _of_part(part, {**place, "item_id": item.get("id"), "content_index": number})
    yield {"type": "response.output_item.done", **place, "item": item}


def _of_part(part: _Object, place: _Object) -> Iterator[_Object]:
    meaning = _SAID.get(str(part.get("type")))
    if meaning is not None and not isinstance(part.get(meaning[1]), str):
        meaning = None
    begun = part if meaning is None else {**part, meaning[1]: ""}
    yield {"type": "response.content_part.added", **place, "part": begun}
    if meaning is not None:
        kind, name = meaning
        yield {"type": f"response.{kind}.delta", **place, "delta": part[name]}
        yield {"type": f"response.{kind}.done", **place, name: part[name]}
    yield {"type": "response.content_part.done", **place, "part": part}


def _event(document: _Object) -> bytes:
    kind: str = document["type"]
    return b"event: " + kind.encode() + b"\n" + _data(document)


def _data(document: _Object) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"
