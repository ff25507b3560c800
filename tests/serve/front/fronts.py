"""Two servers with the same handler: connections that begin as fronts, and aiohttp's alone."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from equirouter.serve.front.asked import Answer, Asked, PlainReply, PlainRequest
from equirouter.serve.front.runner import FrontRunner
from equirouter.serve.settings import LimitSettings

PATH = "/v1/chat/completions"
LIMITS = LimitSettings(max_header_bytes=2048, max_body_bytes=200_000)
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


async def echo(request: Asked) -> Answer:
    """What was understood of a request."""
    body = request.body if isinstance(request, PlainRequest) else await request.read()
    said = {
        "path": request.path,
        "names": sorted(name.lower() for name in request.headers),
        "asked": request.headers.get("X-Asked"),
        "body": body.decode("latin-1"),
    }
    return PlainReply(orjson.dumps(said), {"Content-Type": "application/json"})


@asynccontextmanager
async def served(
    handler: Callable[[PlainRequest], Awaitable[Answer]] = echo,
    *,
    is_plain: bool = True,
    is_draining: Callable[[], bool] = lambda: False,
) -> AsyncIterator[tuple[int, web.AppRunner]]:
    """A server's port and runner. is_plain: with fronts; else aiohttp's alone, by `echo`."""

    async def behind(request: web.Request) -> web.StreamResponse:
        answer = await echo(request)
        assert isinstance(answer, PlainReply)
        return answer.for_aiohttp()

    app = web.Application(client_max_size=LIMITS.max_body_bytes)
    app.router.add_post(PATH, behind)
    options: dict[str, Any] = {
        "handler_cancellation": True,
        "access_log": None,
        "auto_decompress": False,
        "max_line_size": LIMITS.max_header_bytes,
        "max_field_size": LIMITS.max_header_bytes,
        "shutdown_timeout": 0.1,
    }
    runner = (
        FrontRunner(app, {PATH: handler}, LIMITS, is_draining, **options)
        if is_plain
        else web.AppRunner(app, **options)
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1], runner
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Told:
    """An answer as it came: its status, its body, and whether it is aiohttp's."""

    status: int
    body: bytes
    is_of_aiohttp: bool


async def answers(port: int, pieces: list[bytes], most: int = 8) -> tuple[list[Told], bool]:
    """The answers to the bytes, sent piece by piece, and whether the connection was closed.

    A request for a status is sent behind them, so that nothing has to be waited for.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    told: list[Told] = []
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        while len(told) < most:
            answer = await next_answer(reader)
            if answer is None:
                return told, True
            told.append(answer)
            if answer.status == 404:  # of LAST
                return told, False
        return told, False
    except ConnectionError:
        return told, True
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\n\r\n"


async def next_answer(reader: asyncio.StreamReader) -> Told | None:
    """The next answer whose body has a length, None where there is none."""
    try:
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length and status >= 200 else b""
    except asyncio.IncompleteReadError:
        return None
    return Told(status, body, b"\r\nServer:" in head)


class Wire(asyncio.Transport):
    """A connection without a network: what comes, comes in exactly these pieces."""

    def __init__(self, factory: Callable[[], asyncio.Protocol]) -> None:
        super().__init__()
        self.written = b""
        self._closing = False
        self._protocol = factory()
        self._protocol.connection_made(self)

    async def sends(self, piece: bytes) -> None:
        """Bytes of the client; returns when all is done that they lead to."""
        if not self._closing:
            self._protocol.data_received(piece)
        for _ in range(30):  # turns of the loop
            await asyncio.sleep(0)

    def answers(self) -> list[Told]:
        """What was answered."""
        told, left = [], self.written
        while left:
            head, _, left = left.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            told.append(Told(int(head[9:12]), left[:size], b"\r\nServer:" in head))
            left = left[size:]
        return told

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass
