"""Writes settlements and the log behind the requests, in batches.

A finished request waits at most flush_ms; a batch is one transaction, and where these run on the
event loop (books.py) it is smaller, so that no request waits long. While the database is gone
the batch is tried again, settlements wait without a limit, as they are money, and log entries in a
queue that has one: what does not fit is dropped and counted. So is an entry that no database takes.
"""

import asyncio
import logging
from collections import deque

from equirouter.errors import BusyError, StoreGoneError
from equirouter.serve.money.slices import Slice
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite
from equirouter.serve.money.store.engine import BUSY_SECONDS
from equirouter.serve.money.store.workers import BEAT_SECONDS
from equirouter.serve.money.store.write_batches import Batch, write_batch
from equirouter.serve.records import RequestRecord

_log = logging.getLogger(__name__)

_LARGEST_BATCH = 500
_LARGEST_BATCH_HERE = 256  # some 8 ms of the event loop, at once, so that few requests meet it
_LONGEST_PAUSE = 1.0
_RETRY_SECONDS = 0.001


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; False if so many seconds pass without it."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


class Writer:
    """Writes for one worker. Start it with `start`, and close it.

    flush_ms: how long entries may wait. queue: how many log entries may wait.
    """

    def __init__(
        self,
        books: OnSQLite | OnPostgreSQL,
        worker: int,
        *,
        flush_ms: float = 100.0,
        queue: int = 10_000,
    ) -> None:
        self._books, self._worker = books, worker
        self._pause, self._most = flush_ms / 1000.0, queue
        self._largest = _LARGEST_BATCH_HERE if books.is_here else _LARGEST_BATCH
        self._owing: dict[Slice, None] = {}  # in the order in which they came
        self._unused: dict[tuple[str, int], tuple[int, int]] = {}
        self._records: deque[RequestRecord] = deque()
        self._some, self._many = asyncio.Event(), asyncio.Event()
        self._writing = asyncio.Lock()
        self._unwritten: list[Batch] = []
        self._number = 0
        self._has_said = False
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self.dropped = 0
        self.written = 0
        self.failing: str | None = None

    @property
    def queued(self) -> int:
        """Log entries that wait."""
        return self._unwritten_records + len(self._records)

    @property
    def _unwritten_records(self) -> int:
        return sum(len(batch.records) for batch in self._unwritten)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def settle(self, slice_: Slice) -> None:
        """Write soon what is owed of a reservation."""
        self._owing[slice_] = None
        self._some.set()

    def free_rate(self, key_id: str, minute: int, requests: int, tokens: int) -> None:
        """Give requests and tokens back soon that were counted in that minute of a key's rate."""
        if minute and (requests or tokens):
            had = self._unused.get((key_id, minute), (0, 0))
            self._unused[key_id, minute] = (had[0] + requests, had[1] + tokens)
            self._some.set()

    def log(self, record: RequestRecord) -> None:
        """Write a request soon; drop it, and count that, when too many wait."""
        if len(self._records) >= self._most:
            self.dropped += 1
            return
        self._records.append(record)
        self._some.set()
        if len(self._records) >= self._largest:
            self._many.set()

    async def flush(self) -> None:
        """Write all that waits now. Raises StoreGoneError when the database is gone."""
        async with self._writing:
            left = len(self._records) + 1  # of those that wait now: more may come all the time
            while left > 0 and self._take():
                left -= max(1, self._unwritten_records)
                while self._unwritten:
                    await self._write(self._unwritten[0])
                    await asyncio.sleep(0)  # requests come between two batches

    async def close(self) -> None:
        """Write all that waits, and stop. Raises StoreGoneError when that is not possible."""
        self._stop.set()
        self._some.set()
        self._many.set()
        if self._task is not None:
            await self._task  # not cancelled: a driver may leave its connection half closed
        while self._unwritten or self._waits:
            await self.flush()

    @property
    def _waits(self) -> bool:
        return bool(self._owing or self._unused or self._records)

    async def _run(self) -> None:
        pause = self._pause
        while not self._stop.is_set():
            if await happens(self._some, BEAT_SECONDS):
                await happens(self._stop if self.failing else self._many, pause)
            else:
                self._unwritten = self._unwritten or [Batch()]  # nothing: a sign of life
            if self._stop.is_set():
                return  # close writes the rest
            self._some.clear()
            self._many.clear()
            try:
                await self.flush()
            except Exception as error:  # whatever it is, the loop must go on
                if self.failing is None:
                    is_gone = isinstance(error, StoreGoneError)
                    _log.warning(
                        "the store cannot be written: %s",
                        error,
                        exc_info=None if is_gone else error,
                    )
                self.failing = str(error)
                pause = min(_LONGEST_PAUSE, 2 * pause)
                self._some.set()
            else:
                pause, self.failing = self._pause, None

    def _take(self) -> bool:
        """Make a batch of what waits, unless one is not written yet; whether there is one."""
        if not self._unwritten and self._waits:
            owed = [
                settlement for slice_ in self._owing if (settlement := slice_.owed()) is not None
            ]
            most = min(len(self._records), self._largest)
            records = [self._records.popleft() for _ in range(most)]
            self._unwritten = [Batch(0, owed, records, self._unused)]
            self._owing, self._unused = {}, {}
            self._has_said = False
        return bool(self._unwritten)

    async def _write(self, batch: Batch) -> None:
        """Write the first batch; one that cannot be written becomes two, until what is bad is left.

        Its number stays with it, in case the answer is lost; so it gets one when it is tried.
        """
        if not batch.number:
            batch.number = self._number = self._number + 1
        try:
            await self._once(batch)
        except StoreGoneError:
            raise
        except Exception as error:
            parts = batch.halves()
            if not parts:
                self._give_up(batch, type(error).__name__)  # its text may have texts of clients
            self._unwritten[:1] = parts
        else:
            del self._unwritten[0]
            self.written += len(batch.records)

    def _give_up(self, batch: Batch, kind: str) -> None:
        """Leave out the one settlement or log entry of a batch."""
        for settlement in batch.settlements:
            _log.error(
                "a call of key %s cannot be settled (%s): what was reserved for it stays "
                "reserved until this worker ends",
                settlement.key_id,
                kind,
            )
        for record in batch.records:
            self.dropped += 1
            if not self._has_said:  # one is enough to see why: there may be thousands
                self._has_said = True
                _log.warning("dropped the log entry of request %s: %s", record.request_id, kind)

    async def _once(self, batch: Batch) -> None:
        batch.rows()  # before the transaction, for which others wait
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BUSY_SECONDS
        while True:
            try:
                await self._books.transact(lambda run: write_batch(run, self._worker, batch))
            except BusyError as error:
                if loop.time() > deadline:
                    raise StoreGoneError(str(error)) from error
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return
