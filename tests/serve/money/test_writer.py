"""The writer: bad entries, a full queue, and money that is never dropped."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import BusyError, StoreGoneError
from equirouter.serve.money.store.books import OnSQLite
from equirouter.serve.money.store.schema import log, workers
from equirouter.serve.money.store.store import Store
from tests.serve.stores import ask, ids, money, new_key, record, rows, summed, with_store


def test_one_bad_entry_costs_no_other_and_no_money(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1)
        ticket.settle(5)
        store.writer.log(record("good"))
        store.writer.log(record("bad", status="not a number", cost_nusd=2**80))
        store.writer.log(record("also good"))
        assert await money(store, key) == (5, 0)
        logged = await store.database.read(rows, log)
        assert sorted(row["request_id"] for row in logged) == ["also good", "good"]
        assert store.writer.dropped == 1
        assert store.writer.written == 2
        assert [m for m in caplog.messages if m.startswith("dropped the log entry of request bad")]

    with_store(store_url, work)


def test_a_settlement_that_cannot_be_written_costs_no_other(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        bad, good, later = await ask(store, key, 3)
        bad.settle(2**80)
        good.settle(5)
        store.writer.log(record("logged"))
        assert await money(store, key) == (5, 20)
        later.settle(6)
        store.writer.log(record("logged later"))
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
            store.writer.log(record())
        assert store.writer.dropped == 3
        assert await money(store, key) == (60, 0)
        assert len(await store.database.read(rows, log)) == 5

    with_store(f"sqlite:///{tmp_path}/x.db", work, queue=5)


def test_an_idle_writer_says_that_it_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.serve.money.writer.BEAT_SECONDS", 0.005)

    async def work(store: Store) -> None:
        async with asyncio.timeout(10):
            while (await store.database.read(rows, workers))[0]["beats"] < 3:
                pass

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_while_the_store_is_gone_entries_wait_and_then_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = OnSQLite.now
    gone = [False]
    tried = []

    def failing(self: OnSQLite, work: Any) -> Any:
        if gone[0]:
            tried.append(1)
            raise StoreGoneError("the disk is gone")
        return now(self, work)

    monkeypatch.setattr(OnSQLite, "now", failing)

    async def work(store: Store) -> None:
        key = await new_key(store)
        (ticket,) = await ask(store, key, 1, 10)
        await store.writer.flush()
        written = store.writer.written
        assert (store.writer.failing, store.writer.queued) == (None, 0)
        gone[0] = True
        ticket.settle(7)
        store.writer.log(record("a"))
        async with asyncio.timeout(10):
            while len(tried) < 3:  # it tries again by itself
                await asyncio.sleep(0)
        store.writer.log(record("b"))
        assert store.writer.failing == "the disk is gone"
        assert caplog.text.count("the store cannot be written") == 1  # not at every try
        assert store.writer.queued == 2
        gone[0] = False
        async with asyncio.timeout(10):
            while store.writer.failing is not None or store.writer.queued:
                await asyncio.sleep(0)
        assert store.writer.written == written + 2
        assert await money(store, key) == (7, 0)
        assert await store.database.read(ids) == ["a", "b"]

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=1.0)


def test_another_process_that_writes_for_long_counts_as_a_store_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = OnSQLite.now
    busy = [False]

    def often_busy(self: OnSQLite, work: Any) -> Any:
        if busy[0]:
            raise BusyError("database is locked")
        return now(self, work)

    monkeypatch.setattr(OnSQLite, "now", often_busy)

    async def work(store: Store) -> None:
        store.writer.log(record("a"))
        busy[0] = True
        with monkeypatch.context() as patched:
            patched.setattr("equirouter.serve.money.writer.BUSY_SECONDS", 0.0)
            with pytest.raises(StoreGoneError, match="locked"):
                await store.writer.flush()
        waits = asyncio.ensure_future(store.writer.flush())  # for up to BUSY_SECONDS
        await asyncio.sleep(0)
        busy[0] = False
        await waits
        assert await store.database.read(ids) == ["a"]

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)


@pytest.mark.parametrize("spoiled", ["record", "settlement"])
def test_a_store_that_goes_while_entries_are_tried_one_by_one_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    transact = OnSQLite.transact
    lost = [0]

    async def lossy(self: OnSQLite, work: Any) -> Any:
        result = await transact(self, work)
        lost[0] -= 1
        if lost[0] == 0:  # this one was written, and its answer is lost
            raise StoreGoneError("the connection was lost")
        return result

    monkeypatch.setattr(OnSQLite, "transact", lossy)

    async def work(store: Store) -> None:
        key = await new_key(store)
        tickets = await ask(store, key, 3, 10)
        for ticket, cost in zip(tickets, (1, 20, 300), strict=True):
            ticket.settle(2**80 if spoiled == "settlement" and cost == 1 else cost)
        for name in "abc":
            store.writer.log(
                record(name, cost_nusd=2**80 if spoiled == "record" and name == "c" else 5)
            )
        lost[0] = 2
        with pytest.raises(StoreGoneError):
            await store.writer.flush()
        await store.writer.flush()
        if spoiled == "record":
            assert await money(store, key) == (321, 0)
            assert sorted(await store.database.read(ids)) == ["a", "b"]
            assert (store.writer.dropped, store.writer.written) == (1, 2)
            assert await summed(store, "requests") == 2  # none is added up twice
        else:
            assert await money(store, key) == (320, 10)
            assert sorted(await store.database.read(ids)) == ["a", "b", "c"]
            assert store.writer.dropped == 0

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)


@pytest.mark.parametrize("which", [1, 2])
def test_what_is_taken_from_a_slice_is_taken_once_though_the_answer_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    transact = OnSQLite.transact
    done = [-(10**6)]

    async def lossy(self: OnSQLite, work: Any) -> Any:
        result = await transact(self, work)
        done[0] += 1
        if done[0] == which:
            raise StoreGoneError("the connection was lost")
        return result

    monkeypatch.setattr(OnSQLite, "transact", lossy)

    async def work(store: Store) -> None:
        key, other = await new_key(store, budget_nusd=10**6), await new_key(store)
        (wrong,) = await ask(store, other, 1, 10)
        for _ in range(100):
            for ticket in await ask(store, key, 1, 10):
                ticket.settle(7)
        assert (await money(store, key))[0] == 700
        wrong.settle(2**80)
        for ticket in await ask(store, key, 5, 10):  # from the slice
            ticket.settle(7)
        store.writer.log(record("a"))
        done[0] = 0
        with pytest.raises(StoreGoneError):
            await store.writer.flush()
        await store.writer.flush()
        store.ledger.forget()
        assert await money(store, key) == (735, 0)
        assert await store.database.read(ids) == ["a"]
        assert await summed(store, "requests") == 1

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)


def test_a_flush_writes_what_waits_now_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    transact = OnSQLite.transact

    async def counted(self: OnSQLite, work: Any) -> Any:
        batches.append(1)
        return await transact(self, work)

    async def work(store: Store) -> None:
        await store.writer.flush()
        monkeypatch.setattr(OnSQLite, "transact", counted)
        await store.writer.flush()
        assert batches == []  # nothing waits
        for i in range(600):
            store.writer.log(record(f"{i}"))
        await store.writer.flush()
        assert len(batches) == 3  # 256 + 256 + 88
        assert (store.writer.queued, store.writer.written) == (0, 600)
        assert len(await store.database.read(ids)) == 600

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)


def test_a_flush_ends_although_more_comes_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transact = OnSQLite.transact
    batches = []

    async def work(store: Store) -> None:
        async def with_more(self: OnSQLite, work: Any) -> Any:
            batches.append(1)
            if len(batches) < 50:
                for _ in range(5):
                    store.writer.log(record())
            return await transact(self, work)

        for _ in range(300):
            store.writer.log(record())
        monkeypatch.setattr(OnSQLite, "transact", with_more)
        await store.writer.flush()
        assert len(batches) == 2  # of 256 and 49: the 300 that waited are written
        monkeypatch.setattr(OnSQLite, "transact", transact)

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)


def test_many_entries_are_written_before_their_time(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for i in range(256):
            store.writer.log(record(f"{i}"))
        async with asyncio.timeout(10):
            while store.writer.written < 256:
                await asyncio.sleep(0)

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)
