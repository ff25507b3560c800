"""Reservations: granted on what the store knows, and written with it."""

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import ChangedError
from equirouter.serve.money.api_keys import create_key
from equirouter.serve.money.limits import Ahead, Refusal
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite
from equirouter.serve.money.store.reserving import Advance, Grant, reserve
from equirouter.serve.money.store.schema import OPEN, accounts, reservations, windows
from equirouter.serve.money.store.store import Store
from tests.serve.stores import ask, new_key, rows, with_store


def books(store: Store) -> OnSQLite | OnPostgreSQL:
    return store._books[0]


def test_a_clock_that_jumps_refills_nothing(store_url: str) -> None:
    now = [1_800_000_000.0]

    async def work(store: Store) -> None:
        _, key = await store.database.write(
            create_key, "a", budget_nusd=100, period="day", requests_per_minute=1000
        )
        assert len(await ask(store, key, 20)) == 10
        now[0] -= 3 * 86_400.0
        assert await ask(store, key, 20) == []
        now[0] += 4 * 86_400.0  # a day later than it was
        assert len(await ask(store, key, 20)) == 10
        now[0] -= 86_400.0
        refused = await store.ledger.reserve(key.id, 1, request_id="x")
        assert isinstance(refused, Refusal)
        assert refused.reason == "budget"
        now[0] += 400 * 86_400.0
        assert len(await ask(store, key, 20)) == 10  # once, while nobody can know better
        now[0] -= 400 * 86_400.0
        assert await ask(store, key, 20) == []
        now[0] += 2 * 86_400.0  # and the next day without an account is one as any other
        assert len(await ask(store, key, 20)) == 10

    with_store(store_url, work, lambda: now[0])


def test_a_new_key_may_reserve_its_whole_budget_and_not_one_more(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        more = Grant(key.id, 101, 0, None, False, 1, "a")
        whole = Grant(key.id, 100, 0, None, False, 2, "b")
        verdicts = await books(store).transact(lambda run: reserve(run, 8, [more, whole], 0.0))
        # nothing is spent and nothing reserved of a key that has no account yet: 100 are left
        assert [verdict and verdict.reason for verdict in verdicts] == ["budget", None]

    with_store(store_url, work)


def test_a_grant_is_written_with_its_account_and_its_rate(store_url: str) -> None:
    now = 1_800_000_030.7  # 2027-01-15, half a minute into minute 30_000_000

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100, requests_per_minute=9, tokens_per_minute=90)
        free = await new_key(store)
        grants = [
            Grant(key.id, 30, 7, None, False, 1, "a"),
            Grant(key.id, 71, 1, None, False, 2, "b"),
            Grant(free.id, 10**9, 5, None, False, 3, "c"),
            Grant("nobody", 0, 0, None, False, 4, "d"),
            Grant(key.id, 20, 2, None, False, 5, "e"),
        ]
        verdicts = await books(store).transact(lambda run: reserve(run, 8, grants, now))
        assert [verdict and verdict.reason for verdict in verdicts] == [
            *(None, "budget", None, "unknown", None)
        ]
        january = ("month", 20_819)
        assert [grant.account for grant in grants] == [january, None, january, None, january]
        assert [grant.minute for grant in grants] == [30_000_000, 0, 0, 0, 30_000_000]
        written = await store.database.read(rows, reservations)
        assert [(row["worker"], row["n"], row["request_id"]) for row in written] == [
            *((8, 1, "a"), (8, 3, "c"), (8, 5, "e"))
        ]
        first = written[0]
        assert (first["key_id"], first["period"], first["day"]) == (key.id, *january)
        assert (first["amount_nusd"], first["reserved_at"], first["state"]) == (30, int(now), OPEN)
        kept = {row["key_id"]: row for row in await store.database.read(rows, accounts)}
        assert kept[key.id]["reserved_nusd"] == 50
        assert kept[free.id]["reserved_nusd"] == 10**9
        (window,) = await store.database.read(rows, windows)
        assert (window["key_id"], window["minute"]) == (key.id, 30_000_000)
        assert (window["requests"], window["tokens"], window["last_tokens"]) == (2, 9, 0)
        # The next group goes on from there, in the next minute.
        more = [
            Grant(key.id, 50, 3, None, False, 6, "f"),
            Grant(free.id, 0, 0, None, False, 7, "g"),
        ]
        later = await books(store).transact(lambda run: reserve(run, 8, more, now + 60))
        assert later == [None, None]
        (window,) = await store.database.read(rows, windows)
        assert (window["minute"], window["requests"], window["tokens"]) == (30_000_001, 1, 3)
        assert (window["last_requests"], window["last_tokens"]) == (2, 9)
        spent = Grant(key.id, 1, 0, None, False, 8, "h")
        (refused,) = await books(store).transact(lambda run: reserve(run, 8, [spent], now + 60))
        assert refused == Refusal("budget", 100, 0, 1.0)

    with_store(store_url, work)


def test_more_is_granted_to_a_running_request_from_the_account_of_the_running_period(
    store_url: str,
) -> None:
    now = 1_800_000_030.0
    february = 1_801_440_000.0 + 86_400

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100, requests_per_minute=1)
        first = Grant(key.id, 30, 7, None, False, 1, "a")

        def asked(at: float, *grants: Grant) -> Any:
            return books(store).transact(lambda run: reserve(run, 8, grants, at))

        assert await asked(now, first) == [None]
        of = first.account
        assert await asked(now, Grant(key.id, 20, 0, of, False, 2, "a")) == [None]
        last = Grant(key.id, 51, 0, of, False, 3, "a")
        assert await asked(now, last) == [Refusal("budget", 100, 50, 1.0)]
        assert await asked(february, Grant(key.id, 10, 0, of, False, 4, "a")) == [Refusal("budget")]
        written = await store.database.read(rows, reservations)
        assert [(row["n"], row["amount_nusd"]) for row in written] == [(1, 30), (2, 20)]
        (window,) = await store.database.read(rows, windows)
        assert window["requests"] == 1  # more money is no further request

    with_store(store_url, work)


def test_the_statement_itself_takes_no_more_than_there_is(store_url: str) -> None:
    now = 1_800_000_030.0

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        first = Grant(key.id, 60, 0, None, False, 1, "a")
        await books(store).transact(lambda run: reserve(run, 8, [first], now))

        def spend(connection: sa.Connection) -> None:
            connection.execute(sa.update(accounts).values(spent_nusd=30, reserved_nusd=30))

        await store.database.write(spend)
        place = {"key_id_": key.id, "period_": "month", "day_": 20_819, "most": 100}
        for added, changed in ((41, 0), (40, 1), (1, 0)):
            values = {**place, "added": added}
            assert await books(store).transact(lambda run: run.change("add", values)) == changed  # noqa: B023
        (account,) = await store.database.read(rows, accounts)
        assert (account["spent_nusd"], account["reserved_nusd"]) == (30, 70)

    with_store(store_url, work)


def test_a_slice_is_a_part_of_what_is_left_and_none_for_a_key_that_is_refused(
    store_url: str,
) -> None:
    now = 1_800_000_030.0

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=1700, requests_per_minute=160)
        ahead = Advance(2, Ahead(160, 20, 50), Ahead(40, 3, 5))

        def asked(*grants: Grant) -> Any:
            return books(store).transact(lambda run: reserve(run, 8, grants, now, {key.id: ahead}))

        assert await asked(Grant(key.id, 100, 0, None, False, 1, "a")) == [None]
        # 159 requests are left: it may hold a sixteenth, 9.94 of the 20, and 79.5 of the 160
        assert (ahead.taken, ahead.account) == (Ahead(39, 6, 0), ("month", 20_819))
        assert (ahead.minute, ahead.counts) == (30_000_000, (True, False))
        written = await store.database.read(rows, reservations)
        assert [(row["request_id"], row["amount_nusd"]) for row in written] == [
            *(("a", 100), ("slice_8_2", 39))
        ]
        (account,) = await store.database.read(rows, accounts)
        assert account["reserved_nusd"] == 139
        (window,) = await store.database.read(rows, windows)
        assert window["requests"] == 7
        ahead.n = 4
        assert (await asked(Grant(key.id, 1562, 0, None, False, 3, "b")))[0].reason == "budget"
        assert (ahead.taken, ahead.account) == (Ahead(), None)
        assert len(await store.database.read(rows, reservations)) == 2

    with_store(store_url, work)


class Changed:
    """A database in which another process has taken money since it was read."""

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.most: list[int] = []

    def rows(self, name: str, _: object) -> list[Any]:
        assert name == "read"
        return [("k", None, self.budget, "month", None, None, 20_819, 0, 0, None)]

    def change(self, name: str, values: Mapping[str, Any]) -> int:
        assert name == "add"
        self.most.append(values["most"])
        return 0

    def lock(self, ids: list[str]) -> None:
        assert ids == ["k"]

    def listed(self, items: Any) -> Any:
        return items

    def change_all(self, name: str, values: list[dict[str, Any]]) -> None:
        raise AssertionError((name, values))


@pytest.mark.parametrize(("budget", "most"), [(100, 100), (None, 2**62)])
def test_an_account_that_changed_meanwhile_is_asked_again(budget: int | None, most: int) -> None:
    changed = Changed(budget)
    with pytest.raises(ChangedError):
        reserve(changed, 8, [Grant("k", 10, 0, None, False, 1, "a")], 1_800_000_000.0)
    assert changed.most == [most]
