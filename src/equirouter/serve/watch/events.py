"""New log entries for those who look at the dashboard.

They are read from the store and not taken from the requests: so those of every worker and every
host are seen, a busy gateway is asked no more often than an idle one, and a request pays for an
audience with setting a flag.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from equirouter.serve.money.store.reports import Logged, StoreReports
from equirouter.serve.records import RequestRecord
from equirouter.serve.watch.logs import LOGGER


class Unreadable:
    """The store could not be read; the next entries say that it can again."""


News: TypeAlias = Sequence[Logged] | Unreadable


@dataclass(eq=False)
class Hub:
    """Gives each listener the new entries, at most `limit` at once, newest first.

    pause_seconds: shortest time between two looks into the store, so that entries are written
    together first. poll_seconds: longest one, in which those of other processes are noticed.
    """

    reports: StoreReports
    pause_seconds: float = 0.5
    poll_seconds: float = 2.0
    limit: int = 50
    _fresh: asyncio.Event = field(default_factory=asyncio.Event)
    _listeners: set[asyncio.Queue[News | None]] = field(default_factory=set)
    _reader: asyncio.Task[None] | None = None

    def publish(self, record: RequestRecord) -> None:  # noqa: ARG002
        """Say that there will be a new entry. Never blocks."""
        if self._listeners:
            self._fresh.set()

    async def listen(self) -> AsyncGenerator[News, None]:
        """The entries from now on, newest first, until `close`. A slow listener misses the oldest.

        Whoever stops before that calls aclose() of the generator.
        """
        queue: asyncio.Queue[News | None] = asyncio.Queue(maxsize=4)
        self._listeners.add(queue)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        try:
            while (news := await queue.get()) is not None:
                yield news
        finally:
            self._listeners.discard(queue)
            if not self._listeners:
                await self._stop()

    async def close(self) -> None:
        """End every listener's feed: the process is going to stop."""
        self._tell(None)
        await self._stop()

    async def _stop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader

    async def _read(self) -> None:
        last: int | None = None
        is_broken = False
        while True:
            try:
                entries = await self._new(last)
            except Exception:  # whatever it is, the audience must hear of it and reading go on
                LOGGER.exception("the dashboard cannot read the store")
                is_broken = True
                self._tell(Unreadable())
            else:
                if (entries and last is not None) or is_broken:
                    self._tell(entries)
                last = entries[0].number if entries else (last or 0)
                is_broken = False
            await asyncio.sleep(self.pause_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._fresh.wait(), self.poll_seconds)
            self._fresh.clear()

    async def _new(self, last: int | None) -> Sequence[Logged]:
        """Entries after the last one that was told; at first only where the log ends."""
        if last is None:
            return await self.reports.recent(1)
        return await self.reports.recent(self.limit, after=last)

    def _tell(self, news: News | None) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(news)
