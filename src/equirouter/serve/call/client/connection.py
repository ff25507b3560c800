"""One connection to a provider, and the answers that come in over it, one after the other."""

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from equirouter.errors import UpstreamError
from equirouter.serve.call.client.answer_head import AnswerHead, broken
from equirouter.serve.call.client.parser import AnswerParser

_MOST_HELD = 128 * 1024
"""Bytes of a body that wait to be read before the provider has to wait."""
_MOST_COPIED = 64 * 1024


class Incoming:
    """An answer as it comes in. Raises UpstreamError where it breaks off, behind what came."""

    __slots__ = ("_connection", "_error", "_held", "_loop", "_pieces", "_waiter", "parser")

    def __init__(self, connection: "Connection", parser: AnswerParser) -> None:
        self.parser = parser
        self._connection: Connection | None = connection  # while the answer is on it
        self._loop = connection.loop
        self._pieces: list[bytes] = []
        self._held = 0
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def begun(self) -> None:
        """Wait for the head."""
        while self.parser.head is None:
            await self._more()

    @property
    def head(self) -> AnswerHead:
        """The head; only once it has begun."""
        return cast("AnswerHead", self.parser.head)

    @property
    def is_over(self) -> bool:
        """Whether chunk would give b"" next."""
        return self.parser.is_over and not self._pieces

    async def chunk(self) -> bytes:
        """All bytes of the body that are there and not yet read, b"" at its end."""
        pieces = self._pieces
        while not pieces:
            if self.parser.is_over:
                return b""
            await self._more()
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._connection is not None:
            self._connection.resume()
        return chunk

    def close(self) -> None:
        """Cut the connection if the answer is still on it."""
        if self._connection is not None:
            self._connection.fail(broken("the call was given up"))

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self, data: bytes) -> bool:
        """Take what came; whether the provider has to wait. Raises UpstreamError."""
        piece = self.parser.feed(data)
        if piece:
            self._pieces.append(piece)
            self._held += len(piece)
        self._wake()
        return self._held > _MOST_HELD

    def leave(self, error: UpstreamError | None = None) -> None:
        """The answer is over, or broke off with an error: the connection is no longer its own."""
        self._connection, self._error = None, error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection. deadline: when it is ended, by the loop's clock.

    freed: told that it can take another request. lost: told that it cannot any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        freed: Callable[["Connection"], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        self.loop = loop
        self.deadline = float("inf")
        self._freed, self._lost = freed, lost
        self._incoming: Incoming | None = None
        self._is_paused = False
        self._arrived: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        with suppress(AttributeError):  # Windows has no poll
            self._arrived = select.poll()
            self._arrived.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def is_usable(self) -> bool:
        """Whether it is open, and nothing came over it unasked: its end, or an answer to nobody."""
        if self._transport.is_closing():
            return False
        return self._arrived is None or not self._arrived.poll(0)

    def send(self, head: bytes, body: bytes, *, has_body: bool) -> Incoming:
        """Send a request; has_body: whether its answer has one. Only while it has no other.

        Raises UpstreamError where the connection has ended before.
        """
        if self._transport.is_closing():
            raise UpstreamError("connect", "the provider closed the connection before the request")
        incoming = self._incoming = Incoming(self, AnswerParser(has_body=has_body))
        if len(body) < _MOST_COPIED:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        return incoming

    def data_received(self, data: bytes) -> None:
        """As asyncio.Protocol."""
        incoming = self._incoming
        if incoming is None:  # nobody asked for it
            self._cut()
            return
        try:
            is_much = incoming.take(data)
        except UpstreamError as error:
            self.fail(error)
            return
        if incoming.parser.is_over:
            self._finish(incoming)
        elif is_much and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """There is room again for what comes."""
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """As asyncio.Protocol: whatever was still to be sent, no answer to it would come."""
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        """As asyncio.Protocol."""
        if error is None:
            self._end()
        else:  # what else it says may be the provider's own words
            self.fail(broken(f"the connection broke: {type(error).__name__}"))

    def fail(self, error: UpstreamError) -> None:
        """Cut it, and say so to whoever waits for an answer."""
        incoming, self._incoming = self._incoming, None
        self._cut()
        if incoming is not None:
            incoming.leave(error)

    def expire(self) -> None:
        """Its deadline is over."""
        self.fail(UpstreamError("timeout", "no whole answer within the time of a call"))

    def _end(self) -> None:
        """The provider has nothing more to say."""
        incoming = self._incoming
        try:
            if incoming is not None:
                incoming.parser.end()
        except UpstreamError as error:
            self.fail(error)
            return
        self._incoming = None
        self._cut()
        if incoming is not None:
            incoming.leave()

    def _finish(self, incoming: Incoming) -> None:
        """The answer is over; the connection is kept if both sides are at the end of a message."""
        self._incoming = None
        head, transport = incoming.parser.head, self._transport
        is_clean = not incoming.parser.has_more and not transport.get_write_buffer_size()
        if is_clean and head is not None and head.is_kept and not transport.is_closing():
            self._freed(self)
        else:
            self._cut()
        incoming.leave()

    def _cut(self) -> None:
        self._transport.abort()
        self._lost(self)
