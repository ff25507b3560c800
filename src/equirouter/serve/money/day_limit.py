"""The most that a day's calls may cost that the gateway makes to learn."""

import time
from collections.abc import Callable

from equirouter.serve.records import nusd

__all__ = ["DayLimit"]

_DAY_SECONDS = 86_400


class DayLimit:
    """Money of a day in UTC, in this worker; what a call may cost is kept free until it is over.

    limit_usd: of all workers, which have an even part each; None for no limit. clock: Unix seconds.
    """

    def __init__(
        self,
        limit_usd: float | None,
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limit_nusd = None if limit_usd is None else nusd(limit_usd) // workers
        self._clock = clock
        self._day = 0
        self._spent_nusd = 0
        self._open_nusd = 0

    def has_room(self, upper_nusd: int) -> bool:
        """Whether a call that costs so much at most is within the limit."""
        if self._limit_nusd is None:
            return True
        self._begin_day()
        return self._spent_nusd + self._open_nusd + upper_nusd <= self._limit_nusd

    def reserve(self, upper_nusd: int) -> None:
        """A call begins that costs so much at most; `settle` ends it."""
        self._open_nusd += upper_nusd

    def settle(self, upper_nusd: int, cost_nusd: int) -> None:
        """A call is over, for which upper_nusd was reserved."""
        self._open_nusd -= upper_nusd
        self._begin_day()
        self._spent_nusd += cost_nusd

    def _begin_day(self) -> None:
        day = int(self._clock() // _DAY_SECONDS)
        if day != self._day:
            self._day, self._spent_nusd = day, 0
