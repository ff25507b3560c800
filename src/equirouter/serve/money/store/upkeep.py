"""Upkeep of the store: SQLite's log is emptied, old entries are deleted."""

import sqlite3
import time
from pathlib import Path

import sqlalchemy as sa

from equirouter.serve.money.store.engine import BUSY_SECONDS, Database
from equirouter.serve.money.store.rows import STEPS
from equirouter.serve.money.store.tables import (
    CHARGED,
    OPEN,
    counts,
    feedback,
    log,
    reservations,
    sums,
    texts,
    workers,
)

__all__ = ["checkpoint", "delete_minutes", "delete_old", "forget_dead"]

_WAL_BYTES = 4 * 1024 * 1024
_WAL_FRAMES = 16 * 1024  # pages of 4 KiB: beyond 64 MiB writers are stopped to empty it
_ROWS_AT_ONCE = 500  # others wait for the lock meanwhile
_DAY = 86_400
_MINUTES_KEPT_DAYS = 3


async def checkpoint(database: Database) -> None:
    """Copy SQLite's write-ahead log into the database file, in a thread, when it has grown.

    Reservations make no checkpoints (books.py), and one during which others write cannot empty
    the log: beyond 64 MiB writers wait until it is done, some milliseconds. On PostgreSQL nothing.
    """
    path = database.path
    if path is None:
        return
    wal = Path(f"{path}-wal")
    if wal.exists() and wal.stat().st_size > _WAL_BYTES:
        await database.alone(_checkpoint)


def _checkpoint(connection: sqlite3.Connection) -> None:
    run = connection.execute
    _, frames, _ = run("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if frames > _WAL_FRAMES:
        run("PRAGMA busy_timeout = 100")  # readers are not waited for longer
        run("PRAGMA wal_checkpoint(TRUNCATE)")
        run(f"PRAGMA busy_timeout = {round(1000 * BUSY_SECONDS)}")


async def delete_old(database: Database, days: int, *, now: float | None = None) -> int:
    """Delete log entries, texts and feedback that are older; how many log entries.

    The sums stay: they are small, and hold what was spent.
    """
    before_us = round(((time.time() if now is None else now) - days * _DAY) * 1e6)
    deleted = 0
    for table in (texts, feedback, log):
        while n := await database.write(_delete_some, table, before_us):
            deleted += n if table is log else 0
    return deleted


def _delete_some(connection: sa.Connection, table: sa.Table, before_us: int) -> int:
    (key,) = table.primary_key.columns
    some = sa.select(key).where(table.c.at_us < before_us).order_by(table.c.at_us)
    gone = connection.execute(sa.delete(table).where(key.in_(some.limit(_ROWS_AT_ONCE))))
    return gone.rowcount


def delete_minutes(connection: sa.Connection, now: float) -> None:
    """Delete the sums of single minutes after some days; those of half hours stay."""
    old = int(now) - _MINUTES_KEPT_DAYS * _DAY
    for table in (sums, counts):
        connection.execute(sa.delete(table).where(table.c.step == min(STEPS), table.c.start < old))


def forget_dead(connection: sa.Connection, now: float) -> None:
    """Strike workers that died more than a day ago, and what was charged for them."""
    long_ago = int(now) - _DAY
    c = reservations.c
    connection.execute(sa.delete(reservations).where(c.state == CHARGED, c.reserved_at < long_ago))
    owes = sa.exists().where(c.worker == workers.c.id, c.state == OPEN)
    connection.execute(sa.delete(workers).where(workers.c.gone_at < long_ago, ~owes))
