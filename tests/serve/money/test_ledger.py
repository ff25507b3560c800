"""Money: exactly what a budget allows is let through, whoever asks, and all of it is settled."""

import asyncio
import multiprocessing
from contextlib import suppress
from typing import Any

import pytest

from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.limits import Refusal
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


def test_more_is_reserved_before_a_dearer_model(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1, 30)
        assert await ticket.extend(20)  # it has that
        assert await ticket.extend(60)
        assert await money(store, key) == (0, 60)
        assert not await ticket.extend(101)
        assert await money(store, key) == (0, 60)
        ticket.settle(45)
        ticket.settle(45)
        assert not await ticket.extend(50)
        assert await money(store, key) == (45, 0)

    with_store(store_url, work)


def test_who_hangs_up_while_waiting_leaves_nothing_reserved(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        waiting = asyncio.ensure_future(store.ledger.reserve(key.id, 10, request_id="a"))
        await asyncio.sleep(0)
        waiting.cancel()
        assert len(await ask(store, key, 10)) >= 9
        await asyncio.gather(waiting, return_exceptions=True)
        await store.flush()
        spent, reserved = await money(store, key)
        assert (spent, reserved) == (0, 10 * store.ledger.open_tickets)

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
        assert store.ledger.open_tickets == 2
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


def test_tokens_that_were_not_needed_are_free_again(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, tokens_per_minute=1000)
        first = await store.ledger.reserve(key.id, 0, tokens=900, request_id="1")
        assert isinstance(first, Ticket)
        second = await store.ledger.reserve(key.id, 0, tokens=200, request_id="2")
        assert isinstance(second, Refusal)
        assert second.reason == "tokens"
        first.settle(0, tokens=100)
        await store.flush()
        assert isinstance(await store.ledger.reserve(key.id, 0, tokens=200, request_id="3"), Ticket)

    with_store(store_url, work)
