"""Short transactions: a full disk, a lost answer, another writer."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import BusyError, ChangedError, StoreGoneError
from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.workers import entry
from tests.serve.stores import agree, ask, ids, money, new_key, numbers, record, with_store


def test_a_full_disk(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (before,) = await ask(store, key, 1)
        await store.writer.flush()
        driver: sqlite3.Connection = store._books[0]._driver  # type: ignore[union-attr]
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {pages}")
        before.settle(4)
        big = "x" * 100_000
        store.writer.log(record("during", prompt=big))
        with pytest.raises(StoreGoneError, match="full"):
            await store.writer.flush()
        # What needs no further page still goes through; what does is refused and takes nothing.
        through = 0
        try:
            while through < 5000:
                ticket = await store.ledger.reserve(key.id, 0, request_id="r" * 1000)
                assert isinstance(ticket, Ticket)
                ticket.release()
                through += 1
        except StoreGoneError as error:
            assert "full" in str(error)  # noqa: PT017
        assert through < 5000
        driver.execute("PRAGMA max_page_count = 1000000")
        assert await money(store, key) == (4, 0)
        assert await store.database.read(ids) == ["during"]
        assert store.writer.dropped == 0

    with_store(f"sqlite:///{tmp_path}/store.db", work, flush_ms=60_000.0)


@pytest.mark.parametrize("kind", [OnSQLite, OnPostgreSQL])
def test_a_commit_whose_answer_is_lost_counts_once(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    if kind is OnPostgreSQL:
        url = request.getfixturevalue("postgresql").database()
    transact = kind.transact
    losing = [False]

    async def lossy(self: Any, work: Callable[[Any], Any]) -> Any:
        result = await transact(self, work)
        if losing[0]:
            losing[0] = False
            raise StoreGoneError("the connection was lost")
        return result

    monkeypatch.setattr(kind, "transact", lossy)

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1)
        ticket.settle(7)
        store.writer.log(record("once", key_id=key.id, cost_nusd=7))
        losing[0] = True
        with pytest.raises(StoreGoneError):
            await store.writer.flush()
        assert await money(store, key) == (7, 0)
        assert await store.database.read(ids) == ["once"]
        assert await store.database.read(agree) == (7, 7)
        if kind is OnPostgreSQL:  # and the money of a reservation whose answer is lost comes back
            losing[0] = True
            with pytest.raises(StoreGoneError):
                await store.ledger.reserve(key.id, 10, request_id="lost")
            assert await money(store, key) == (7, 0)

    with_store(url, work, flush_ms=60_000.0)


def test_another_writer_in_the_way_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = OnSQLite.now
    busy = [3]

    def often_busy(self: OnSQLite, work: Any) -> Any:
        if busy[0]:
            busy[0] -= 1
            raise BusyError("database is locked")
        return now(self, work)

    monkeypatch.setattr(OnSQLite, "now", often_busy)

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        assert len(await ask(store, key, 20)) == 10
        busy[0] = 3
        store.writer.log(record("a"))
        await store.writer.flush()
        assert await store.database.read(ids) == ["a"]

    with_store(f"sqlite:///{tmp_path}/store.db", work)


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(error: Exception) -> Callable[[Any], None]:
        def work(run: Any) -> None:
            run.change_all("enter", [entry() | {"id": 77}])
            raise error

        return work

    async def work(store: Store) -> None:
        books = store._books[0]
        for error in (ValueError("a bug"), ChangedError(), sqlite3.IntegrityError("twice")):
            with pytest.raises(type(error)):
                await books.transact(fail(error))
        for gone in (sqlite3.OperationalError("disk"), sqlite3.DatabaseError("malformed")):
            with pytest.raises(StoreGoneError, match=str(gone)):
                await books.transact(fail(gone))
        assert await store.database.read(numbers) == [store.worker]
        entered = entry() | {"id": 78}
        await books.transact(lambda run: run.change_all("enter", [entered]))
        assert await store.database.read(numbers) == [store.worker, 78]

    with_store(f"sqlite:///{tmp_path}/store.db", work, flush_ms=60_000.0)


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_file_that_another_process_writes_to_is_busy(tmp_path: Path, durability: str) -> None:
    async def work(store: Store) -> None:
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        books = store._books[0]
        assert books.is_here is (durability == "process")
        with pytest.raises(BusyError):
            await books.transact(lambda run: run.rows("worker", {"worker_": 1}))
        other.execute("ROLLBACK")
        other.close()
        found = await books.transact(lambda run: run.rows("worker", {"worker_": store.worker}))
        assert [tuple(row) for row in found] == [(store.worker,)]

    with_store(f"sqlite:///{tmp_path}/store.db", work, durability=durability, flush_ms=60_000.0)
