"""Money: exactly what a budget allows is let through, whoever asks, and all of it is settled."""

import asyncio
import multiprocessing
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import BusyError, StoreGoneError
from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.limits import Refusal
from equirouter.serve.money.store.books import OnSQLite
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Key
from tests.serve.stores import ask, money, new_key, with_store


@pytest.mark.parametrize("durability", ["process", "power"])
def test_200_at_once_on_money_for_10_let_10_through(store_url: str, durability: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        through = await ask(store, key, 200)
        assert len(through) == 10
        assert await money(store, key) == (0, 100)
        for ticket in through[:4]:
            ticket.settle(7)
        for ticket in through[4:]:
            ticket.release()
        assert await money(store, key) == (28, 0)
        assert len(await ask(store, key, 200)) == 7  # 72 are left

    with_store(store_url, work, durability=durability)


def _ask_in_a_process(url: str, key_id: str, n: int, go: Any, found: Any) -> None:
    async def work(store: Store) -> None:
        key = Key(key_id, "test")
        go.wait()
        through = await ask(store, key, n)
        found.put(len(through))
        for ticket in through:
            ticket.settle(10)

    with_store(url, work)


def test_two_processes_share_a_budget_exactly(store_url: str) -> None:
    key = with_store(store_url, lambda store: new_key(store, budget_nusd=100))
    spawn = multiprocessing.get_context("spawn")
    go, found = spawn.Barrier(2), spawn.Queue()
    workers = [
        spawn.Process(target=_ask_in_a_process, args=(store_url, key.id, 200, go, found))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sum(found.get() for _ in workers) == 10
    assert with_store(store_url, lambda store: money(store, key)) == (100, 0)


def test_more_is_reserved_before_a_more_expensive_model(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1, 30)
        assert await ticket.extend(20)  # it has that
        assert ticket.amount_nusd == 30
        assert await ticket.extend(60)
        assert ticket.amount_nusd == 60
        assert await money(store, key) == (0, 60)
        ticket.settle(45)
        ticket.settle(46)  # it is over
        ticket.release()
        assert not await ticket.extend(50)
        assert await money(store, key) == (45, 0)
        assert store.ledger._open == 0

    with_store(store_url, work)


def test_a_refused_extension_reserves_nothing(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1, 30)
        assert not await ticket.extend(101)
        assert ticket.amount_nusd == 30
        assert await money(store, key) == (0, 30)
        assert await ticket.extend(100)  # it is asked again, and takes all that is there
        assert await money(store, key) == (0, 100)
        assert await ask(store, key, 1, 1) == []
        ticket.release()
        assert await money(store, key) == (0, 0)

    with_store(store_url, work)


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_request_that_ends_while_more_is_reserved_gives_all_of_it_back(
    store_url: str, durability: str
) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        for turns in range(4):  # before the group, within it, and after
            (ticket,) = await ask(store, key, 1, 10)
            more = asyncio.ensure_future(ticket.extend(60))
            for _ in range(turns):
                await asyncio.sleep(0)
            ticket.settle(5)
            await more
            assert not await ticket.extend(10)
            assert await money(store, key) == (5 * (turns + 1), 0)

    with_store(store_url, work, durability=durability)


def test_only_one_extension_runs_at_a_time(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1, 10)
        assert sorted(await asyncio.gather(ticket.extend(60), ticket.extend(70))) == [False, True]
        assert await money(store, key) == (0, 60)

    with_store(store_url, work)


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("error", [StoreGoneError("gone"), ValueError("a bug")])
def test_a_transaction_that_fails_reserves_nothing_and_the_next_one_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, error: Exception
) -> None:
    now = OnSQLite.now
    fails = [False]

    def failing(self: OnSQLite, work: Any) -> Any:
        if fails[0]:
            raise error
        return now(self, work)

    monkeypatch.setattr(OnSQLite, "now", failing)

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (running,) = await ask(store, key, 1, 10)
        await store.writer.flush()
        fails[0] = True
        answers = await asyncio.gather(
            *(store.ledger.reserve(key.id, 10) for _ in range(3)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [StoreGoneError] * 3
        assert len({id(answer) for answer in answers}) == 3  # each with its own traceback
        assert not await running.extend(20)
        fails[0] = False
        assert (running.amount_nusd, store.ledger._open) == (10, 1)
        assert await running.extend(20)
        assert len(await ask(store, key, 9)) == 8
        assert await money(store, key) == (0, 100)

    with_store(f"sqlite:///{tmp_path}/x.db", work, durability=durability, flush_ms=60_000.0)


@pytest.mark.parametrize("durability", ["process", "power"])
def test_more_than_one_group_is_answered_in_turn(
    store_url: str, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    monkeypatch.setattr("equirouter.serve.money.ledger._LARGEST_GROUP", 3)

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=80)
        (first,) = await ask(store, key, 1)
        async with asyncio.timeout(10):
            assert len(await ask(store, key, 20)) == 7
        first.release()
        assert await money(store, key) == (0, 70)

    with_store(store_url, work, durability=durability)


def busy(_: OnSQLite, __: Any) -> Any:
    raise BusyError("database is locked")


@pytest.mark.parametrize("durability", ["process", "power"])
def test_while_another_process_writes_asks_wait_until_it_is_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (running,) = await ask(store, key, 1)
        await store.writer.flush()
        with monkeypatch.context() as patched:
            patched.setattr(OnSQLite, "now", busy)
            patched.setattr("equirouter.serve.money.ledger.BUSY_SECONDS", 0.01)
            with pytest.raises(StoreGoneError, match="locked"):
                await store.ledger.reserve(key.id, 10)
            patched.setattr("equirouter.serve.money.ledger.BUSY_SECONDS", 60.0)
            more = asyncio.ensure_future(running.extend(30))
            gone = asyncio.ensure_future(store.ledger.reserve(key.id, 10))
            waits = asyncio.ensure_future(store.ledger.reserve(key.id, 20))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not more.done()
            assert not waits.done()
            gone.cancel()
            running.settle(4)
        async with asyncio.timeout(10):
            ticket = await waits
            assert not await more
        assert isinstance(ticket, Ticket)
        assert await money(store, key) == (4, 20)
        assert store.ledger._open == 1

    with_store(f"sqlite:///{tmp_path}/x.db", work, durability=durability)


def test_those_who_wait_when_the_gateway_stops_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(store: Store) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(OnSQLite, "now", busy)
            waits = asyncio.ensure_future(store.ledger.reserve("key", 10))
            await asyncio.sleep(0)
            await store.ledger.close()
            with pytest.raises(StoreGoneError, match="stopping"):
                await waits

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_who_hangs_up_while_waiting_leaves_nothing_reserved(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        waiting = asyncio.ensure_future(store.ledger.reserve(key.id, 10, request_id="a"))
        await asyncio.sleep(0)
        waiting.cancel()
        assert len(await ask(store, key, 10)) >= 9
        await asyncio.gather(waiting, return_exceptions=True)
        await store.writer.flush()
        spent, reserved = await money(store, key)
        assert (spent, reserved) == (0, 10 * store.ledger._open)

    with_store(store_url, work)


def test_who_hangs_up_as_the_answer_comes_leaves_nothing_reserved(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=10_000)
        (running,) = await ask(store, key, 1, 10)
        for turns in range(8):  # one of them is between the answer and whoever waits for it
            asked = asyncio.ensure_future(store.ledger.reserve(key.id, 20))
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            with suppress(asyncio.CancelledError):
                found = await asked
                assert isinstance(found, Ticket)
                found.release()
        await ask(store, key, 1, 10)  # after it, all before it are answered
        assert store.ledger._open == 2
        running.release()
        assert await money(store, key) == (0, 10)

    with_store(store_url, work)


def test_rates_are_exact_and_refused_requests_do_not_count(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, requests_per_minute=7, tokens_per_minute=1000)
        answers = await asyncio.gather(
            *(store.ledger.reserve(key.id, 0, tokens=100, request_id=f"{i}") for i in range(50))
        )
        refused = [answer for answer in answers if isinstance(answer, Refusal)]
        assert len(refused) == 43
        assert {one.reason for one in refused} == {"requests"}

    with_store(store_url, work)


@pytest.mark.parametrize(
    ("used", "left"), [(100, 900), (899, 101), (900, 100), (2000, 100), (None, 100)]
)
def test_tokens_that_were_not_needed_are_free_again(
    store_url: str, used: int | None, left: int
) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, tokens_per_minute=1000)
        first = await store.ledger.reserve(key.id, 0, tokens=900, request_id="1")
        assert isinstance(first, Ticket)
        full = await store.ledger.reserve(key.id, 0, tokens=101, request_id="2")
        assert isinstance(full, Refusal)
        assert (full.reason, full.limit, full.left) == ("tokens", 1000, 100)
        first.settle(0, tokens=used)
        await store.writer.flush()
        too_many = await store.ledger.reserve(key.id, 0, tokens=left + 1, request_id="3")
        assert isinstance(too_many, Refusal)
        assert too_many.left == left
        second = await store.ledger.reserve(key.id, 0, tokens=left, request_id="4")
        assert isinstance(second, Ticket)

    with_store(store_url, work, lambda: 1_800_000_010.0)  # within one minute


def test_a_request_that_a_slice_pays_knows_the_minute_of_its_tokens(store_url: str) -> None:
    """So that those that it does not need go back to that minute, though no store was asked."""

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=10**9, tokens_per_minute=1_000_000)
        for turn in range(10):
            names = [f"{turn} {number}" for number in range(16)]
            asked = (store.ledger.reserve(key.id, 1000, tokens=900, request_id=n) for n in names)
            for answer in await asyncio.gather(*asked):
                assert isinstance(answer, Ticket)
                assert answer.minute == 30_000_000
                answer.settle(1000, tokens=90)

    with_store(store_url, work, lambda: 1_800_000_010.0)


def test_a_released_request_leaves_nothing_spent_and_all_its_tokens(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100, tokens_per_minute=1000)
        first = await store.ledger.reserve(key.id, 60, tokens=900, request_id="1")
        assert isinstance(first, Ticket)
        first.release()
        assert await money(store, key) == (0, 0)
        second = await store.ledger.reserve(key.id, 100, tokens=1000, request_id="2")
        assert isinstance(second, Ticket)

    with_store(store_url, work, lambda: 1_800_000_010.0)
