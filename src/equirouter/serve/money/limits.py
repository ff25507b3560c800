"""Budgets and rates of keys: which requests are granted, decided on what the store knows.

Pure functions: the state goes in, is changed, and is written back by whoever holds its lock. So
limits are exact over all workers.

Rates look at a window of one minute that slides: the requests of this minute, and those of the last
one as far as the window still covers it, taken as spread evenly. A key with 60 requests per minute
can send 60 at once, then none for up to a minute. What is refused does not count.

What a worker takes ahead for a key (slices.py) counts as used. It is a small part of what is left,
so that the others find enough, and near the limit nothing: then every request is asked for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

LEAST_REQUESTS = 8
"""Nothing is taken ahead for fewer requests."""

_LARGEST_PART = 16  # one part in so many of what is left may be taken ahead at a time

_MINUTE, _DAY = 60, 86_400
_MOST_DAYS_AHEAD = 62
_MOST_AHEAD = 60  # minutes; the clocks of the gateway's machines differ by less


@dataclass(slots=True)
class RateWindow:
    """Requests and tokens in the minute since `minute` (Unix minutes), and in the one before."""

    minute: int = 0
    requests: int = 0
    tokens: int = 0
    last_requests: int = 0
    last_tokens: int = 0


@dataclass(slots=True)
class Account:
    """A key as the store has it: its limits, what it spent and reserved, its window.

    day: first day of the period that spent_nusd and reserved_nusd are of; None: it has none yet.
    granted, added_nusd: requests and money that were granted since it was read.
    """

    key_id: str
    revoked: bool = False
    budget_nusd: int | None = None
    period: Literal["day", "month"] = "month"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    day: int | None = None
    spent_nusd: int = 0
    reserved_nusd: int = 0
    window: RateWindow | None = None
    granted: int = 0
    added_nusd: int = 0

    @property
    def is_limited(self) -> bool:
        """Whether its rate is limited."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None


@dataclass(slots=True)
class Claim:
    """A request for amount_nusd and at most so many tokens.

    of: None for a new request; for more money for a running one, the period and day of the account
    that it was granted from; it gets no more once that period is over. is_counted: in the key's
    rate already.
    """

    key_id: str
    amount_nusd: int
    tokens: int = 0
    of: tuple[str, int] | None = None
    is_counted: bool = False


@dataclass(slots=True)
class Ahead:
    """Money, requests and tokens that are taken before they are asked for."""

    nusd: int = 0
    requests: int = 0
    tokens: int = 0

    def times(self, factor: float) -> "Ahead":
        """So many times as much, rounded down."""
        return Ahead(
            int(self.nusd * factor), int(self.requests * factor), int(self.tokens * factor)
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason. retry_after: seconds until it may work, None where waiting does not help."""

    reason: Literal["unknown", "revoked", "requests", "tokens", "budget"]
    limit: int | None = None
    left: int | None = None
    retry_after: float | None = None


def decide(
    accounts: Mapping[str, Account], claims: Sequence[Claim], now: float
) -> list[Refusal | None]:
    """Grant what fits, in the order of asking; None is granted. Changes the accounts.

    now: Unix seconds. A clock that goes back opens no earlier period and empties no window.
    """
    for account in accounts.values():
        _open_period(account, now)
        if account.is_limited:
            account.window = roll(account.window or RateWindow(), now)
    return [_refusal(accounts.get(claim.key_id), claim, now) for claim in claims]


def take_ahead(account: Account, want: Ahead, has: Ahead, now: float) -> Ahead:
    """Take what a worker wants to hold beside what it has; changes the account.

    It may hold a sixteenth of what is left, and nothing if that is less than LEAST_REQUESTS of its
    requests need. Call it after `decide`.
    """
    rooms = [(want.nusd, _left_nusd(account)), *_rooms(account, want, now)]
    share = min(
        (room / _LARGEST_PART / wanted for wanted, room in rooms if room is not None and wanted),
        default=1.0,
    )
    held = want.times(max(0.0, min(1.0, share)))
    if account.revoked or held.requests < LEAST_REQUESTS:
        return Ahead()
    taken = Ahead(max(0, held.nusd - has.nusd))
    if account.requests_per_minute is not None:
        taken.requests = max(0, held.requests - has.requests)
    if account.tokens_per_minute is not None:
        taken.tokens = max(0, held.tokens - has.tokens)
    account.reserved_nusd += taken.nusd
    account.added_nusd += taken.nusd
    account.granted += 1
    if account.window is not None:
        account.window.requests += taken.requests
        account.window.tokens += taken.tokens
    return taken


def _rooms(account: Account, want: Ahead, now: float) -> list[tuple[int, float | None]]:
    """Requests and tokens that are wanted, and how many are left; None: as many as one likes."""
    window = account.window
    if window is None:
        return []
    fades = 1.0 - _passed(window, now)
    return [
        (wanted, None if limit is None else limit - used - last * fades)
        for wanted, limit, used, last in (
            (want.requests, account.requests_per_minute, window.requests, window.last_requests),
            (want.tokens, account.tokens_per_minute, window.tokens, window.last_tokens),
        )
    ]


def _left_nusd(account: Account) -> int | None:
    """The rest of the budget; None: it has none."""
    if account.budget_nusd is None:
        return None
    return account.budget_nusd - account.spent_nusd - account.reserved_nusd


def first_day(period: Literal["day", "month"], now: float) -> int:
    """First day of the period that now is in, in days since 1970-01-01, UTC."""
    if period == "day":
        return int(now // _DAY)
    today = datetime.fromtimestamp(now, UTC)
    return (today.date().replace(day=1) - datetime.fromtimestamp(0, UTC).date()).days


def last_day(now: float) -> int:
    """The last day on which a period may begin that is taken to be running, see first_day.

    A clock that goes back opens no earlier period; but one that begins later than this was opened
    by a clock that was far ahead, and must not be the last one for years.
    """
    return int(now // _DAY) + _MOST_DAYS_AHEAD


def roll(window: RateWindow, now: float) -> RateWindow:
    """The window at a later time; at an earlier one it stays as it is.

    One that lies far ahead is of a clock that was wrong: it is now's, with what it has counted, as
    nobody should wait until that time has come.
    """
    minute = int(now // _MINUTE)
    if window.minute - minute > _MOST_AHEAD:
        return replace(window, minute=minute)
    if minute <= window.minute:
        return window
    if minute == window.minute + 1:
        return RateWindow(minute, 0, 0, window.requests, window.tokens)
    return RateWindow(minute)


def _open_period(account: Account, now: float) -> None:
    day = first_day(account.period, now)
    if account.day is None or day > account.day:
        account.day, account.spent_nusd, account.reserved_nusd = day, 0, 0


def _refusal(account: Account | None, claim: Claim, now: float) -> Refusal | None:
    if account is None:
        return Refusal("unknown")
    if account.revoked:
        return Refusal("revoked")
    if claim.of is not None and claim.of != (account.period, account.day):
        return Refusal("budget")
    counts = claim.of is None and not claim.is_counted
    refusal = _rate(account, claim, now) if counts else None
    if refusal is None:
        refusal = _budget(account, claim, now)
    if refusal is not None:
        return refusal
    account.reserved_nusd += claim.amount_nusd
    account.added_nusd += claim.amount_nusd
    account.granted += 1
    if account.window is not None and counts:
        account.window.requests += 1
        account.window.tokens += claim.tokens
    return None


def _budget(account: Account, claim: Claim, now: float) -> Refusal | None:
    budget, left = account.budget_nusd, _left_nusd(account)
    if budget is None or left is None:
        return None
    if claim.amount_nusd <= left:
        return None
    if claim.amount_nusd <= budget - account.spent_nusd and claim.amount_nusd > 0:
        wait = 1.0  # what is reserved now may be given back when its request is over
    elif claim.amount_nusd <= budget:
        wait = max(1.0, _next_day(account) * _DAY - now)
    else:
        wait = None
    return Refusal("budget", budget, left, wait)


def _next_day(account: Account) -> int:
    """First day of the period after the account's."""
    day = account.day or 0
    if account.period == "day":
        return day + 1
    return first_day("month", (day + 32) * _DAY)


def _rate(account: Account, claim: Claim, now: float) -> Refusal | None:
    window = account.window
    if window is None:
        return None
    for reason, limit, need, used, last in (
        ("requests", account.requests_per_minute, 1, window.requests, window.last_requests),
        ("tokens", account.tokens_per_minute, claim.tokens, window.tokens, window.last_tokens),
    ):
        if limit is None:
            continue
        left = limit - used - last * (1.0 - _passed(window, now))
        if need > left:
            wait = None if need > limit else _wait(window, now, limit - need, used, last)
            return Refusal(reason, limit, max(0, math.floor(left)), wait)  # type: ignore[arg-type]
    return None


def _passed(window: RateWindow, now: float) -> float:
    """Which part of the window's minute is over, from 0 to 1; 0 while the clock is behind it."""
    return min(1.0, max(0.0, now / _MINUTE - window.minute))


def _wait(window: RateWindow, now: float, room: int, used: int, last: int) -> float:
    """Seconds until used + last as it fades is at most room."""
    if used <= room:  # within this minute: last * (1 - passed) <= room - used
        at = window.minute + 1.0 - (room - used) / last
    else:  # in the next one, when used is what fades
        at = window.minute + 2.0 - room / used
    return max(0.001, at * _MINUTE - now)
