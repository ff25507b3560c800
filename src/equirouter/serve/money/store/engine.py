"""The database: SQLite in WAL mode, or PostgreSQL.

On SQLite everything is synchronous, and everything but the reservations (books.py) runs in
threads: a call of the driver takes microseconds, while an asynchronous driver hands each of them
to a thread and back. On PostgreSQL all goes through SQLAlchemy's asyncio engine and asyncpg.
Functions that use a connection are written once, for SQLAlchemy's synchronous Connection.

What is written into a file that was deleted, moved or replaced is lost with it, and the next
process would find another one. And an empty store in the place of a lost one would have no keys and
nothing spent: so a file beside a store says that it has had keys, and none is made while it lies
there alone.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from equirouter.errors import ConfigError, StoreGoneError
from equirouter.extras import require

_NOTE = """\
The store beside this file has had API keys, so nobody is answered without one, even if the store is
lost. Delete this file only to begin again with an empty store, without keys and nothing spent.
"""


class OpenFiles:
    """A database file and its write-ahead log, which must stay what they were when opened."""

    def __init__(self, path: Path) -> None:
        self._paths = (str(path), f"{path}-wal")
        self._opened: dict[str, tuple[int, int]] = {}

    def remember(self) -> None:
        """A connection was opened: from now on its files must stay."""
        for path in self._paths:
            with suppress(FileNotFoundError):
                self._opened.setdefault(path, _identity(path))

    def lost(self) -> str | None:
        """How a file was lost, None while all are there."""
        for path, opened in self._opened.items():
            try:
                is_there = _identity(path) == opened
            except OSError as error:
                return f"the store's file {path} is gone: {error.strerror or error}"
            if not is_there:
                return f"the store's file {path} was replaced by another one"
        return None

    def check(self) -> None:
        """Raise StoreGoneError where a file is not the one that was opened."""
        lost = self.lost()
        if lost is not None:
            raise StoreGoneError(lost)


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116  # before every transaction: a Path takes twice as long
    return status.st_dev, status.st_ino


def keys_were_made(connection: sa.Connection) -> None:
    """Note beside a store of SQLite that it has had keys. Raises OSError."""
    note = _note_of(connection)
    if note is not None and not note.exists():
        note.write_text(_NOTE, "utf-8")


def has_had_keys(connection: sa.Connection) -> bool:
    """Whether there is such a note: the keys may be in a store that was lost."""
    note = _note_of(connection)
    return note is not None and note.exists()


def check_not_lost(path: Path) -> None:
    """Raise ConfigError where a store that has had keys is not there any more."""
    note = _note_beside(path)
    if note.exists() and not path.exists():
        raise ConfigError(
            f"the store {path} is not there, and {note.name} beside it says that it has had keys: "
            f"put the store back, from a backup if it is lost; or delete {note} to begin with an "
            "empty one, without keys and with nothing spent"
        )


def _note_of(connection: sa.Connection) -> Path | None:
    file = connection.engine.url.database
    is_file = connection.dialect.name == "sqlite" and file is not None
    return _note_beside(Path(str(file))) if is_file else None


def _note_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.had-keys")


Durability = Literal["process", "power"]
P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long anything waits for the database before it counts as gone."""

# Each reader opens a connection and a file handle; the dashboard asks a few things at once.
_READERS = 4
_WAL_RETRY_SECONDS = 0.005
_WAL_BYTES = 4 * 1024 * 1024
_WAL_FRAMES = 16 * 1024  # pages of 4 KiB: beyond 64 MiB writers are stopped to empty it


class Database:
    """A database, not yet connected; close it when it is done with.

    durability: what a reservation on SQLite outlives: "process", a killed gateway, or "power", a
    machine that loses its power; that costs waiting for the disk before each group of calls.
    PostgreSQL is as durable as it is configured: by default "power".
    """

    def __init__(self, url: str, *, durability: Durability = "process") -> None:
        self.durability = durability
        parsed = _parse(url)
        self.dialect: Literal["sqlite", "postgresql"] = (
            "sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql"
        )
        self.shown = parsed.render_as_string(hide_password=True)
        self.files: OpenFiles | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._sync: sa.Engine | None = None
        self._async: AsyncEngine | None = None
        if self.dialect == "sqlite":
            self.files = OpenFiles(Path(str(parsed.database)))
            self._sync = _sqlite(parsed, durability, self.files)
            self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store")
        else:
            require("asyncpg", extra="serve", purpose="keep the store in PostgreSQL")
            self._async = _postgresql(parsed)

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        if self._sync is None or self._sync.url.database is None:
            return None
        return Path(self._sync.url.database)

    @property
    def engine(self) -> sa.Engine:
        """The synchronous engine; SQLite only."""
        if self._sync is None:
            raise TypeError("PostgreSQL has no synchronous engine here")
        return self._sync

    @property
    def async_engine(self) -> AsyncEngine:
        """The asynchronous engine; PostgreSQL only."""
        if self._async is None:
            raise TypeError("SQLite has no asynchronous engine here")
        return self._async

    async def read(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work(connection, ...) in a transaction that sees one state of the database."""
        return await self._run(False, lambda connection: work(connection, *args, **kwargs))

    async def write(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run work(connection, ...) in a transaction that is committed, or undone on an error.

        Raises StoreGoneError when the database cannot be asked.
        """
        return await self._run(True, lambda connection: work(connection, *args, **kwargs))

    async def _run(self, writes: bool, work: Callable[[sa.Connection], T]) -> T:
        if self._async is not None:
            with said_gone():
                async with self._async.connect() as connection, connection.begin():
                    return await connection.run_sync(work)

        def run() -> T:
            self.check_files()
            with said_gone(), self.engine.connect() as connection:
                connection = connection.execution_options(writes=writes)
                with connection.begin():
                    return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def check_files(self) -> None:
        """Raise StoreGoneError where a file of SQLite is not the one that was opened any more."""
        if self.files is not None:
            self.files.check()

    async def checkpoint(self) -> None:
        """Copy SQLite's write-ahead log into the database file, in a thread, when it has grown.

        Reservations make no checkpoints (books.py), and one during which others write cannot empty
        the log: beyond 64 MiB writers wait until it is done, some milliseconds. On PostgreSQL
        nothing.
        """
        wal = Path(f"{self.path}-wal")
        if self.path is not None and wal.exists() and wal.stat().st_size > _WAL_BYTES:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._checkpoint)

    def _checkpoint(self) -> None:
        self.check_files()
        with said_gone():
            connection = self.engine.raw_connection()
            try:
                run = connection.cursor().execute
                _, frames, _ = run("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if frames > _WAL_FRAMES:
                    run("PRAGMA busy_timeout = 100")  # readers are not waited for longer
                    run("PRAGMA wal_checkpoint(TRUNCATE)")
                    run(f"PRAGMA busy_timeout = {round(1000 * BUSY_SECONDS)}")
            finally:
                connection.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._async is not None:
            await self._async.dispose()
        if self._threads is not None:
            self._threads.shutdown()
        if self._sync is not None:
            self._sync.dispose()


def is_gone(error: BaseException) -> bool:
    """Whether an error says that the database cannot be asked, and not that the question is bad."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
            return True
        if isinstance(error.orig, sqlite3.Error):
            return is_gone(error.orig)
        return getattr(error.orig, "sqlstate", "")[:2] in ("08", "53", "57", "58")
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return True
    return isinstance(error, OSError | TimeoutError | sqlite3.OperationalError)


@contextmanager
def said_gone() -> Iterator[None]:
    """Turn errors that say the database is gone into StoreGoneError."""
    try:
        yield
    except (DBAPIError, OSError, TimeoutError, sa.exc.TimeoutError, sqlite3.Error) as error:
        if isinstance(error, sa.exc.TimeoutError) or is_gone(error):
            message = str(getattr(error, "orig", None) or error)
            raise StoreGoneError(message or "no answer in time") from error
        raise


def _parse(url: str) -> sa.URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise ConfigError(
            "store.url is not a URL; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "postgres":
        parsed, backend = parsed.set(drivername="postgresql"), "postgresql"
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"store.url begins with {parsed.drivername}: expected sqlite:///FILE or "
            "postgresql://USER@HOST/DATABASE"
        )
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError(
            "store.url names no file: sqlite:///FILE is expected, as money must outlive the process"
        )
    return parsed.set(drivername="sqlite" if backend == "sqlite" else "postgresql+asyncpg")


def _sqlite(url: sa.URL, durability: Durability, files: OpenFiles) -> sa.Engine:
    engine = sa.create_engine(
        url,
        hide_parameters=True,  # errors are logged, and these may be texts of clients
        pool_size=_READERS + 2,
        max_overflow=4,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
    )
    synchronous = "FULL" if durability == "power" else "NORMAL"

    @sa.event.listens_for(engine, "do_connect")
    def _check(*_: object) -> None:
        files.check()  # else an empty file would be made in the place of a lost one

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:  # noqa: ANN401  # sqlite3's
        _use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA temp_store = MEMORY")
        files.remember()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that will write takes the lock first: one that reads and then writes could
        # find that another has written in between, and would fail without waiting.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Put the file into WAL mode, which it keeps.

    While another connection writes to a new file, as where workers start together, SQLite refuses
    this at once and does not wait as it does for everything else.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_RETRY_SECONDS)
        else:
            return


def _postgresql(url: sa.URL) -> AsyncEngine:
    return create_async_engine(
        url,
        hide_parameters=True,  # errors are logged, and these may be texts of clients
        pool_size=_READERS + 2,
        max_overflow=4,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=False,
        connect_args={
            "timeout": BUSY_SECONDS,
            "command_timeout": 60,
            "server_settings": {"application_name": "equirouter", "timezone": "UTC"},
        },
    )
