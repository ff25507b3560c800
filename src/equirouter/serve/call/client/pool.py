"""Kept connections to providers, and one timer for all of them."""

import asyncio
import errno
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohappyeyeballs import AddrInfoType

from equirouter.errors import UpstreamError
from equirouter.serve.call.client.connection import Connection, Incoming
from equirouter.serve.call.client.reaching import Way, connect, resolve, way_to

_KEPT_SECONDS = 30.0
_ADDRESS_SECONDS = 30.0
_TIMER_SECONDS = 0.001  # uvloop's timers count milliseconds
_NEVER = float("inf")
# RFC 9110: what may be sent twice to the same effect
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class HttpClient:
    """The connections of a process to all its providers; closed with all that is on them.

    There is no limit on them but those of the guards. A connection is kept for 30 seconds. Made
    and used on one event loop.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()  # kept: to ask for it is a system call
        self._origins: dict[Way, Origin] = {}
        self._connections: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = _NEVER

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cut all connections."""
        for connection in list(self._connections):
            connection.fail(UpstreamError("broken", "the gateway stops", may_cost=True))
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # the loop closes the sockets

    def origin(self, base_url: str) -> "Origin":
        """The connections to the host of an address. Raises ConfigError for its proxy."""
        way = way_to(base_url)
        if way.is_tls and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        if way not in self._origins:
            self._origins[way] = Origin(self, way, self._tls if way.is_tls else None)
        return self._origins[way]

    def watch(self, connection: Connection, deadline: float) -> None:
        """End a connection at a time of the loop's clock, whatever was said of it before.

        The timer is only ever moved forward: it wakes at the earliest end that it heard of, and
        looks then which connections are due. Most calls do not touch it.
        """
        connection.deadline = deadline
        self._connections.add(connection)
        if deadline < self._wakes_at:
            self._set(deadline)

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = deadline
        self._timer = self.loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer, self._wakes_at, now = None, _NEVER, self.loop.time()
        for connection in list(self._connections):
            if connection.deadline <= now + _TIMER_SECONDS:
                connection.expire()
        if self._connections:
            self._set(min(one.deadline for one in self._connections))


class Origin:
    """The connections to one host at one port. way: how it is reached."""

    def __init__(self, client: HttpClient, way: Way, tls: ssl.SSLContext | None) -> None:
        self.way = way
        self._client, self._tls = client, tls
        self._free: list[Connection] = []
        self._addresses: Sequence[AddrInfoType] = ()
        self._known_until = 0.0

    async def request(
        self, method: str, head: bytes, body: bytes, *, connect_seconds: float, seconds: float
    ) -> Incoming:
        """Send a request; returns when the head of its answer is there.

        head: all of it, with the length of the body. seconds: until all of the answer must have
        come. Cancelled, it cuts the connection. Raises UpstreamError.

        A kept connection may end just as the request is sent. Then it is sent again over another
        one if nothing came back, and only if a provider that got it twice would do no more than
        once: a completion may have begun, and would be paid for twice.
        """
        deadline = self._client.loop.time() + seconds
        while True:
            kept = self._kept()
            connection = kept or await self._opened(min(connect_seconds, seconds))
            self._client.watch(connection, deadline)
            incoming = connection.send(head, body, has_body=method != "HEAD")
            try:
                await incoming.begun()
            except UpstreamError as error:
                is_stale = kept is not None and not incoming.parser.has_begun
                if is_stale and error.outcome == "broken" and method in _REPEATABLE:
                    continue
                raise
            except BaseException:
                incoming.close()
                raise
            return incoming

    def _kept(self) -> Connection | None:
        """The connection that was used last, None where there is none that can be used."""
        while self._free:
            connection = self._free.pop()
            if connection.is_usable():
                return connection
            connection.expire()
        return None

    async def _opened(self, seconds: float) -> Connection:
        where = self.way.proxy or self.way
        try:
            async with asyncio.timeout(seconds):
                now = self._client.loop.time
                if now() >= self._known_until:
                    self._addresses = await resolve(self.way)
                    self._known_until = now() + _ADDRESS_SECONDS
                return await connect(
                    self.way,
                    self._addresses,
                    self._made,
                    self._tls,
                )
        except TimeoutError as error:
            self._known_until = 0.0
            why = f"no connection to {where.host}:{where.port} within {seconds} s"
            raise UpstreamError("connect", why) from error
        except (OSError, UnicodeError) as error:  # the second for a name that DNS cannot have
            self._known_until = 0.0
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise UpstreamError(
                    "refused", "the gateway has no file handle left (ulimit -n)", retry_seconds=1.0
                ) from error
            why = f"no connection to {where.host}:{where.port}: {error}"
            raise UpstreamError("connect", why) from error

    def _made(self) -> Connection:
        return Connection(self._client.loop, self._freed, self._lost)

    def _freed(self, connection: Connection) -> None:
        self._client.watch(connection, self._client.loop.time() + _KEPT_SECONDS)
        self._free.append(connection)

    def _lost(self, connection: Connection) -> None:
        self._client.forget(connection)
        if connection in self._free:
            self._free.remove(connection)
