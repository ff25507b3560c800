"""Reservations of money: those of a group are granted and written in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from equirouter.errors import ChangedError
from equirouter.serve.money.limits import (
    Account,
    Ahead,
    Claim,
    RateWindow,
    Refusal,
    decide,
    last_day,
    take_ahead,
)
from equirouter.serve.money.store.books import Runner
from equirouter.serve.money.store.schema import OPEN


@dataclass(slots=True)
class Grant(Claim):
    """A claim with what is written of it; n: the reservation's number with its worker.

    account: the period and day of the account that it was granted from. minute: of the key's rate.
    has_row: False where all of its money is in a slice.
    """

    n: int = 0
    request_id: str = ""
    account: tuple[str, int] | None = None
    minute: int = 0
    has_row: bool = True


@dataclass(slots=True)
class Advance:
    """A slice that a worker would like; n: its number. want, has: what it should hold, and holds.

    taken: what it got, from that account; None: nothing, as a request of the key was refused.
    counts: whether the key's requests and tokens are limited.
    """

    n: int
    want: Ahead
    has: Ahead
    taken: Ahead = field(default_factory=Ahead)
    account: tuple[str, int] | None = None
    minute: int = 0
    counts: tuple[bool, bool] = (False, False)


def reserve(
    run: Runner,
    worker: int,
    grants: Sequence[Grant],
    now: float,
    advances: Mapping[str, Advance] | None = None,
) -> list[Refusal | None]:
    """Grant what fits and write it; the caller begins and commits the transaction.

    Returns None for what was granted, and says in the grant from which account. advances: of keys,
    by their ids; those of keys that are refused get nothing. Raises ChangedError where an account
    changed meanwhile, which happens on PostgreSQL only.
    """
    ids = sorted({grant.key_id for grant in grants})
    run.lock(ids)
    asked_of = {"ids": run.listed(ids), "last_day": last_day(now)}
    accounts = {row[0]: _account(row) for row in run.rows("read", asked_of)}
    before = {key_id: account.day for key_id, account in accounts.items()}
    verdicts = decide(accounts, grants, now)
    granted = [grant for grant, no in zip(grants, verdicts, strict=True) if no is None]
    refused = {grant.key_id for grant, no in zip(grants, verdicts, strict=True) if no is not None}
    for key_id, advance in (advances or {}).items():
        advance.account, advance.taken = None, Ahead()  # of a transaction that was undone
        if key_id not in refused:
            _advance(accounts[key_id], advance, now)
    for key_id in ids:
        if key_id in accounts and accounts[key_id].granted:
            _write_account(run, accounts[key_id], is_new=accounts[key_id].day != before[key_id])
    rows = []
    for grant in granted:
        _take_from(accounts[grant.key_id], grant)
        if grant.has_row:
            rows.append(_row(grant, grant.key_id, grant.request_id, grant.amount_nusd))
    for key_id, advance in (advances or {}).items():
        if advance.taken.nusd:
            name = f"slice_{worker}_{advance.n}"
            rows.append(_row(advance, key_id, name, advance.taken.nusd))
    if rows:
        made = {"worker": worker, "reserved_at": int(now), "state": OPEN}
        run.change_all("reserve", [row | made for row in rows])
    return verdicts


def _take_from(account: Account, taken: Grant | Advance) -> None:
    """Note from which account, and in which minute of the key's rate, something is taken."""
    assert account.day is not None  # noqa: S101  # decide opened its period
    taken.account = (account.period, account.day)
    taken.minute = account.window.minute if account.window is not None else 0


def _advance(account: Account, advance: Advance, now: float) -> None:
    advance.taken = take_ahead(account, advance.want, advance.has, now)
    _take_from(account, advance)
    advance.counts = (
        account.requests_per_minute is not None,
        account.tokens_per_minute is not None,
    )


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
        None if minute is None else RateWindow(minute, *used),
    )


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


def _row(taken: Grant | Advance, key_id: str, request_id: str, amount_nusd: int) -> dict[str, Any]:
    assert taken.account is not None  # noqa: S101  # see _take_from
    period, day = taken.account
    return {
        "n": taken.n,
        "request_id": request_id,
        "key_id": key_id,
        "period": period,
        "day": day,
        "amount_nusd": amount_nusd,
    }
