"""Reservations of money: those of a group are granted and written in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equirouter.errors import ChangedError
from equirouter.serve.money.limits import Account, Claim, RateWindow, Refusal, decide, last_day
from equirouter.serve.money.store.books import Runner
from equirouter.serve.money.store.schema import OPEN

__all__ = ["Grant", "reserve"]


@dataclass(slots=True)
class Grant(Claim):
    """A claim with what is written of it; n: the reservation's number with its worker.

    account: the period and day of the account that it was granted from. minute: of the key's rate.
    """

    n: int = 0
    request_id: str = ""
    account: tuple[str, int] | None = None
    minute: int = 0


def reserve(run: Runner, worker: int, grants: Sequence[Grant], now: float) -> list[Refusal | None]:
    """Grant what fits and write it; the caller begins and commits the transaction.

    Returns None for what was granted, and says in the grant from which account. Raises ChangedError
    where an account changed meanwhile, which happens on PostgreSQL only.
    """
    ids = sorted({grant.key_id for grant in grants})
    run.lock(ids)
    asked_of = {"ids": run.listed(ids), "last_day": last_day(now)}
    accounts = {row[0]: _account(row) for row in run.rows("read", asked_of)}
    before = {key_id: account.day for key_id, account in accounts.items()}
    refused = {i for i, grant in enumerate(grants) if grant.of and not _is_open(run, worker, grant)}
    asked = [grant for i, grant in enumerate(grants) if i not in refused]
    decided = iter(decide(accounts, asked, now))
    verdicts = [Refusal("budget") if i in refused else next(decided) for i in range(len(grants))]
    for key_id in ids:
        if key_id in accounts and accounts[key_id].granted:
            _write_account(run, accounts[key_id], is_new=accounts[key_id].day != before[key_id])
    granted = [grant for grant, no in zip(grants, verdicts, strict=True) if no is None]
    _write_reservations(run, worker, granted, accounts, int(now))
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
        None if minute is None else RateWindow(minute, *used),
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
    run: Runner, worker: int, granted: Sequence[Grant], accounts: Mapping[str, Account], now: int
) -> None:
    new = []
    for grant in granted:
        account = accounts[grant.key_id]
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
