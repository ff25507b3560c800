"""Which workers are alive, and the reservations of those that died.

A worker counts up `beats` while it lives. It is dead when its process is gone, where that can be
seen from here, and else when its beats stood still for DEAD_SECONDS of another worker's own clock,
which does not jump, while that worker could look. What it had reserved, for requests and as slices,
is then charged in full: nobody knows what its calls came to, and a budget must not be exceeded.
Every such request or slice is in the log, with the note "charged in full"; should the worker turn
out to live, its settlements put that right.
"""

import math
import operator
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from equirouter.serve.money.store.log_columns import log_row
from equirouter.serve.money.store.schema import (
    CHARGED,
    OPEN,
    STEPS,
    SUMS,
    Place,
    accounts,
    inserting,
    log,
    reservations,
    sums,
    workers,
)
from equirouter.serve.money.store.statements import add_up
from equirouter.serve.records import RequestRecord

BEAT_SECONDS = 5
DEAD_SECONDS = 30
_NEAR_SECONDS = 300  # of one whose process id is in use here: by it, or by another by now
CHARGED_IN_FULL = "charged in full"
_DAY = 86_400


def register(connection: sa.Connection) -> int:
    """Enter this process; its number."""
    made = connection.execute(sa.insert(workers).values(entry()).returning(workers.c.id))
    return int(made.scalar_one())


def entry() -> dict[str, object]:
    """The row of this process."""
    started = {"place": place(), "pid": os.getpid(), "started_at": int(time.time())}
    return started | {"beats": 0, "batch": 0, "gone_at": None}


def forget_worker(connection: sa.Connection, worker: int) -> None:
    """Strike a worker that stopped in good order; it keeps its entry while it has reservations."""
    has = sa.exists().where(reservations.c.worker == worker, reservations.c.state == OPEN)
    connection.execute(sa.delete(workers).where(workers.c.id == worker, ~has))


def place() -> str:
    """Where process ids mean the same: this machine since it started, and this container."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            link = Path(path)
            parts.append(str(link.readlink()) if link.is_symlink() else link.read_text().strip())
        except OSError:
            continue
    return " ".join(parts)


class Watch:
    """Looks after the other workers: call `dead` every few seconds."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._place = place()
        self._seen: dict[int, tuple[int, float]] = {}  # worker -> its beats, since when
        self._looked = -math.inf

    def dead(self, connection: sa.Connection, now: float) -> list[int]:
        """Workers with reservations that are dead. now: seconds of a clock that does not jump."""
        c = workers.c
        others = connection.execute(
            sa.select(c.id, c.place, c.pid, c.beats).where(c.id != self._worker)
        ).fetchall()
        if now - self._looked > DEAD_SECONDS / 2:
            self._seen = {}  # a watch that could not look must not conclude that nothing moved
        self._looked = now
        dead = set()
        beating = {}
        for number, where, pid, beats in others:
            before = self._seen.get(number)
            beating[number] = since = before if before and before[0] == beats else (beats, now)
            is_near = where == self._place
            is_still = now - since[1] >= (_NEAR_SECONDS if is_near else DEAD_SECONDS)
            if is_still or (is_near and not _runs(pid)):
                dead.add(number)
        self._seen = beating
        owing = set(
            connection.execute(
                sa.select(reservations.c.worker).where(reservations.c.state == OPEN).distinct()
            ).scalars()
        )
        struck = owing - set(beating) - {self._worker}  # those that have no entry
        return sorted((owing & dead) | struck)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # it may be another user's
    return True


def charge_dead(connection: sa.Connection, dead: Iterable[int], now: float) -> int:
    """Charge the reservations of dead workers in full and log each; how many there were."""
    dead = list(dead)
    if not dead:
        return 0
    c = reservations.c
    taken = connection.execute(
        sa.update(reservations)
        .where(c.worker.in_(dead), c.state == OPEN)
        .values(state=CHARGED)
        .returning(c.key_id, c.period, c.day, c.amount_nusd, c.request_id, c.reserved_at)
    ).fetchall()
    money: dict[tuple[str, str, int], list[int]] = {}
    added: dict[Place, list[int]] = {}
    for key_id, period, day, amount, _, at in taken:
        account = money.setdefault((key_id, period, day), [0, 0])
        account[0] += amount
        account[1] -= amount
        for where, values in charged_sums(at, key_id, amount).items():
            row = added.setdefault(where, [0] * len(values))
            row[:] = map(operator.add, row, values)
    if taken:
        insert = inserting(connection.dialect.name)
        rows = [_logged(*row) for row in taken]
        connection.execute(insert(log).on_conflict_do_nothing(), rows)
    add_up(connection, sums, added)
    add_up(connection, accounts, money)
    connection.execute(
        sa.update(workers)
        .where(workers.c.id.in_(dead), workers.c.gone_at.is_(None))
        .values(gone_at=int(now))
    )
    return len(taken)


def forget_dead(connection: sa.Connection, now: float) -> None:
    """Strike workers that died more than a day ago, and what was charged for them."""
    long_ago = int(now) - _DAY
    c = reservations.c
    connection.execute(sa.delete(reservations).where(c.state == CHARGED, c.reserved_at < long_ago))
    owes = sa.exists().where(c.worker == workers.c.id, c.state == OPEN)
    connection.execute(sa.delete(workers).where(workers.c.gone_at < long_ago, ~owes))


def charged_sums(
    at: int, key_id: str | None, amount_nusd: int, sign: int = 1
) -> dict[Place, list[int]]:
    """The sums of a request that was charged in full; sign -1 takes them back."""
    row = dict.fromkeys(SUMS, 0) | {
        "requests": sign,
        "errors": sign,
        "cost_nusd": sign * amount_nusd,
    }
    return {(step, at - at % step, key_id or "", "", ""): list(row.values()) for step in STEPS}


def _logged(
    key_id: str, _period: str, _day: int, amount: int, request_id: str, at: int
) -> dict[str, object]:
    """The row of the log for a request whose worker died: little is known of it."""
    record = RequestRecord(
        request_id,
        float(at),
        "unknown",
        "",
        key_id=key_id,
        cost_nusd=amount,
        charged_by="bound",
        error="the gateway's process died during this request",
    )
    return log_row(record) | {"note": CHARGED_IN_FULL}
