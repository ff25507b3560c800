"""Money taken ahead: never above the budget, all of it accounted for, and soon given up."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from equirouter.errors import StoreGoneError
from equirouter.serve.money.api_keys import revoke_key
from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.limits import Refusal
from equirouter.serve.money.slices import SLICE_SECONDS
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite
from equirouter.serve.money.store.schema import OPEN, accounts, keys, reservations
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.workers import charge_dead
from equirouter.serve.settings import StoreSettings
from tests.serve.stores import money, new_key, rows, with_store

T = TypeVar("T")
NOON = 1_800_014_400.0  # 2027-01-15 12:00 UTC
BUDGET = 100_000


class Replica:
    """A store, the tickets of its running requests, and what it spent and has not written."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tickets: list[Ticket] = []
        self.unwritten = 0

    @property
    def owes(self) -> int:
        return self.unwritten + sum(ticket.amount_nusd for ticket in self.tickets)


class Replicas(RuleBasedStateMachine):
    """Replicas on one store, whose time passes when told; some crash, some answers are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.url = f"sqlite:///{self.folder.name}/x.db"
        self.loop = asyncio.new_event_loop()
        self.passed = 0.0
        began = self.loop.time()
        self.loop.time = lambda: began + self.passed  # type: ignore[method-assign]
        self.replicas = [Replica(self.run(self.open())) for _ in range(3)]
        limits = {"budget_nusd": BUDGET, "requests_per_minute": 700, "tokens_per_minute": 9000}
        self.key = self.run(new_key(self.replicas[0].store, **limits))
        self.spent = 0  # by requests that ended with an answer, and by crashes
        self.may_spend = BUDGET
        self.changed_at: float | None = None  # when the budget was lowered, or the key revoked
        self.granted: Counter[int] = Counter()  # by minute
        self.used_tokens: Counter[int] = Counter()

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    async def open(self) -> Store:
        stored = StoreSettings(url=self.url, flush_ms=1e8)  # written when told
        return await Store.open(stored, clock=lambda: NOON + self.passed)

    def account(self) -> tuple[int, int]:
        """What the account says, read beside the stores."""
        with closing(sqlite3.connect(f"{self.folder.name}/x.db")) as connection:
            row = connection.execute("SELECT spent_nusd, reserved_nusd FROM accounts").fetchone()
        return (0, 0) if row is None else row

    @rule(
        which=st.integers(0, 2),
        n=st.integers(1, 60),
        nusd=st.integers(0, 300),
        tokens=st.integers(0, 20),
        cost=st.integers(0, 100),
        holds=st.integers(0, 3),
    )
    def ask(self, which: int, n: int, nusd: int, tokens: int, cost: int, holds: int) -> None:
        """n requests, a few at once; all but some of them end, at a share of their bound."""
        replica = self.replicas[which]
        minute = int((NOON + self.passed) // 60)

        async def one(last: bool) -> None:
            answer = await replica.store.ledger.reserve(self.key.id, nusd, tokens=tokens)
            if isinstance(answer, Refusal):
                return
            assert self.may_grant(), "granted a second after it was forbidden"
            self.granted[minute] += 1
            self.used_tokens[minute] += tokens if last else tokens // 2
            if last:
                replica.tickets.append(answer)
                return
            spent = nusd * cost // 100
            answer.settle(spent, tokens=tokens // 2)
            replica.unwritten += spent
            self.spent += spent

        async def all_() -> None:
            for i in range(0, n, 4):
                await asyncio.gather(*(one(i + k >= n - holds) for k in range(min(4, n - i))))

        self.run(all_())

    def may_grant(self) -> bool:
        if self.changed_at is None or self.passed <= self.changed_at + SLICE_SECONDS:
            return True
        spent, reserved = self.account()
        return self.may_spend > 0 and spent + reserved <= self.may_spend

    @rule(which=st.integers(0, 2), more=st.integers(1, 2000), share=st.integers(0, 100))
    def extend_and_end(self, which: int, more: int, share: int) -> None:
        replica = self.replicas[which]
        for ticket in replica.tickets:
            self.run(ticket.extend(ticket.amount_nusd + more))
            spent = ticket.amount_nusd * share // 100
            ticket.settle(spent)
            replica.unwritten += spent
            self.spent += spent
        replica.tickets = []

    @rule(which=st.integers(0, 2))
    def flush(self, which: int) -> None:
        self.run(self.replicas[which].store.writer.flush())
        self.replicas[which].unwritten = 0

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.1, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self.run(asyncio.sleep(0))
        self.run(asyncio.sleep(0))

    @rule(which=st.integers(0, 2))
    def crash(self, which: int) -> None:
        """It owes what it had reserved; a slice more than its requests owe is charged at most."""
        dead = self.replicas[which]
        self.replicas[which] = Replica(self.run(self.open()))
        question = sa.select(sa.func.sum(reservations.c.amount_nusd)).where(
            reservations.c.worker == dead.store.worker, reservations.c.state == OPEN
        )
        database = self.replicas[which].store.database
        held = self.run(database.read(lambda c: c.execute(question).scalar())) or 0
        before, _ = self.account()
        self.run(database.write(charge_dead, [dead.store.worker], NOON + self.passed))
        after, _ = self.account()
        assert after - before == held
        assert dead.owes <= held
        self.spent += held - dead.unwritten
        self.run(self.abandon(dead.store))

    @staticmethod
    async def abandon(store: Store) -> None:
        """End its tasks without writing anything."""
        for task in (store._watching, store.writer._task):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        store.ledger._purses.close()
        await store._close_books()
        await store.database.close()

    @precondition(lambda self: self.changed_at is None)
    @rule(budget=st.sampled_from([0, 1000, 20_000]))
    def forbid(self, budget: int) -> None:
        """Revoke the key, or lower its budget."""
        database = self.replicas[0].store.database
        if budget:
            lower = sa.update(keys).values(budget_nusd=budget)
            self.run(database.write(lambda c: c.execute(lower).rowcount))
        else:
            self.run(database.write(revoke_key, self.key.id))
        self.may_spend, self.changed_at = budget, self.passed

    @invariant()
    def the_budget_is_kept(self) -> None:
        spent, reserved = self.account()
        assert spent + reserved <= BUDGET
        assert spent + reserved >= self.spent + sum(
            ticket.amount_nusd for replica in self.replicas for ticket in replica.tickets
        )
        assert reserved >= 0
        assert all(n <= 700 for n in self.granted.values())
        assert all(n <= 9000 for n in self.used_tokens.values())

    def teardown(self) -> None:
        try:
            for replica in self.replicas:
                for ticket in replica.tickets:
                    ticket.settle(7 if ticket.amount_nusd >= 7 else 0)
                    self.spent += 7 if ticket.amount_nusd >= 7 else 0
                self.run(replica.store.ledger.close())
                self.run(replica.store.writer.flush())
            assert self.account() == (self.spent, 0)
            left = sa.select(reservations.c.n).where(reservations.c.state == OPEN)
            database = self.replicas[0].store.database
            assert self.run(database.read(lambda c: c.execute(left).fetchall())) == []
        finally:
            for replica in self.replicas:
                self.run(replica.store.close())
            self.loop.close()
            self.folder.cleanup()


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(
    max_examples=10,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


async def spend(store: Store, key_id: str, n: int, nusd: int, cost: int) -> list[Ticket]:
    """So many requests, one after the other; those that were granted."""
    granted = []
    for _ in range(n):
        answer = await store.ledger.reserve(key_id, nusd, tokens=3)
        if isinstance(answer, Ticket):
            answer.settle(cost, tokens=1)
            granted.append(answer)
    return granted


def test_a_busy_key_is_asked_for_a_few_times_and_charged_to_the_cent(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=10**6, requests_per_minute=10**5)
        asked = []
        work_of = store.ledger._work

        def counted(group: Any) -> Any:
            asked.append(1)
            return work_of(group)

        monkeypatch.setattr(store.ledger, "_work", counted)
        assert len(await spend(store, key.id, 1000, 10, 7)) == 1000
        assert len(asked) <= 8 + 12  # the first ones, then twice as many each time, then by time
        store.ledger.forget()
        assert await money(store, key) == (7000, 0)

    with_store(store_url, work, lambda: NOON)


def test_a_slice_is_a_sixteenth_of_what_is_left_and_goes_back_when_it_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(store: Store) -> None:
        loop = asyncio.get_running_loop()
        now, late = loop.time, [0.0]
        monkeypatch.setattr(loop, "time", lambda: now() + late[0])
        key = await new_key(store, budget_nusd=16_000)
        await spend(store, key.id, 200, 10, 1)
        spent, reserved = await money(store, key)
        assert spent == 200
        assert 80 <= reserved <= 1000
        assert [row["amount_nusd"] for row in await store.database.read(rows, reservations)] == [
            reserved
        ]
        late[0] += 2 * SLICE_SECONDS
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await money(store, key) == (200, 0)
        assert await store.database.read(rows, reservations) == []

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: NOON, flush_ms=60_000.0)


def test_a_key_with_little_left_is_asked_for_every_time(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=1000)  # a sixteenth is less than 8 requests need
        assert len(await spend(store, key.id, 100, 10, 8)) == 100
        assert await money(store, key) == (800, 0)
        assert len(await spend(store, key.id, 100, 10, 10)) == 20
        assert await money(store, key) == (1000, 0)

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: NOON)


def test_a_worker_that_revokes_a_key_grants_nothing_more(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=10**6)
        await spend(store, key.id, 100, 10, 7)
        await store.database.write(revoke_key, key.id)
        assert await spend(store, key.id, 1, 10, 7)  # from what it has: it does not know
        store.ledger.forget()
        answer = await store.ledger.reserve(key.id, 10)
        assert isinstance(answer, Refusal)
        assert answer.reason == "revoked"
        assert await money(store, key) == (707, 0)

    with_store(store_url, work, lambda: NOON)


def test_a_slice_whose_grant_was_lost_on_the_way_goes_back(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows were written, and nobody heard of it."""
    books = OnSQLite if store_url.startswith("sqlite") else OnPostgreSQL
    transact, fails = books.transact, [False]

    async def lossy(self: Any, work: Any) -> Any:
        answer = await transact(self, work)
        if fails[0]:
            fails[0] = False
            raise StoreGoneError("the connection was lost")
        return answer

    async def work(store: Store) -> None:
        monkeypatch.setattr(books, "transact", lossy)
        key = await new_key(store, budget_nusd=10**6)
        await spend(store, key.id, 8, 10, 7)
        fails[0] = True
        with pytest.raises(StoreGoneError):
            await store.ledger.reserve(key.id, 10)
        left = await store.database.read(rows, reservations)
        assert [row["request_id"][:6] for row in left][-1] == "slice_"
        assert await money(store, key) == (56, 0)
        await spend(store, key.id, 100, 10, 7)
        store.ledger.forget()
        assert await money(store, key) == (756, 0)

    with_store(store_url, work, lambda: NOON, durability="power", flush_ms=60_000.0)


def test_money_of_yesterday_is_not_spent_today(tmp_path: Path) -> None:
    now = [1_800_057_599.9]  # a tenth of a second before midnight

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=10**6, period="day")
        await spend(store, key.id, 100, 10, 7)
        now[0] += 0.2
        await spend(store, key.id, 1, 10, 7)
        await store.writer.flush()
        store.ledger.forget()
        await store.writer.flush()
        days = [
            (row["day"], row["spent_nusd"], row["reserved_nusd"])
            for row in await store.database.read(rows, accounts)
        ]
        assert sorted(days) == [(20_833, 700, 0), (20_834, 7, 0)]

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: now[0])


@pytest.mark.parametrize("how", ["revoked", "budget"])
def test_what_one_replica_forbids_holds_for_the_others_a_second_later(
    store_url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async def work(store: Store) -> None:
        loop = asyncio.get_running_loop()
        began, passed = loop.time(), [0.0]
        monkeypatch.setattr(store.ledger._purses._loop, "time", lambda: began + passed[0])
        other = await Store.open(StoreSettings(url=store_url))
        key = await new_key(store, budget_nusd=10**6)
        await spend(store, key.id, 100, 10, 7)
        if how == "revoked":
            await other.database.write(revoke_key, key.id)
        else:
            lower = sa.update(keys).values(budget_nusd=500)
            await other.database.write(lambda c: c.execute(lower).rowcount)
        await other.close()
        passed[0] = SLICE_SECONDS - 0.01
        assert await spend(store, key.id, 1, 10, 7)
        passed[0] = SLICE_SECONDS + 0.01
        answer = await store.ledger.reserve(key.id, 10)
        assert isinstance(answer, Refusal)
        assert answer.reason == how
        assert await money(store, key) == (707, 0)

    with_store(store_url, work, lambda: NOON, flush_ms=60_000.0)


def test_replicas_that_take_ahead_keep_the_rate_together(store_url: str) -> None:
    async def work(store: Store) -> None:
        other = await Store.open(StoreSettings(url=store_url), clock=lambda: NOON)
        key = await new_key(store, requests_per_minute=1000, tokens_per_minute=10**6)
        granted = 0
        while True:
            more = len(await spend(store, key.id, 20, 10, 1))
            more += len(await spend(other, key.id, 20, 10, 1))
            granted += more
            if not more:
                break
        assert 950 <= granted <= 1000
        await other.close()

    with_store(store_url, work, lambda: NOON)
