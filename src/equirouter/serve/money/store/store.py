"""The store of one worker: database, ledger, writer and the watch over other workers."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import sqlalchemy as sa

from equirouter.errors import ConfigError, StoreGoneError
from equirouter.serve.money.api_keys import any_keys
from equirouter.serve.money.ledger import Ledger
from equirouter.serve.money.store.books import open_books
from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.migrate import migrate
from equirouter.serve.money.store.schema import (
    STEPS,
    counts,
    feedback,
    grades,
    log,
    sums,
    texts,
)
from equirouter.serve.money.store.workers import (
    BEAT_SECONDS,
    Watch,
    charge_dead,
    forget_dead,
    forget_worker,
    register,
)
from equirouter.serve.money.writer import Writer, happens
from equirouter.serve.settings import StoreSettings

_log = logging.getLogger(__name__)
_TIDY_SECONDS = 600
_REMIND_SECONDS = 60
_RETRY_SECONDS = 0.25
_ROWS_AT_ONCE = 500  # others wait for the lock meanwhile
_DAY = 86_400
_MINUTES_KEPT_DAYS = 3


def open_database(settings: StoreSettings) -> Database:
    """The database that the settings name, not yet connected. Raises ConfigError."""
    url = settings.url
    if settings.url_env is not None:
        url = os.environ.get(settings.url_env, "")
        if not url:
            raise ConfigError(
                f"the environment variable {settings.url_env} is not set; store.url_env says that "
                "it holds the store's URL, such as postgresql://USER:PASSWORD@HOST/DATABASE"
            )
    return Database(url, durability=settings.durability)


@asynccontextmanager
async def connected(settings: StoreSettings) -> AsyncIterator[Database]:
    """The database that the settings name, closed afterwards.

    Raises ConfigError where it cannot be opened.
    """
    database = open_database(settings)
    try:
        yield database
    except StoreGoneError as error:
        raise ConfigError(f"the store {database.shown} cannot be opened: {error}") from error
    finally:
        await database.close()


class Store:
    """Keys, money and the log, for one worker. Make it with `Store.open`, and close it."""

    _watching: asyncio.Task[None]

    def __init__(
        self,
        database: Database,
        worker: int,
        settings: StoreSettings,
        clock: Callable[[], float],
    ) -> None:
        self.database = database
        self.worker = worker
        self._books = [open_books(database)]
        if database.dialect == "postgresql":
            self._books.append(open_books(database))  # reservations do not wait for the log
        self.writer = Writer(
            self._books[-1], worker, flush_ms=settings.flush_ms, queue=settings.queue
        )
        self.ledger = Ledger(self._books[0], worker, self.writer, clock=clock)
        self._clock, self._days = clock, settings.retention_days
        self._watch = Watch(worker)
        self._lost: str | None = None
        self._stop = asyncio.Event()

    @classmethod
    async def open(cls, settings: StoreSettings, *, clock: Callable[[], float] = time.time) -> Self:
        """Connect, bring the tables up to date, charge what dead workers left, begin to write.

        Raises ConfigError where the store cannot be opened.
        """
        database = open_database(settings)
        store = None
        try:
            await migrate(database)
            await database.read(any_keys)  # which notes beside the file that it has had keys
            worker = await database.write(register)
            store = cls(database, worker, settings, clock)
            await store.charge_dead()
        except BaseException as error:
            if store is not None:
                await store._close_books()
            await database.close()
            if isinstance(error, StoreGoneError):
                raise ConfigError(
                    f"the store {database.shown} cannot be opened: {error}"
                ) from error
            raise
        store.writer.start()
        store._watching = asyncio.get_running_loop().create_task(store._keep_watch())
        return store

    async def charge_dead(self) -> int:
        """Charge in full what dead workers had reserved; for how many requests."""
        dead = await self.database.read(self._watch.dead, time.monotonic())
        if not dead:
            return 0
        n = await self.database.write(charge_dead, dead, self._clock())
        if n:
            _log.warning("charged %d reservations of workers that died in full", n)
        return n

    def lost(self) -> str | None:
        """How the files of SQLite were lost under this process, None while they are there."""
        files = self.database.files
        return None if files is None else files.lost()

    def fault(self) -> str | None:
        """Why new requests are better sent to another gateway, None if they are welcome here.

        A database that several share is out of reach for all of them, and none is a better one.
        """
        return self.lost() or (self.writer.failing if self.database.files is not None else None)

    def _look_for_files(self, second: int) -> None:
        """Say that the files are lost, again and again, and when they are back."""
        lost = self.lost()
        if lost is not None and (self._lost is None or second % _REMIND_SECONDS == 0):
            _log.error(
                "%s. Calls are refused, and what is owed waits in memory: if the file was moved, "
                "move it back; if it was deleted, copy what `ls -l /proc/%d/fd` shows as deleted "
                "before you stop the gateway, and put the copies in their places",
                lost,
                os.getpid(),
            )
        elif lost is None and self._lost is not None:
            _log.warning("the store's files are back, and requests are answered again")
        self._lost = lost

    async def _keep_watch(self) -> None:
        second = 0
        while not await happens(self._stop, 1.0):
            second += 1
            self._look_for_files(second)
            try:
                await self.database.checkpoint()
                if second % BEAT_SECONDS == 0 and self.writer.failing is None:
                    await self.charge_dead()
                if second % _TIDY_SECONDS == 0:
                    await self.tidy()
            except StoreGoneError:
                continue  # the writer says so
            except Exception:
                _log.exception("maintenance of the store failed")

    async def tidy(self) -> None:
        """Delete what is older than retention_days, and what is left of dead workers.

        The sums of half hours stay: they are small, and hold what was spent.
        """
        await self.database.write(forget_dead, self._clock())
        await self.database.write(_delete_minutes, self._clock())
        if self._days is not None:
            before_us = round((self._clock() - self._days * _DAY) * 1e6)
            for table in (texts, feedback, grades, log):
                while await self.database.write(_delete_some, table, before_us):
                    pass

    async def close(self, seconds: float = 0.0) -> None:
        """Write all that waits, and close. Raises StoreGoneError if that is not possible.

        seconds: how long to go on trying while the database is gone: it may be starting again.
        """
        until = time.monotonic() + seconds
        self._stop.set()
        await self._watching
        try:
            await self.ledger.close()
            await self._tried(self.writer.close, until)
            await self._tried(lambda: self.database.write(forget_worker, self.worker), until)
        finally:
            await self._close_books()
            await self.database.close()

    async def _tried(self, write: Callable[[], Awaitable[None]], until: float) -> None:
        """Write; once more, as a lost connection is noticed by its use, and again until then."""
        pause = 0.0
        while True:
            try:
                await write()
            except StoreGoneError:
                if pause and (time.monotonic() > until or self.lost() is not None):
                    raise
            else:
                return
            await asyncio.sleep(pause)
            pause = _RETRY_SECONDS

    async def _close_books(self) -> None:
        for books in self._books:
            await books.close()


def _delete_some(connection: sa.Connection, table: sa.Table, before_us: int) -> int:
    (key,) = table.primary_key.columns
    some = sa.select(key).where(table.c.at_us < before_us).order_by(table.c.at_us)
    gone = connection.execute(sa.delete(table).where(key.in_(some.limit(_ROWS_AT_ONCE))))
    return gone.rowcount


def _delete_minutes(connection: sa.Connection, now: float) -> None:
    """Delete the sums of single minutes after some days; those of half hours stay."""
    old = int(now) - _MINUTES_KEPT_DAYS * _DAY
    for table in (sums, counts):
        connection.execute(sa.delete(table).where(table.c.step == min(STEPS), table.c.start < old))
