"""What is written behind the requests: settlements and the log, a batch per transaction.

A batch is written once even if the answer to its commit was lost: its number goes with it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from equirouter.serve.ledger import Settlement
from equirouter.serve.records import RequestRecord
from equirouter.serve.store.bulk import add_up, insert_rows, select_rows
from equirouter.serve.store.rows import LOG_COLUMNS, Sums, log_row, sums_of, text_row
from equirouter.serve.store.tables import (
    CHARGED,
    OPEN,
    accounts,
    hours,
    latencies,
    log,
    reservations,
    texts,
    windows,
    workers,
)
from equirouter.serve.store.workers import enter

__all__ = ["Batch", "write_batch"]


@dataclass(slots=True)
class Batch:
    """A worker's batch of that number; a batch without anything says that the worker is alive."""

    number: int
    settlements: list[Settlement] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)
    _rows: "_Rows | None" = None

    def prepare(self) -> "_Rows":
        """Make the rows, best before the transaction: others wait for its lock."""
        if self._rows is None:
            self._rows = _Rows(
                [log_row(record) for record in self.records],
                [row for row in map(text_row, self.records) if row is not None],
                sums_of(self.records),
            )
        return self._rows


@dataclass(frozen=True, slots=True)
class _Rows:
    log: list[list[Any]]
    texts: list[list[Any]]
    sums: Sums


def write_batch(connection: sa.Connection, worker: int, batch: Batch) -> None:
    """Write a batch, unless it is written."""
    rows = batch.prepare()
    if not _first_time(connection, worker, batch.number):
        return
    money, unused = _settled(connection, worker, batch.settlements)
    insert_rows(connection, log, LOG_COLUMNS, rows.log)
    insert_rows(connection, texts, ("request_id", "at_us", "prompt", "answer"), rows.texts)
    add_up(connection, hours, rows.sums.hours)
    add_up(connection, latencies, {key: (n,) for key, n in rows.sums.latencies.items()})
    # Last, as reservations wait for these rows on PostgreSQL.
    add_up(connection, accounts, money)
    for (key_id, minute), tokens in sorted(unused.items()):
        _give_back_tokens(connection, key_id, minute, tokens)


def _first_time(connection: sa.Connection, worker: int, number: int) -> bool:
    """Count the batch as written; False if it was."""
    mine = workers.c.id == worker
    counted = connection.execute(
        sa.update(workers)
        .where(mine, workers.c.batch < number)
        .values(beats=workers.c.beats + 1, batch=number, gone_at=None)
    )
    if counted.rowcount:
        return True
    if connection.execute(sa.select(workers.c.id).where(mine)).first() is not None:
        return False
    enter(connection, worker, number)  # it was taken for dead for long, and struck off
    return True


def _settled(
    connection: sa.Connection, worker: int, settlements: Sequence[Settlement]
) -> tuple[dict[tuple[Any, ...], list[int]], dict[tuple[str, int], int]]:
    """End reservations; what that adds to accounts, and which tokens of which minute are free."""
    money: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])  # spent, reserved
    unused: dict[tuple[str, int], int] = defaultdict(int)
    numbers = [one.n for one in settlements if one.n is not None]
    there = _taken(connection, worker, numbers) if numbers else {}
    for one in settlements:
        place = (one.key_id, *one.account)
        if one.unused:
            unused[one.key_id, one.minute] += one.unused
        if one.n is None:
            money[place][0] += one.cost_nusd
            continue
        found = there.pop(one.n, None)
        if found is None:
            continue  # it is settled, or was never made
        key_id, period, day, amount, state = found
        if state == OPEN:
            money[key_id, period, day][0] += one.cost_nusd
            money[key_id, period, day][1] -= amount
        else:  # this worker was taken for dead: what was charged in full is put right
            money[key_id, period, day][0] += one.cost_nusd - amount
    return money, unused


def _taken(
    connection: sa.Connection, worker: int, numbers: Sequence[int]
) -> dict[int, tuple[Any, ...]]:
    """Take reservations out of their table."""
    c = reservations.c
    these = sa.and_(c.worker == worker, _among(connection, c.n, numbers))
    wanted = sa.select(c.n, c.key_id, c.period, c.day, c.amount_nusd, c.state, c.request_id)
    if connection.dialect.name == "sqlite":
        rows = select_rows(connection, wanted.where(these))
    else:
        rows = select_rows(connection, wanted.where(these).with_for_update())
    connection.execute(sa.delete(reservations).where(these))
    for row in rows:
        if row[5] == CHARGED:
            _forget(connection, row[6])
    return {row[0]: tuple(row[1:6]) for row in rows}


def _among(
    connection: sa.Connection, column: sa.Column[int], numbers: Sequence[int]
) -> sa.ColumnElement[bool]:
    if connection.dialect.name == "sqlite":
        listed = sa.func.json_each(str(list(numbers))).table_valued("value")
        return column.in_(sa.select(listed.c.value))
    return column == sa.any_(sa.literal(list(numbers), sa.ARRAY(sa.BigInteger())))


def _forget(connection: sa.Connection, request_id: str) -> None:
    """Take back what was logged of a request whose worker was taken for dead."""
    charged = connection.execute(
        sa.delete(log)
        .where(log.c.request_id == request_id, log.c.note.is_not(None))
        .returning(log.c.at_us, log.c.key_id, log.c.cost_nusd)
    ).first()
    if charged is not None:
        at_us, key_id, cost_nusd = charged
        place = (at_us // 3_600_000_000, key_id or "", "", "")
        add_up(connection, hours, {place: [-1, -1, 0, -cost_nusd, 0, 0, 0, 0, 0]})


def _give_back_tokens(connection: sa.Connection, key_id: str, minute: int, tokens: int) -> None:
    for column, at in ((windows.c.tokens, minute), (windows.c.last_tokens, minute + 1)):
        left = sa.case((column > tokens, column - tokens), else_=0)
        connection.execute(
            sa.update(windows)
            .where(windows.c.key_id == key_id, windows.c.minute == at)
            .values({column: left})
        )
