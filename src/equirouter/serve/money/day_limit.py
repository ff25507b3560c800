"""The most that a day's calls may cost that the gateway makes to learn."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from equirouter.errors import StoreGoneError
from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.schema import day_spending, inserting
from equirouter.serve.records import nusd

_DAY_SECONDS = 86_400
_PIECES = 20
"""A worker takes the limit in pieces: what one that is killed had left of its own is lost."""
_LOOK_SECONDS = 1.0
_SHORT_SECONDS = 60.0
"""Nothing was left: another worker may have given back some of its own."""


def take(
    connection: sa.Connection, purpose: str, day: int, limit_nusd: int, wanted_nusd: int
) -> int:
    """Take money of a day, as much as is wanted or is left; returns how much.

    It counts as spent until it is given back, so that a process that dies spends what it had taken.
    """
    c = day_spending.c
    insert = inserting(connection.dialect.name)
    row = {"purpose": purpose, "day": day, "spent_nusd": 0}
    connection.execute(insert(day_spending).values(row).on_conflict_do_nothing())
    mine = (c.purpose == purpose) & (c.day == day)
    spent: int = connection.execute(
        sa.select(c.spent_nusd).where(mine).with_for_update()
    ).scalar_one()
    taken = max(0, min(wanted_nusd, limit_nusd - spent))
    if taken:
        _add(connection, mine, taken)
    return taken


def give_back(connection: sa.Connection, purpose: str, day: int, amount_nusd: int) -> None:
    """Money that was taken is left over."""
    c = day_spending.c
    _add(connection, (c.purpose == purpose) & (c.day == day), -amount_nusd)


def _add(connection: sa.Connection, mine: Any, amount_nusd: int) -> None:  # noqa: ANN401
    spent = day_spending.c.spent_nusd
    connection.execute(sa.update(day_spending).where(mine).values(spent_nusd=spent + amount_nusd))


def today(now: float) -> int:
    """The day in UTC, in days since 1970-01-01. now: Unix seconds."""
    return int(now // _DAY_SECONDS)


class Till:
    """The money of a day in the store: what is taken counts as spent, however this process ends."""

    def __init__(self, purpose: str, database: Database) -> None:
        self._purpose, self._database = purpose, database

    async def take(self, day: int, limit_nusd: int, wanted_nusd: int) -> int:
        """As much as is wanted or is left. Raises StoreGoneError."""
        return await self._database.write(take, self._purpose, day, limit_nusd, wanted_nusd)

    async def give_back(self, day: int, amount_nusd: int) -> None:
        """Money that was taken is left over. Raises StoreGoneError."""
        await self._database.write(give_back, self._purpose, day, amount_nusd)


class DayLimit:
    """Money of a day in UTC, of all workers; what a call may cost is kept free until it is over.

    It is taken from a till beforehand, so that nobody waits for it: `keep` sees to that, and
    `close` gives back what is left. limit_usd: None for no limit. clock: Unix seconds.
    """

    def __init__(
        self, limit_usd: float | None, till: Till, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._limit_nusd = None if limit_usd is None else nusd(limit_usd)
        self._till = till
        self._clock = clock
        self._day = 0
        self._taken_nusd = self._spent_nusd = self._open_nusd = 0
        self._wanted_nusd = 0
        self._short_until = 0.0
        self._wake = asyncio.Event()

    def has_room(self, upper_nusd: int) -> bool:
        """Whether a call that costs so much at most is within the limit, as far as is known here.

        Where it is not, more is asked for: for the calls after this one.
        """
        if self._limit_nusd is None:
            return True
        self._begin_day()
        if upper_nusd <= self._left_nusd:
            return True
        self._wanted_nusd = max(self._wanted_nusd, upper_nusd)
        self._wake.set()
        return False

    def reserve(self, upper_nusd: int) -> None:
        """A call begins that costs so much at most; `settle` ends it."""
        self._open_nusd += upper_nusd

    def settle(self, upper_nusd: int, cost_nusd: int) -> None:
        """A call is over, for which upper_nusd was reserved."""
        self._open_nusd -= upper_nusd
        self._begin_day()
        self._spent_nusd += cost_nusd

    async def keep(self) -> None:
        """Take more whenever little is left, without end; without a limit return at once."""
        while self._limit_nusd is not None:
            with suppress(StoreGoneError):  # the writer says so
                await self.refill()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)
            self._wake.clear()

    async def refill(self) -> None:
        """Take more if little is left. Raises StoreGoneError."""
        self._begin_day()
        if self._limit_nusd is None or self._clock() < self._short_until:
            return
        piece = max(self._limit_nusd // _PIECES, self._wanted_nusd)
        missing = piece - self._left_nusd
        if missing <= piece // 2:
            return
        day, self._wanted_nusd = self._day, 0
        taken = await self._till.take(day, self._limit_nusd, missing)
        if taken < missing:
            self._short_until = self._clock() + _SHORT_SECONDS
        if day == self._day:
            self._taken_nusd += taken

    async def close(self) -> None:
        """Give back what is left. Raises StoreGoneError."""
        self._begin_day()
        left, self._taken_nusd = max(0, self._left_nusd), self._spent_nusd + self._open_nusd
        if left:
            await self._till.give_back(self._day, left)

    @property
    def _left_nusd(self) -> int:
        return self._taken_nusd - self._spent_nusd - self._open_nusd

    def _begin_day(self) -> None:
        day = today(self._clock())
        if day != self._day:
            self._day, self._taken_nusd, self._spent_nusd = day, 0, 0
            self._short_until = 0.0
            self._wake.set()
