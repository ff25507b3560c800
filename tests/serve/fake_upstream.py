"""A provider on 127.0.0.1 that answers as a test tells it to, by the name of the model."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
WORDS = ("Hel", "lo", " wörld")

Shape: TypeAlias = Callable[["Seen"], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """A request as it arrived."""

    request: web.Request
    raw: bytes
    body: dict[str, Any]
    peer: object = None  # the other end of the connection

    @property
    def path(self) -> str:
        return self.request.path


@dataclass
class FakeUpstream:
    """url: its base. shapes: how each model answers, one after the other, the last for good."""

    url: str = ""
    shapes: dict[str, list[Shape]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    def answers(self, model: str, *shapes: Shape) -> None:
        """From now on a model answers so."""
        self.shapes[model] = list(shapes)

    @property
    def models(self) -> list[str]:
        """Who was called, in order."""
        return [one.body["model"] for one in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        is_json = request.content_type == "application/json" and raw
        seen = Seen(request, raw, json.loads(raw) if is_json else {}, peer)
        self.seen.append(seen)
        shapes = self.shapes.get(seen.body.get("model", ""), [ok()])
        shape = shapes.pop(0) if len(shapes) > 1 else shapes[0]
        try:
            return await shape(seen)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise


@asynccontextmanager
async def fake_upstream() -> AsyncIterator[FakeUpstream]:
    """A running one."""
    fake = FakeUpstream()
    app = web.Application()
    app.router.add_route("*", "/v1/{tail:.*}", fake.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield fake
    finally:
        await runner.cleanup()


def completion(
    text: str | None = "".join(WORDS), *, usage: Mapping[str, Any] | None = USAGE, **message: Any
) -> dict[str, Any]:
    """A chat completion."""
    document: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "theirs-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": "stop",
            }
        ],
    }
    return document if usage is None else {**document, "usage": usage}


def chunk(**changes: Any) -> dict[str, Any]:
    """One chunk of a streamed completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "theirs-2026",
        "choices": [],
        **changes,
    }


def text_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    delta = {"content": text} if text else {}
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def streamed(usage: Mapping[str, Any] | None = USAGE) -> list[bytes]:
    """The events of a whole answer."""
    events = [event(text_chunk(word)) for word in WORDS] + [event(text_chunk("", "stop"))]
    if usage is not None:
        events.append(event(chunk(usage=usage)))
    return [*events, b"data: [DONE]\n\n"]


def response() -> dict[str, Any]:
    """An answer of the Responses API."""
    part = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_760_000_000,
        "model": "theirs-2026",
        "status": "completed",
        "error": None,
        "output": [message],
        "usage": {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30},
    }


def streamed_response() -> list[bytes]:
    """The events of a whole response."""
    begun = {**response(), "status": "in_progress", "output": [], "usage": None}
    of_part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    documents: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    documents += [{"type": "response.output_text.delta", "delta": one, **of_part} for one in WORDS]
    documents.append({"type": "response.output_text.done", "text": "".join(WORDS), **of_part})
    documents.append({"type": "response.completed", "response": response()})
    return [
        f"event: {one['type']}\n".encode() + event({**one, "sequence_number": number})
        for number, one in enumerate(documents)
    ]


MESSAGE_USAGE = {
    "input_tokens": 20,
    "output_tokens": 10,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "service_tier": "standard",
}


def message(*blocks: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """An answer of Anthropic's Messages API."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "theirs-2026",
        "content": list(blocks) or [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": MESSAGE_USAGE,
        **changes,
    }


def named_event(document: Mapping[str, Any]) -> bytes:
    return f"event: {document['type']}\n".encode() + event(document)


def streamed_message(usage: Mapping[str, Any] = MESSAGE_USAGE) -> list[bytes]:
    """The events of a whole message."""
    begun = message(content=[], stop_reason=None, usage={**usage, "output_tokens": 1})
    block = {"type": "text", "text": ""}
    documents: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    documents.append({"type": "content_block_start", "index": 0, "content_block": block})
    documents.append({"type": "ping"})
    documents += [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": one},
        }
        for one in WORDS
    ]
    documents.append({"type": "content_block_stop", "index": 0})
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    total = {"output_tokens": usage["output_tokens"]}
    documents.append({"type": "message_delta", "delta": delta, "usage": total})
    return [named_event(one) for one in (*documents, {"type": "message_stop"})]


def document(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Shape:
    """Answer with a JSON document."""

    async def shape(_seen: Seen) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return shape


def raw(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Shape:
    """Answer with these bytes."""

    async def shape(_seen: Seen) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return shape


def error(status: int, *, retry_after: str | None = None, code: str = "oops") -> Shape:
    """Answer with an error in OpenAI's form."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    said = {"error": {"message": f"no: {status}", "type": "x", "param": None, "code": code}}
    return document(said, status=status, headers=headers)


def zipped(body: Any) -> Shape:
    """Answer with a compressed document, although nobody asked for that."""
    return raw(
        gzip.compress(json.dumps(body).encode()),
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
    )


def stream(
    pieces: Sequence[bytes],
    *,
    cut: bool = False,
    before: Mapping[int, asyncio.Event] | None = None,
    after: Mapping[int, asyncio.Event] | None = None,
) -> Shape:
    """Send these bytes, one write each.

    cut: drop the connection after the last. before: events to wait for before a piece of that
    number. after: events to set when a piece of that number was sent.
    """

    async def shape(seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(seen.request)
        for number, piece in enumerate(pieces):
            if before and number in before:
                await before[number].wait()
            await response.write(piece)
            if after and number in after:
                after[number].set()
        if cut:
            assert seen.request.transport is not None
            seen.request.transport.close()
            return response
        await response.write_eof()
        return response

    return shape


def silent(until: asyncio.Event | None = None) -> Shape:
    """Answer nothing before the event is set."""

    async def shape(seen: Seen) -> web.StreamResponse:
        await (until or asyncio.Event()).wait()
        return await ok()(seen)

    return shape


def dropped() -> Shape:
    """Close the connection without an answer."""

    async def shape(seen: Seen) -> web.StreamResponse:
        assert seen.request.transport is not None
        seen.request.transport.close()
        return web.Response()

    return shape


def ok() -> Shape:
    """Answer well: a stream where one is asked for, with its usage where that is asked for."""

    async def shape(seen: Seen) -> web.StreamResponse:
        if seen.path.endswith("/embeddings"):
            return await document(EMBEDDING)(seen)
        if seen.path.endswith("/count_tokens"):
            return await document({"input_tokens": 17})(seen)
        if seen.path.endswith("/messages"):
            if seen.body.get("stream"):
                return await stream(streamed_message())(seen)
            return await document(message())(seen)
        if seen.path.endswith("/responses"):
            if seen.body.get("stream"):
                return await stream(streamed_response())(seen)
            return await document(response())(seen)
        if not seen.body.get("stream"):
            return await document(completion())(seen)
        options = seen.body.get("stream_options") or {}
        return await stream(streamed(USAGE if options.get("include_usage") else None))(seen)

    return shape


EMBEDDING = {
    "object": "list",
    "model": "theirs-2026",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}
