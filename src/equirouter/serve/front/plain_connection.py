"""One connection: plain requests are read here, and all others by aiohttp's server.

Plain is a POST to one of the API's paths in HTTP/1.1, whose body has a length, and whose every byte
is as it should be: that is what nearly all clients send. At the first request that is anything else
the connection goes to aiohttp's server for good, with all that is not answered yet. So there is one
place that knows what is right and wrong in HTTP, and nothing is read here that could be read in two
ways.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from multidict import CIMultiDict

from equirouter.serve.front.asked import Handler, PlainReply, PlainRequest
from equirouter.serve.settings import LimitSettings

_LOG = logging.getLogger("equirouter.serve")

IDLE_SECONDS = 75.0
LOOK_SECONDS = 5.0
MOST_BYTES = 1024 * 1024
"""Of a plain request. A longer one goes to aiohttp's server, which reads it bit by bit."""
_MOST_FIELDS = 100
_HEAD = re.compile(  # possessive, so that nothing is looked at twice, but for the group of lines
    rb"POST (/[a-z0-9/_]++) HTTP/1\.1\r\n"
    rb"((?:[0-9A-Za-z!#$%%&'*+.^_`|~-]++:[\t ]*+[!-~][\t -~]*+(?<![\t ])\r\n){1,%d})\r\n"
    % _MOST_FIELDS
)
_FIELDS = re.compile(r"([^:]+):[\t ]*([^\r]*)\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[\t ]*(\d+)(?=\r\n)", re.IGNORECASE)
_NOT_PLAIN = frozenset(
    {
        "content-encoding",
        "expect",
        "origin",  # a page in a browser: answers to it have headers of their own
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class _Head:
    """A plain head, but for the length: clients send the same one again and again.

    before, behind: its bytes up to the length, and from there on.
    """

    before: bytes
    behind: bytes
    path: str
    headers: CIMultiDict[str]
    handler: Handler


class Front(asyncio.Protocol):
    """A connection of a client. fronts: all of them, and what they share."""

    def __init__(self, fronts: "Fronts") -> None:
        self._fronts = fronts
        self._transport: asyncio.Transport | None = None
        self._held = b""  # bytes of requests that are not answered yet
        self._request: PlainRequest | None = None  # whose body has not come yet
        self._head: _Head | None = None  # of the request before
        self._place = slice(0)  # of that body in what is held
        self._task: asyncio.Task[None] | None = None
        self._is_full = False  # the client does not take what is written
        self._taken: asyncio.Future[None] | None = None
        self._is_paused = False
        self._is_new = True
        self.is_closing = False
        self.used = fronts.loop.time()
        """When something came or was answered, in the loop's time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As in asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._fronts.add(self, transport)

    def data_received(self, data: bytes) -> None:
        """As in asyncio."""
        self._held = self._held + data if self._held else data
        if self._task is None:
            self._begin()
        elif len(self._held) > MOST_BYTES and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """As in asyncio. A client that hangs up is answered no further."""
        self._transport = None
        self._fronts.discard(self)
        if self._task is not None:
            self._task.cancel()
        if self._taken is not None and not self._taken.done():
            self._taken.set_exception(ConnectionResetError("the client has hung up"))

    def pause_writing(self) -> None:
        """As in asyncio."""
        self._is_full = True

    def resume_writing(self) -> None:
        """As in asyncio."""
        self._is_full = False
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    def close(self) -> None:
        """Take no further request; one that runs is answered, and the first of a new connection."""
        self.is_closing = True
        if self._task is not None:
            return
        if self._held:
            self._hand_over()
        elif self._transport is not None and not self._is_new:
            self._transport.close()

    async def cut(self) -> None:
        """Close the connection, whatever runs."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._transport is not None:
            self._transport.close()

    def look(self, now: float, idle_seconds: float, slow_seconds: float) -> None:
        """Close the connection where it is idle; a body that is slow to come is not waited for."""
        if self._task is not None or self._transport is None:
            return
        if self._held and now - self.used > slow_seconds:
            self._hand_over()
        elif now - self.used > idle_seconds:
            self._transport.close()

    def _begin(self) -> None:
        """Answer the request that is held, once all of it is there."""
        self._is_new = False
        request = self._request
        if request is None:
            self.used = self._fronts.loop.time()
            request = self._request = self._read()
        if request is None:
            self._hand_over()
        elif len(self._held) >= self._place.stop:
            request.body = self._held[self._place]
            self._held, self._request = self._held[self._place.stop :], None
            self._task = self._fronts.loop.create_task(self._answer(request))

    def _read(self) -> PlainRequest | None:
        """The head of the request that is held, None for one that is not plain."""
        transport, length = self._transport, self._length_behind(self._head)
        if length is None:
            self._head = self._parsed()
            length = self._length_behind(self._head)
        head, fronts = self._head, self._fronts
        if head is None or transport is None or length is None:
            return None
        end = len(head.before) + len(length) + len(head.behind)
        if (
            end > fronts.longest_head
            or len(length) > len(str(MOST_BYTES))
            or end + int(length) > min(MOST_BYTES, fronts.longest_body)
        ):
            return None
        self._place = slice(end, end + int(length))
        headers = head.headers.copy()
        headers["Content-Length"] = length.decode()
        return PlainRequest(head.path, headers, transport, head.handler, self._flow)

    def _length_behind(self, head: _Head | None) -> bytes | None:
        """The length in a head like this one, None where what is held begins otherwise."""
        held = self._held
        if head is None or not held.startswith(head.before):
            return None
        start = len(head.before)
        end = held.find(b"\r", start)
        length = held[start:end]
        return length if length.isdigit() and held.startswith(head.behind, end) else None

    def _parsed(self) -> _Head | None:
        """The head of what is held, None for one that is not plain."""
        match = _HEAD.match(self._held)
        length = None if match is None else _LENGTH.search(match[0])
        if match is None or length is None:
            return None
        path, fields = match[1].decode(), _FIELDS.findall(match[2].decode())
        handler = self._fronts.handlers.get(path)
        names = {name.lower() for name, _ in fields}
        headers = CIMultiDict(fields)
        if (
            handler is None
            or "host" not in names
            or len(names) < len(fields)  # one is there twice
            or not names.isdisjoint(_NOT_PLAIN)
            or headers.get("Connection", "keep-alive").lower() != "keep-alive"
        ):
            return None
        before, behind = match[0][: length.start(1)], match[0][length.end() :]
        return _Head(before, behind, path, headers, handler)

    async def _answer(self, request: PlainRequest) -> None:
        """Answer a request, and go on with the next one."""
        try:
            answer = await request.handler(request)
            has_begun = request.stream is not None and request.stream.begun
            if isinstance(answer, PlainReply) and not has_begun:
                is_last = self.is_closing or self._fronts.is_draining()
                self.is_closing = is_last = is_last or "Connection" in answer.headers
                request.transport.write(answer.framed(is_last=is_last))
                if self._is_full:
                    await self._flow()
            elif request.stream is None or not request.stream.ended:
                self.is_closing = True  # it broke off: the client sees that it has no end
        except ConnectionError:
            self.is_closing = True
        except Exception:
            self.is_closing = True
            _LOG.exception("the answer to %s cannot be written", request.path)
        except BaseException:
            request.transport.close()
            raise
        finally:
            self._task = None
            self.used = self._fronts.loop.time()
        self._go_on(request.transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        """An answer is written: close, or begin with the next request."""
        if self._is_paused:
            self._is_paused = False
            transport.resume_reading()
        if self.is_closing or self._fronts.is_draining():
            transport.close()
        elif self._held and not transport.is_closing():
            self._begin()

    async def _flow(self) -> None:
        """Wait until the client has taken what was written, where that is much."""
        if self._is_full and self._transport is not None:
            self._taken = self._fronts.loop.create_future()
            await self._taken

    def _hand_over(self) -> None:
        """From here on the connection is aiohttp's."""
        transport, held = self._transport, self._held
        if transport is None or transport.is_closing():
            return
        self._transport, self._held, self._request = None, b"", None
        self._fronts.discard(self)
        behind = self._fronts.behind()
        transport.set_protocol(behind)
        behind.connection_made(transport)
        behind.data_received(held)


class Fronts:
    """Makes connections, as aiohttp's server does, which is behind them.

    handlers: of the paths whose plain requests are answered here. is_draining: whether connections
    take no further request.
    """

    def __init__(
        self,
        behind: web.Server,
        handlers: Mapping[str, Handler],
        limits: LimitSettings,
        is_draining: Callable[[], bool],
    ) -> None:
        self.behind, self.handlers, self.is_draining = behind, handlers, is_draining
        self.longest_head, self.longest_body = limits.max_header_bytes, limits.max_body_bytes
        self.loop = asyncio.get_running_loop()
        self._open: set[Front] = set()
        self._look: asyncio.TimerHandle | None = None

    def __call__(self) -> Front:
        """The protocol of a new connection."""
        return Front(self)

    def add(self, front: Front, transport: asyncio.BaseTransport) -> None:
        """A connection is open."""
        self._open.add(front)
        held = transport.get_extra_info("socket")
        if held is not None:
            with suppress(OSError):  # not of every kind of socket
                held.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._look is None:
            self._look = self.loop.call_later(LOOK_SECONDS, self._look_for_idle)

    def discard(self, front: Front) -> None:
        """A connection is closed, or aiohttp's now."""
        self._open.discard(front)

    def pre_shutdown(self) -> None:
        """Close connections without a request; called by the runner."""
        for front in list(self._open):
            front.close()
        self.behind.pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:  # aiohttp's
        """Close all that are left; called by the runner, after the requests had their time."""
        if self._look is not None:
            self._look.cancel()
        await asyncio.gather(*(front.cut() for front in list(self._open)))
        await self.behind.shutdown(timeout)

    def _look_for_idle(self) -> None:
        now = self.loop.time()
        for front in list(self._open):
            front.look(now, IDLE_SECONDS, LOOK_SECONDS)
        self._look = self.loop.call_later(LOOK_SECONDS, self._look_for_idle)
