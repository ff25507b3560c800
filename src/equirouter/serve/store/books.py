"""Reservations of money: a group of them per transaction, on SQLite and on PostgreSQL.

The transaction is one function, which asks whatever runs its statements. On SQLite that is the
driver's own connection with statements that SQLAlchemy compiled once: such a transaction takes some
20 microseconds, less than handing it to a thread would.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from equirouter.serve.limits import Account, Ask, Refusal, Window, decide
from equirouter.serve.store.engine import Database, StoreGoneError, said_gone
from equirouter.serve.store.statements import statements
from equirouter.serve.store.tables import OPEN

__all__ = ["BusyError", "Grant", "OnPostgreSQL", "OnSQLite", "Runner", "reserve"]

_TRIES = 5  # a group begins again so often when an account changed under it


class BusyError(Exception):
    """Another process is writing: try again in a moment."""


class ChangedError(Exception):
    """An account changed between reading and writing: the transaction must begin again."""


@dataclass(slots=True)
class Grant(Ask):
    """An ask with what is written of it; n: the reservation's number with its worker.

    account: the period and day of the account that it was granted from. minute: of the key's rate.
    """

    n: int = 0
    request_id: str = ""
    account: tuple[str, int] | None = None
    minute: int = 0


class Runner(Protocol):
    """Runs the statements below by their name."""

    def rows(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of a SELECT."""

    def change(self, name: str, values: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""

    def change_all(self, name: str, values: list[dict[str, Any]]) -> None:
        """Run a statement for each of several sets of values."""

    def lock(self, ids: list[str]) -> None:
        """Keep others from granting anything to these keys until the transaction ends."""

    def listed(self, ids: list[str]) -> Any:  # noqa: ANN401  # as the driver wants a list
        """A list of texts as a value."""


def reserve(run: Runner, worker: int, grants: Sequence[Grant], now: float) -> list[Refusal | None]:
    """Grant what fits and write it; the caller begins and commits the transaction.

    Returns None for what was granted, and says in the grant from which account. Raises ChangedError
    where an account changed meanwhile, which happens on PostgreSQL only.
    """
    ids = sorted({grant.key_id for grant in grants})
    run.lock(ids)
    found = {row[0]: _account(row) for row in run.rows("read", {"ids": run.listed(ids)})}
    before = {key_id: account.day for key_id, account in found.items()}
    refused = {i for i, grant in enumerate(grants) if grant.of and not _is_open(run, worker, grant)}
    asked = [grant for i, grant in enumerate(grants) if i not in refused]
    decided = iter(decide(found, asked, now))
    verdicts = [Refusal("budget") if i in refused else next(decided) for i in range(len(grants))]
    for key_id in ids:
        if key_id in found and found[key_id].granted:
            _write_account(run, found[key_id], is_new=found[key_id].day != before[key_id])
    granted = [grant for grant, no in zip(grants, verdicts, strict=True) if no is None]
    _write_reservations(run, worker, granted, found, int(now))
    return verdicts


def _account(row: Sequence[Any]) -> Account:
    key_id, revoked_at, budget, period, requests, tokens, day, spent, reserved, minute, *used = row
    return Account(
        key_id,
        revoked_at is not None,
        budget,
        period,
        requests,
        tokens,
        day,
        spent or 0,
        reserved or 0,
        None if minute is None else Window(minute, *used),
    )


def _is_open(run: Runner, worker: int, grant: Grant) -> bool:
    """Whether a running request's reservation is still there, and not charged as a dead one's."""
    return bool(run.rows("open", {"worker_": worker, "n_": grant.n}))


def _write_account(run: Runner, account: Account, *, is_new: bool) -> None:
    place = {"key_id_": account.key_id, "period_": account.period, "day_": account.day}
    if is_new:
        run.change_all("open_account", [place | {"added": account.added_nusd}])
    elif account.added_nusd:
        budget = account.budget_nusd
        values = place | {"added": account.added_nusd, "most": 2**62 if budget is None else budget}
        if run.change("add", values) != 1:
            raise ChangedError
    window = account.window
    if window is not None and account.is_limited:
        values = {
            "key_id": account.key_id,
            "minute": window.minute,
            "requests": window.requests,
            "tokens": window.tokens,
            "last_requests": window.last_requests,
            "last_tokens": window.last_tokens,
        }
        run.change_all("window", [values])


def _write_reservations(
    run: Runner, worker: int, granted: Sequence[Grant], found: Mapping[str, Account], now: int
) -> None:
    new = []
    for grant in granted:
        account = found[grant.key_id]
        if grant.of is not None:
            run.change("extend", {"worker_": worker, "n_": grant.n, "added": grant.amount_nusd})
            continue
        assert account.day is not None  # noqa: S101  # decide opened its period
        grant.account = (account.period, account.day)
        grant.minute = account.window.minute if account.window is not None else 0
        new.append(
            {
                "worker": worker,
                "n": grant.n,
                "request_id": grant.request_id,
                "key_id": grant.key_id,
                "period": account.period,
                "day": account.day,
                "amount_nusd": grant.amount_nusd,
                "reserved_at": now,
                "state": OPEN,
            }
        )
    if new:
        run.change_all("reserve", new)


class OnSQLite:
    """The books in SQLite, on a connection of their own that never waits for a lock.

    It makes no checkpoints either, as these wait for the disk: batches.py's connection does.
    """

    def __init__(self, database: Database) -> None:
        self._held = database.engine.raw_connection()
        driver: Any = self._held.driver_connection
        self._driver: sqlite3.Connection = driver
        self._driver.execute("PRAGMA busy_timeout = 0")
        self._driver.execute("PRAGMA wal_autocheckpoint = 0")
        dialect = sqlite.dialect(paramstyle="named")
        self._sql = {
            name: str(statement.compile(dialect=dialect))  # type: ignore[attr-defined]
            for name, statement in statements("sqlite").items()
        }

    def reserve(self, worker: int, grants: Sequence[Grant], now: float) -> list[Refusal | None]:
        """Grant what fits, durably. Raises BusyError, StoreGoneError; then nothing was granted."""
        run = self._driver.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                verdicts = reserve(self, worker, grants, now)
                run("COMMIT")
            except BaseException:
                if self._driver.in_transaction:  # a full disk ends it by itself
                    run("ROLLBACK")
                raise
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # ours: a statement is wrong
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise BusyError(str(error)) from error
            raise StoreGoneError(str(error)) from error
        return verdicts

    def close(self) -> None:
        """Close the connection, which nobody else may use: it never waits."""
        self._held.invalidate()

    def rows(self, name: str, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows of a SELECT."""
        return self._driver.execute(self._sql[name], values).fetchall()

    def change(self, name: str, values: Mapping[str, Any]) -> int:
        """How many rows a statement changed."""
        return self._driver.execute(self._sql[name], values).rowcount

    def change_all(self, name: str, values: list[dict[str, Any]]) -> None:
        """Run a statement for each of several sets of values."""
        self._driver.executemany(self._sql[name], values)

    def lock(self, ids: list[str]) -> None:
        """SQLite has one lock for all, and the transaction began with it."""

    def listed(self, ids: list[str]) -> str:
        """A JSON list."""
        return orjson.dumps(ids).decode()


class OnPostgreSQL:
    """The books in PostgreSQL, on a connection of their own, opened again when it was lost."""

    def __init__(self, database: Database) -> None:
        self._engine = database.async_engine
        self._held: AsyncConnection | None = None
        self._statements = statements("postgresql")

    async def reserve(
        self, worker: int, grants: Sequence[Grant], now: float
    ) -> list[Refusal | None]:
        """Grant what fits, durably. Raises StoreGoneError; then it is not known what was granted.

        A commit whose answer is lost may have happened: give back what was asked for.
        """
        for _ in range(_TRIES):
            try:
                with said_gone():
                    return await self._once(worker, grants, now)
            except ChangedError:
                continue
            except BaseException:
                await self.close()
                raise
        raise StoreGoneError(f"accounts kept changing: {_TRIES} tries were undone")

    async def _once(self, worker: int, grants: Sequence[Grant], now: float) -> list[Refusal | None]:
        if self._held is None:
            self._held = await self._engine.connect()
        async with self._held.begin():
            return await self._held.run_sync(
                lambda connection: reserve(
                    _Running(connection, self._statements), worker, grants, now
                )
            )

    async def close(self) -> None:
        """Drop the connection."""
        held, self._held = self._held, None
        if held is not None:
            await held.invalidate()
            await held.close()


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

    def listed(self, ids: list[str]) -> list[str]:
        return ids
