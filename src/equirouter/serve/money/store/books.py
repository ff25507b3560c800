"""Short transactions, one after the other, on a connection of their own: reservations, batches.

On SQLite they are run on the event loop, on the driver's own connection, with statements that
SQLAlchemy compiled once: one takes 20 to 500 microseconds. In a thread it would last longer, as it
must wait for its turn to run Python after every step, and meanwhile it would hold the lock that
the reservations of all workers need. With durability "power" a commit waits for the disk, and then
there is a thread.
"""

import asyncio
import operator
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from equirouter.errors import BusyError, ChangedError, StoreGoneError
from equirouter.serve.money.store.engine import BUSY_SECONDS, Database, said_gone
from equirouter.serve.money.store.statements import statements

T = TypeVar("T")
_TRIES = 5  # a transaction begins again so often when another one was in its way


class Runner(Protocol):
    """Runs the statements of statements.py, by their name, in a transaction."""

    def rows(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of a SELECT."""

    def change(self, name: str, values: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""

    def change_all(self, name: str, values: list[dict[str, Any]]) -> None:
        """Run a statement for each of several sets of values."""

    def lock(self, ids: list[str]) -> None:
        """Keep others from granting anything to these keys until the transaction ends."""

    def listed(self, items: Sequence[str] | Sequence[int]) -> Any:  # noqa: ANN401  # the driver's
        """A list as the value of a parameter."""


def open_books(database: Database) -> "OnSQLite | OnPostgreSQL":
    """Books of a database."""
    return OnSQLite(database) if database.dialect == "sqlite" else OnPostgreSQL(database)


class OnSQLite:
    """Books in SQLite. The connection never waits for a lock: that would stop the event loop.

    It makes no checkpoints either, as these wait for the disk: Database.checkpoint does.
    """

    def __init__(self, database: Database) -> None:
        self._check_files = database.check_files
        self._held = database.engine.raw_connection()
        driver: Any = self._held.driver_connection
        self._driver: sqlite3.Connection = driver
        # The driver writes both so anyway, after a search that is a fifth of the time of a row.
        sqlite3.register_adapter(type(None), lambda _: None)
        sqlite3.register_adapter(bool, int)
        self._driver.execute("PRAGMA busy_timeout = 0")
        self._driver.execute("PRAGMA wal_autocheckpoint = 0")
        dialect = sqlite.dialect(paramstyle="qmark")  # SQLite looks long for a name among many
        self._sql: dict[str, tuple[str, Callable[[Mapping[str, Any]], Sequence[Any]]]] = {}
        for name, statement in statements("sqlite").items():
            compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
            self._sql[name] = str(compiled), _in_order(compiled.positiontup)
        self._thread: ThreadPoolExecutor | None = None
        if database.durability == "power":
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="books")

    @property
    def is_here(self) -> bool:
        """Whether transactions run on the event loop itself."""
        return self._thread is None

    async def transact(self, work: Callable[[Runner], T]) -> T:
        """Run work in a transaction, commit it, and return what it returns.

        Raises BusyError or StoreGoneError, and then nothing was written.
        """
        if self._thread is None:
            return self.now(work)
        running = asyncio.get_running_loop().run_in_executor(self._thread, self.now, work)
        return await asyncio.shield(running)

    def now(self, work: Callable[[Runner], T]) -> T:
        """Run work in a transaction here and now."""
        self._check_files()
        run = self._driver.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                result = work(self)
                run("COMMIT")
            except BaseException:
                if self._driver.in_transaction:  # a full disk ends it by itself
                    run("ROLLBACK")
                raise
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # of the values, not of the database
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise BusyError(str(error)) from error
            raise StoreGoneError(str(error)) from error
        return result

    async def close(self) -> None:
        """Close the connection, which nobody else may use: it never waits."""
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._held.invalidate)
            self._thread.shutdown()
        else:
            self._held.invalidate()

    def rows(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of a SELECT."""
        sql, in_order = self._sql[name]
        return self._driver.execute(sql, in_order(values)).fetchall()

    def change(self, name: str, values: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""
        sql, in_order = self._sql[name]
        return self._driver.execute(sql, in_order(values)).rowcount

    def change_all(self, name: str, values: list[dict[str, Any]]) -> None:
        """Run a statement for each of several sets of values."""
        sql, in_order = self._sql[name]
        self._driver.executemany(sql, map(in_order, values))

    def lock(self, ids: list[str]) -> None:
        """SQLite has one lock for all, and the transaction began with it."""

    def listed(self, items: Sequence[str] | Sequence[int]) -> str:
        """A JSON list."""
        return orjson.dumps(items).decode()


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """A function that puts values in the order of a statement's parameters."""
    if len(names) < 2:  # an itemgetter of one name gives no sequence
        return lambda values: [values[name] for name in names]
    return operator.itemgetter(*names)


class OnPostgreSQL:
    """Books in PostgreSQL; the connection is opened again when it was lost."""

    is_here = False

    def __init__(self, database: Database) -> None:
        self._engine = database.async_engine
        self._held: AsyncConnection | None = None
        self._statements = statements("postgresql")

    async def transact(self, work: Callable[[Runner], T]) -> T:
        """Run work in a transaction, commit it, and return what it returns.

        Raises StoreGoneError, and then it is not known whether it was written.
        """
        for _ in range(_TRIES):
            try:
                with said_gone():
                    async with asyncio.timeout(BUSY_SECONDS):
                        return await self._once(work)
            except ChangedError:
                continue
            except BaseException as error:
                await self.close()
                if _is_undone(error):
                    continue
                raise
        raise StoreGoneError(f"rows kept changing: {_TRIES} transactions were undone")

    async def _once(self, work: Callable[[Runner], T]) -> T:
        if self._held is None:
            self._held = await self._engine.connect()
        async with self._held.begin():
            return await self._held.run_sync(
                lambda connection: work(_Running(connection, self._statements))
            )

    async def close(self) -> None:
        """Drop the connection."""
        held, self._held = self._held, None
        if held is not None:
            await held.invalidate()
            await held.close()


def _is_undone(error: BaseException) -> bool:
    """Whether PostgreSQL undid a transaction because another one was in its way."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", "")).startswith("40")


class _Running:
    """Runs statements on a connection of SQLAlchemy."""

    def __init__(self, connection: sa.Connection, statements: Mapping[str, sa.Executable]) -> None:
        self._connection = connection
        self._statements = statements

    def rows(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        return self._connection.execute(self._statements[name], values).fetchall()

    def change(self, name: str, values: Mapping[str, Any]) -> int:
        return self._connection.execute(self._statements[name], values).rowcount

    def change_all(self, name: str, values: list[dict[str, Any]]) -> None:
        self._connection.execute(self._statements[name], values)

    def lock(self, ids: list[str]) -> None:
        self.rows("lock", {"ids": ids})

    def listed(self, items: Sequence[str] | Sequence[int]) -> Sequence[str] | Sequence[int]:
        return items
