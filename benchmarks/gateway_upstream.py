"""A provider that answers at once: the fastest fake there can be, so that only the proxy is timed.

    python benchmarks/gateway_upstream.py --port 9000 [--delay-ms 200] [--chunks 20] [--chunk-ms 0]
        [--messages]

Reads HTTP/1.1 straight from the socket. A body with "stream": true is answered by server-sent
events, any other by one chat completion; --delay-ms is waited before the first byte, --chunk-ms
between chunks. With --messages answers have the form of Anthropic's /v1/messages.
"""

import argparse
import asyncio
import json
import re
from typing import Any

import uvloop

STREAMED = re.compile(rb'"stream"\s*:\s*true')
USAGE = {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}


COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "fake",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "word " * 20},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "fake",
    "content": [{"type": "text", "text": "word " * 20}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 20, "output_tokens": 20},
}


def whole_answer(document: dict[str, Any]) -> bytes:
    """The answer of a call that does not stream, with its HTTP head."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def events(n: int) -> list[bytes]:
    """The chunks of a stream of n words, each framed for HTTP; the last ends the body."""
    base: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake",
    }
    events = []
    for place in range(n + 1):
        last = place == n
        choice = {
            "index": 0,
            "delta": {} if last else {"content": "word "},
            "finish_reason": "stop" if last else None,
        }
        events.append(json.dumps(base | {"choices": [choice]}))
    events.append(json.dumps(base | {"choices": [], "usage": USAGE}))
    framed = [framed_chunk(f"data: {text}\n\n".encode()) for text in events]
    return [*framed, framed_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]


def message_events(n: int) -> list[bytes]:
    """The same of a stream of Anthropic's messages."""
    block = {"index": 0}
    end = {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}}
    text = {"delta": {"type": "text_delta", "text": "word "}}
    started = MESSAGE | {"content": [], "stop_reason": None}
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": started}),
        ("content_block_start", block | {"content_block": {"type": "text", "text": ""}}),
        *[("content_block_delta", block | text)] * n,
        ("content_block_stop", block),
        ("message_delta", end),
        ("message_stop", {}),
    ]
    framed = [
        framed_chunk(f"event: {name}\ndata: {json.dumps({'type': name} | data)}\n\n".encode())
        for name, data in events
    ]
    return [*framed[:-1], framed[-1] + b"0\r\n\r\n"]


def framed_chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Upstream(asyncio.Protocol):
    """One connection; requests on it are answered in order."""

    def __init__(self, chunks: int, delay: float, chunk_delay: float, is_messages: bool) -> None:
        self.whole = whole_answer(MESSAGE if is_messages else COMPLETION)
        self.parts = (message_events if is_messages else events)(chunks)
        self.delay = delay
        self.chunk_delay = chunk_delay
        self.read = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.read += data
        while True:
            end = self.read.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.read[:end].lower()
            match = re.search(rb"content-length:\s*(\d+)", head)
            if match:
                size = end + 4 + int(match.group(1))
                if len(self.read) < size:
                    return
                body = self.read[end + 4 : size]
            elif b"transfer-encoding: chunked" in head:
                stop = self.read.find(b"0\r\n\r\n", end)
                if stop < 0:
                    return
                size = stop + 5
                body = self.read[end + 4 : size]
            else:
                size, body = end + 4, b""
            self.read = self.read[size:]
            self.answer(STREAMED.search(body) is not None)

    def answer(self, streamed: bool) -> None:
        if self.delay or (streamed and self.chunk_delay):
            task = asyncio.ensure_future(self.answer_slowly(streamed))
            task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)
        else:
            self.transport.write(STREAM_HEAD + b"".join(self.parts) if streamed else self.whole)

    async def answer_slowly(self, streamed: bool) -> None:
        await asyncio.sleep(self.delay)
        if not streamed:
            self.transport.write(self.whole)
            return
        self.transport.write(STREAM_HEAD)
        for part in self.parts:
            if self.transport.is_closing():
                return
            self.transport.write(part)
            await asyncio.sleep(self.chunk_delay)


async def serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Upstream(
            options.chunks, options.delay_ms / 1e3, options.chunk_ms / 1e3, options.messages
        ),
        options.host,
        options.port,
        backlog=2048,
    )
    print("ready", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A provider that answers at once.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--chunk-ms", type=float, default=0.0)
    parser.add_argument("--messages", action="store_true")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
