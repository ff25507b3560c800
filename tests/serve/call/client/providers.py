"""Providers on 127.0.0.1 that send whatever a test tells them to, and clients that call them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.upstream import HttpUpstream
from equirouter.serve.settings import UpstreamSettings

Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next request: its head and its body. Raises IncompleteReadError where none comes."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head, await reader.readexactly(int(line.split(b":")[1]))
    return head, b""


@asynccontextmanager
async def provider(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """A provider whose every connection is handled so; gives its base URL."""

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(handled(reader, writer)))

    tasks: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(accepted, "127.0.0.1", 0, **options)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


def sending(*answers: bytes, ends: bool = False) -> Handler:
    """Answer the requests of a connection with these bytes; then end, or wait for the client."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request(reader)
            writer.write(answer)
        if not ends:
            await reader.read()

    return handler


def upstream_of(client: HttpClient, url: str, **settings: Any) -> HttpUpstream:
    """The provider at an address, called without a key."""
    return HttpUpstream(UpstreamSettings(base_url=url, auth="none", **settings), client)


@asynccontextmanager
async def calling(handler: Handler, **settings: Any) -> AsyncIterator[HttpUpstream]:
    """A provider and a client of its own."""
    async with provider(handler) as url, HttpClient() as client:
        yield upstream_of(client, url, **settings)


async def asked(upstream: HttpUpstream, body: bytes = b"{}") -> tuple[int, bytes]:
    """Status and body of the answer to one POST."""
    answer = await upstream.post("/chat/completions", body)
    try:
        return answer.status, await answer.read(10_000_000)
    finally:
        answer.close()
