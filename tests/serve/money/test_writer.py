"""The writer: bad entries, a full queue, and money that is never dropped."""

from pathlib import Path

from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tables import log
from tests.serve.stores import ask, money, new_key, record, rows, with_store


def test_one_bad_entry_costs_no_other_and_no_money(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1)
        ticket.settle(5)
        store.log(record("good"))
        store.log(record("bad", status="not a number", cost_nusd=2**80))
        store.log(record("also good"))
        assert await money(store, key) == (5, 0)
        logged = await store.database.read(rows, log)
        assert sorted(row["request_id"] for row in logged) == ["also good", "good"]
        assert store.dropped == 1

    with_store(store_url, work)


def test_a_settlement_that_cannot_be_written_costs_no_other(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        bad, good, later = await ask(store, key, 3)
        bad.settle(2**80)
        good.settle(5)
        store.log(record("logged"))
        assert await money(store, key) == (5, 20)
        later.settle(6)
        store.log(record("logged later"))
        assert await money(store, key) == (11, 10)  # the bad one stays reserved
        logged = await store.database.read(rows, log)
        assert [row["request_id"] for row in logged] == ["logged", "logged later"]

    with_store(store_url, work)


def test_a_full_queue_drops_and_counts_log_entries_and_never_money(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=1000)
        tickets = await ask(store, key, 20)
        for ticket in tickets:
            ticket.settle(3)
        for _ in range(8):
            store.log(record())
        assert store.dropped == 3
        assert await money(store, key) == (60, 0)
        assert len(await store.database.read(rows, log)) == 5

    with_store(f"sqlite:///{tmp_path}/x.db", work, queue=5)
