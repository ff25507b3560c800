"""The money of a collection while it is spent: no call starts unless its bound still fits."""

import asyncio
import math

from equirouter.errors import ConfigError
from equirouter.labelling.collection_store import Collection, KeptAnswer
from equirouter.serve.records import nusd, usd


def limit_in_nusd(limit_usd: float | None) -> int | None:
    """A limit in nano-USD, None for none. Raises ConfigError for what is no amount."""
    if limit_usd is None:
        return None
    if not (math.isfinite(limit_usd) and limit_usd > 0):
        raise ConfigError(f"limit_usd is {limit_usd:g}: expected an amount of USD above 0")
    return nusd(limit_usd)


class CollectionPurse:
    """The money that a collection may cost.

    limit_nusd: for all that was ever spent on it, None for no limit.

    Calls that wait for money are let through in the order in which they came, so that an
    expensive one is not passed over for ever.
    """

    def __init__(self, collection: Collection, limit_nusd: int | None = None) -> None:
        self._collection = collection
        self._limit = limit_nusd
        self._spent = collection.spent_nusd()
        self._reserved = 0
        self._under_way = 0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def spent_nusd(self) -> int:
        """Of the calls that are over, those of earlier runs too."""
        return self._spent

    def fits(self, nano_usd: int) -> bool:
        """Whether so much more is left, whatever the calls under way come to."""
        return self._limit is None or self._spent + self._reserved + nano_usd <= self._limit

    def short(self, model: str, nano_usd: int) -> str:
        """Why a call that may cost so much does not start."""
        left = 0 if self._limit is None else max(self._limit - self._spent - self._reserved, 0)
        return (
            f"the next call, of {model}, may cost up to {usd(nano_usd):.6f} USD, and "
            f"{usd(left):.6f} of the limit are left; go on with a higher one (--limit-usd)"
        )

    async def ticket(self, purpose: str, model: str, nano_usd: int) -> "HeldMoney | None":
        """Money for one call, entered durably; None where it does not fit.

        Waits for calls under way that may cost less than was reserved.
        """
        async with self._turn:
            while not self.fits(nano_usd):
                if not await self.changed():
                    return None
            call = self._collection.reserve(purpose, model, nano_usd)
            self._reserved += nano_usd
            self._under_way += 1
            return HeldMoney(self, self._collection, call, nano_usd)

    def hold(self, nano_usd: int, *, is_counted: bool = False) -> None:
        """Money for a batch, which the caller has entered durably; over ends it.

        is_counted: an earlier run entered it, so it is among what was spent.
        """
        if is_counted:
            self._spent -= nano_usd
        self._reserved += nano_usd
        self._under_way += 1

    async def changed(self) -> bool:
        """Wait until a call is over; False where none is under way."""
        if self._under_way == 0:
            return False
        self._changed.clear()
        await self._changed.wait()
        return True

    def reserve_more(self, nano_usd: int) -> bool:
        """Reserve so much more for a call under way; False: it does not fit."""
        if not self.fits(nano_usd):
            return False
        self._reserved += nano_usd
        return True

    def over(self, reserved_nusd: int, cost_nusd: int) -> None:
        """A call is over."""
        self._reserved -= reserved_nusd
        self._spent += cost_nusd
        self._under_way -= 1
        self._changed.set()


class HeldMoney:
    """Money that is reserved for one call, as serve's Reservation; it is settled once."""

    def __init__(
        self, purse: CollectionPurse, collection: Collection, call: int, nano_usd: int
    ) -> None:
        self._purse, self._collection = purse, collection
        self._call, self._reserved = call, nano_usd
        self._is_open = True
        self.is_short = False  # a further call of it did not fit

    async def extend(self, nusd: int) -> bool:
        """Reserve so much in all, as failed calls may be charged too; False: it does not fit."""
        if nusd > self._reserved:
            if not self._purse.reserve_more(nusd - self._reserved):
                self.is_short = True
                return False
            self._collection.extend(self._call, nusd)
            self._reserved = nusd
        return True

    def settle(self, cost_nusd: int, *, tokens: int | None = None) -> None:  # noqa: ARG002
        """The call cost so much and brought nothing to keep."""
        self.end(cost_nusd)

    def release(self) -> None:
        """The call cost nothing."""
        self.end(0)

    def end(self, cost_nusd: int, kept: KeptAnswer | None = None) -> None:
        """The call cost so much, and brought that: written in one step before it is counted."""
        if self._is_open:
            self._collection.settle(self._call, cost_nusd, kept)
            self._is_open = False
            self._purse.over(self._reserved, cost_nusd)

    def end_at_bound(self) -> None:
        """The call was cut off, and nobody knows what it cost: it counts as all of its bound."""
        self.end(self._reserved)
