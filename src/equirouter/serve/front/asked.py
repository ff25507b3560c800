"""A request to the API and its answer, whichever server they came by."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import web


@dataclass(slots=True)
class PlainReply:
    """An answer in one piece."""

    body: bytes
    headers: dict[str, str]
    status: int = 200

    def for_aiohttp(self) -> web.Response:
        """For aiohttp's server, which writes it."""
        return web.Response(body=self.body, status=self.status, headers=self.headers)

    def framed(self, *, is_last: bool) -> bytes:
        """All its bytes. is_last: the connection takes no further request."""
        self.headers["Content-Length"] = str(len(self.body))
        if is_last:
            self.headers["Connection"] = "close"
        return head(self.status, self.headers) + self.body


class PlainRequest:
    """A POST whose body is there.

    transport: of the client's connection. handler: what answers it. flow: waits until the client
    has taken what was written; it raises ConnectionResetError once it never will.
    """

    __slots__ = ("body", "flow", "handler", "headers", "path", "stream", "transport")
    method = "POST"
    match_info: Mapping[str, str] = {}

    def __init__(
        self,
        path: str,
        headers: Mapping[str, str],
        transport: asyncio.Transport,
        handler: "Handler",
        flow: Callable[[], Awaitable[None]],
    ) -> None:
        self.path, self.headers, self.transport = path, headers, transport
        self.handler, self.flow = handler, flow
        self.body = b""
        self.stream: PlainStream | None = None

    @property
    def remote(self) -> str | None:
        """The address of the client."""
        peer = self.transport.get_extra_info("peername")
        return str(peer[0]) if peer else None


@dataclass(slots=True)
class PlainStream:
    """The answer to a plain request in pieces, each a chunk of HTTP."""

    request: PlainRequest
    headers: dict[str, str]
    begun: bool = field(default=False)
    ended: bool = field(default=False)

    async def write(self, data: bytes) -> None:
        """As Outlet.write."""
        await self._send(b"%x\r\n%b\r\n" % (len(data), data) if data else b"")

    async def write_eof(self, data: bytes = b"") -> None:
        """As Outlet.write_eof."""
        self.ended = True
        await self._send((b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + b"0\r\n\r\n")

    async def _send(self, framed: bytes) -> None:
        transport = self.request.transport
        if transport.is_closing():
            raise ConnectionResetError("the client has hung up")
        if not self.begun:
            self.begun = True
            framed = head(200, self.headers | {"Transfer-Encoding": "chunked"}) + framed
        transport.write(framed)
        await self.request.flow()


class _Stream(web.StreamResponse):
    """Its head goes out with the first events, which are there: in one packet, and not in two."""

    _send_headers_immediately = False


Asked: TypeAlias = PlainRequest | web.Request
Answer: TypeAlias = PlainReply | PlainStream | web.StreamResponse
Handler: TypeAlias = Callable[[PlainRequest], Awaitable[Answer]]


async def open_stream(request: Asked, headers: dict[str, str]) -> PlainStream | web.StreamResponse:
    """An answer in pieces, which is an Outlet."""
    if isinstance(request, PlainRequest):
        request.stream = PlainStream(request, headers)
        return request.stream
    response = _Stream(headers=headers)
    await response.prepare(request)
    return response


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The head of an answer. Raises ValueError for a header that could be read as two."""
    fields = [f"{name}: {value}\r\n" for name, value in headers.items()]
    text = "".join(fields)
    if text.count("\r") + text.count("\n") != 2 * len(fields) or "\0" in text:
        raise ValueError("a header of an answer has a line break in it")
    return _status_line(status) + text.encode() + _date()


def _status_line(status: int) -> bytes:
    line = _STATUS_LINES.get(status)
    if line is None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:  # a provider's own
            phrase = ""
        line = _STATUS_LINES[status] = f"HTTP/1.1 {status} {phrase}\r\n".encode()
    return line


_STATUS_LINES: dict[int, bytes] = {}
_dated: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    """The last header and the end of the head, made once a second."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = now, f"Date: {formatdate(now, usegmt=True)}\r\n\r\n".encode()
    return _dated[1]
