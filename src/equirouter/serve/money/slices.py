"""Slices: money, requests and tokens of a key that a worker takes ahead, and grants from by itself.

A slice is a row of `reservations`, as the money of a single request is, so a worker that dies owes
what is left of it. How much is taken follows from what the key asked for in the last second; near a
limit it becomes less, and then nothing (limits.py). After SLICE_SECONDS the store is asked again,
which is how long a revoked key or a lowered budget may go unnoticed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from equirouter.serve.money.limits import LEAST_REQUESTS, Ahead
from equirouter.serve.money.store.reserving import Advance

SLICE_SECONDS = 1.0
"""How long a worker grants from what it took without asking the store."""

_DAY_MINUTES = 24 * 60
_GROWTH = 2.0  # times what was asked for since the last transaction
_AMPLE = 1.25  # times what is asked for in SLICE_SECONDS


@dataclass(frozen=True, slots=True)
class Settlement:
    """The record of a row of reservations.

    n: its number; None where none was made, as the store could not be asked. cost_nusd: of requests
    that ended. freed_nusd: leaves the row, as it was spent or is given back. ends: the row goes,
    with all that is in it.
    """

    n: int | None
    key_id: str
    account: tuple[str, int]
    cost_nusd: int
    freed_nusd: int = 0
    ends: bool = True


class Slice:
    """A row of reservations: of one request, or with money for those to come.

    free_nusd: what no request has. is_kept: more requests may be granted from it.
    """

    __slots__ = (
        "_cost_nusd",
        "_freed_nusd",
        "_open",
        "account",
        "free_nusd",
        "is_kept",
        "key_id",
        "n",
    )

    def __init__(
        self, n: int | None, key_id: str, account: tuple[str, int], free_nusd: int = 0
    ) -> None:
        self.n, self.key_id, self.account, self.free_nusd = n, key_id, account, free_nusd
        self.is_kept = False
        self._open = self._cost_nusd = self._freed_nusd = 0

    def begin(self, amount_nusd: int) -> None:
        """A request has so much of it."""
        self._open += 1
        self.free_nusd -= amount_nusd

    def end(self, amount_nusd: int, spent_nusd: int) -> None:
        """A request that had amount_nusd of it is over and spent so much of that."""
        self._open -= 1
        self._cost_nusd += spent_nusd
        self._freed_nusd += spent_nusd
        self.free_nusd += amount_nusd - spent_nusd

    def charge(self, cost_nusd: int) -> None:
        """A cost for which nothing was reserved."""
        self._cost_nusd += cost_nusd

    def owed(self) -> Settlement | None:
        """Amounts to be written of it now; each is given once. None: nothing."""
        ends = not self.is_kept and self._open == 0
        if not self.is_kept:
            self._freed_nusd += self.free_nusd
            self.free_nusd = 0
        cost, freed, self._cost_nusd, self._freed_nusd = self._cost_nusd, self._freed_nusd, 0, 0
        if not (ends or cost or freed):
            return None
        return Settlement(self.n, self.key_id, self.account, cost, freed, ends)


Part: TypeAlias = tuple[Slice, int]
"""What a request has of a slice, in nano-USD."""


class Purse:
    """A worker's slice of a key, and how much the key asked for lately.

    until: it pays by itself until then, in seconds of the loop. minute: Unix minutes of the clock,
    when it was filled. rate_minute: the minute of the key's window that its requests and tokens
    were counted in. counts: whether requests and tokens are limited.
    """

    __slots__ = (
        "_asked",
        "_since",
        "counts",
        "minute",
        "rate_minute",
        "requests",
        "slices",
        "tokens",
        "until",
    )

    def __init__(self, now: float) -> None:
        self.slices: list[Slice] = []
        self.until, self.minute = 0.0, 0
        self.rate_minute = self.requests = self.tokens = 0
        self.counts = (False, False)
        self._since, self._asked = now, Ahead()

    def pay(self, nusd: int, tokens: int, now: float, minute: int) -> Slice | None:
        """Pay a request from one slice; None: the store must be asked."""
        if now > self.until or minute != self.minute:
            return None
        for slice_ in self.slices:
            if slice_.free_nusd >= nusd:
                if any(self.counts) and not self.count(tokens, minute):
                    return None
                slice_.begin(nusd)
                self.asked(nusd, tokens)
                return slice_
        return None

    def draw(self, nusd: int) -> list[Part]:
        """Up to so much money; whoever draws asks the store whether the key may still have it."""
        parts: list[Part] = []
        for slice_ in self.slices:
            taken = min(nusd, slice_.free_nusd)
            if taken:
                slice_.begin(taken)
                parts.append((slice_, taken))
                nusd -= taken
        return parts

    def count(self, tokens: int, minute: int) -> bool:
        """Take a request and its tokens from those that are counted already; False: too few."""
        of_requests, of_tokens = self.counts
        if minute != self.minute or not (of_requests or of_tokens):
            return False
        if (of_requests and not self.requests) or (of_tokens and self.tokens < tokens):
            return False
        self.add(-1, -tokens)
        return True

    def add(self, requests: int, tokens: int) -> None:
        """So many more are counted already."""
        self.requests += requests if self.counts[0] else 0
        self.tokens += tokens if self.counts[1] else 0

    def asked(self, nusd: int, tokens: int) -> None:
        """A request was granted."""
        asked = self._asked
        asked.nusd += nusd
        asked.requests += 1
        asked.tokens += tokens

    def wants(self, now: float) -> Ahead:
        """How much it should hold, from what was asked for lately."""
        passed = now - self._since
        if self._asked.requests < LEAST_REQUESTS or passed > 2 * SLICE_SECONDS:
            return Ahead()
        return self._asked.times(min(_GROWTH, _AMPLE * SLICE_SECONDS / max(passed, 1e-3)))

    def begin(self, now: float) -> None:
        """Look at what is asked for from now on, where enough was asked for to go by."""
        if self._asked.requests >= LEAST_REQUESTS or now - self._since > 2 * SLICE_SECONDS:
            self._since, self._asked = now, Ahead()

    def has(self) -> Ahead:
        """The amounts that it holds."""
        free = sum(slice_.free_nusd for slice_ in self.slices)
        return Ahead(free, self.requests, self.tokens)

    def is_idle(self, now: float) -> bool:
        """Whether it has not been filled for longer than it pays, with a little patience."""
        return now > self.until + SLICE_SECONDS / 4

    def is_forgotten(self, now: float) -> bool:
        """Whether it is of a key that nobody asks for."""
        return self.is_idle(now) and now > self._since + 2 * SLICE_SECONDS


class Purses:
    """A worker's slices, by key.

    settle: takes slices of which there is something to write. free: takes requests and tokens of a
    key that were counted in a minute and are not needed. clock: Unix seconds.
    """

    def __init__(
        self,
        settle: Callable[[Slice], None],
        free: Callable[[str, int, int, int], None],
        clock: Callable[[], float],
    ) -> None:
        self._settle, self._free, self._clock = settle, free, clock
        self._loop = asyncio.get_running_loop()
        self._purses: dict[str, Purse] = {}
        self._look: asyncio.TimerHandle | None = None

    def pay(self, key_id: str, nusd: int, tokens: int) -> tuple[Slice, int] | None:
        """A slice that pays a request, and the minute that this is counted in; None: ask."""
        purse = self._purses.get(key_id)
        if purse is None or not purse.slices:
            return None
        slice_ = purse.pay(nusd, tokens, self._loop.time(), int(self._clock() // 60))
        return None if slice_ is None else (slice_, purse.rate_minute)

    def of(self, key_id: str, now: float) -> Purse:
        """The purse of a key for a request at Unix time now: without what is of another time."""
        purse, minute = self._purses.get(key_id), int(now // 60)
        if purse is None:
            purse = self._purses[key_id] = Purse(self._loop.time())
            if self._look is None:
                self._look = self._loop.call_later(SLICE_SECONDS / 2, self._look_for_idle)
        if purse.minute // _DAY_MINUTES != minute // _DAY_MINUTES:
            self.empty(key_id)  # the money is of yesterday's account
        elif purse.minute != minute:
            self._free_rate(key_id, purse)
        return purse

    def fill(self, advances: Mapping[str, Advance], at: float, now: float) -> None:
        """Take what the store gave when it was asked, at the loop's time and the Unix time."""
        for key_id, advance in advances.items():
            purse = self.of(key_id, now)
            if advance.account is None:  # it refused something
                self.empty(key_id)
                continue
            if purse.rate_minute != advance.minute:
                self._free_rate(key_id, purse)
            if advance.taken.nusd:
                slice_ = Slice(advance.n, key_id, advance.account, advance.taken.nusd)
                slice_.is_kept = True
                purse.slices.append(slice_)
            purse.until, purse.minute = at + SLICE_SECONDS, int(now // 60)
            purse.counts, purse.rate_minute = advance.counts, advance.minute
            purse.add(advance.taken.requests, advance.taken.tokens)
            purse.begin(at)
            self._drop(purse, [slice_ for slice_ in purse.slices if not slice_.free_nusd])

    def take_back(self, key_id: str, minute: int, requests: int, tokens: int) -> None:
        """Take back the part counted ahead that a request did not need."""
        purse = self._purses.get(key_id)
        if purse is not None and purse.rate_minute == minute:
            purse.add(requests, tokens)
        else:
            self._free(key_id, minute, requests, tokens)

    def empty(self, key_id: str) -> None:
        """Give all back that there is for a key."""
        purse = self._purses.get(key_id)
        if purse is not None:
            purse.until = 0.0
            self._drop(purse, purse.slices)
            self._free_rate(key_id, purse)

    def forget(self) -> None:
        """Give all back."""
        for key_id in self._purses:
            self.empty(key_id)

    def close(self) -> None:
        """Give all back, for good."""
        self.forget()
        if self._look is not None:
            self._look.cancel()

    def _drop(self, purse: Purse, slices: list[Slice]) -> None:
        for slice_ in slices:
            slice_.is_kept = False
            self._settle(slice_)
        purse.slices = [slice_ for slice_ in purse.slices if slice_.is_kept]

    def _free_rate(self, key_id: str, purse: Purse) -> None:
        self._free(key_id, purse.rate_minute, purse.requests, purse.tokens)
        purse.requests = purse.tokens = 0

    def _look_for_idle(self) -> None:
        now = self._loop.time()
        for key_id, purse in list(self._purses.items()):
            if purse.is_idle(now):
                self.empty(key_id)
            if purse.is_forgotten(now):
                del self._purses[key_id]
        self._look = None
        if self._purses:
            self._look = self._loop.call_later(SLICE_SECONDS / 2, self._look_for_idle)
