"""Batches: a request is logged and added up once."""

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.serve.money.ledger import Settlement, Ticket
from equirouter.serve.money.store.batches import Batch, write_batch
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tables import (
    counts,
    log,
    reservations,
    sums,
    texts,
    windows,
    workers,
)
from tests.serve.stores import ask, ids, money, new_key, record, rows, summed, with_store


def books(store: Store) -> OnSQLite | OnPostgreSQL:
    return store._books[-1]


def test_a_request_is_logged_and_added_up(store_url: str) -> None:
    async def work(store: Store) -> None:
        store.log(record("a", prompt="what\0?", answer="thät"))
        store.log(record("b", served_model=None, cost_nusd=None, status=502, error="nobody"))
        await store.flush()
        logged = await store.database.read(rows, log)
        assert [row["request_id"] for row in logged] == ["a", "b"]
        first = logged[0]
        assert first["at_us"] == 1_800_000_000_250_000
        assert (first["served_model"], first["cost_nusd"], first["predicted_nusd"]) == (
            "small",
            250,
            200,
        )
        assert (first["decision_us"], first["total_us"], first["n_attempts"]) == (500, 14_000, 1)
        assert first["value"] == 0.98
        assert not first["stream"]
        (told,) = await store.database.read(rows, texts)
        assert (told["prompt"], told["answer"]) == ("what\ufffd?", "thät")
        added = [row for row in await store.database.read(rows, sums) if row["step"] == 60]
        assert {
            (row["model"], row["requests"], row["errors"], row["cost_nusd"]) for row in added
        } == {
            ("small", 1, 0, 250),
            ("", 1, 1, 0),
        }
        assert {row["start"] for row in added} == {1_800_000_000 - 1_800_000_000 % 60}
        counted = [row for row in await store.database.read(rows, counts) if row["step"] == 1800]
        assert {(row["kind"], row["name"], row["n"]) for row in counted} == {
            ("status", "200", 1),
            ("status", "502", 1),
            ("call", '["here","small","ok"]', 2),
        }

    with_store(store_url, work)


def test_a_batch_is_written_once(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store)
        (ticket,) = await ask(store, key, 1, 10)
        numbered = 100
        settlements = [Settlement(ticket.grant.n, key.id, ("month", 0), 7)]
        for _ in range(2):
            batch = Batch(numbered, list(settlements), [record("a")])
            await books(store).transact(partial(write_batch, worker=store.worker, batch=batch))
        older = Batch(numbered - 1, [], [record("b")])
        await books(store).transact(partial(write_batch, worker=store.worker, batch=older))
        assert await money(store, key) == (7, 0)
        assert await store.database.read(ids) == ["a"]
        assert await summed(store, "requests") == 1
        store.ledger.end(ticket.grant, 99, None)  # ended twice: the second end finds nothing
        assert await money(store, key) == (7, 0)

    with_store(store_url, work, flush_ms=60_000.0)


def test_a_worker_that_was_struck_off_enters_again(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store)
        (ticket,) = await ask(store, key, 1, 10)
        await store.database.write(lambda c: c.execute(sa.delete(workers)))
        ticket.settle(7)
        store.log(record("a"))
        assert await money(store, key) == (7, 0)
        assert await store.database.read(ids) == ["a"]
        (entered,) = await store.database.read(rows, workers)
        assert (entered["id"], entered["gone_at"]) == (store.worker, None)

    with_store(store_url, work, flush_ms=60_000.0)


def test_a_settlement_adds_its_cost_and_takes_what_was_reserved(store_url: str) -> None:
    now = 1_800_000_010.0

    async def work(store: Store) -> None:
        key = await new_key(store, tokens_per_minute=1000)
        other = await new_key(store)
        tickets = [
            await store.ledger.reserve(key.id, 10 * i, tokens=100, request_id=f"{i}")
            for i in (1, 2, 3)
        ]
        first, second, third = tickets
        assert isinstance(first, Ticket)
        assert isinstance(second, Ticket)
        assert isinstance(third, Ticket)
        first.settle(7, tokens=40)
        second.settle(0, tokens=90)
        store.writer.settle(Settlement(None, key.id, ("month", 20_819), 1000))  # never reserved
        store.writer.settle(Settlement(999, key.id, ("month", 20_819), 5000))  # not there
        (free,) = await ask(store, other, 1, 50)
        free.settle(60)
        assert await money(store, key) == (1007, 30)
        assert await money(store, other) == (60, 0)
        (window,) = await store.database.read(rows, windows)
        assert (window["tokens"], window["last_tokens"]) == (230, 0)
        left = await store.database.read(rows, reservations)
        assert [row["n"] for row in left] == [third.grant.n]

    with_store(store_url, work, lambda: now, flush_ms=60_000.0)


@pytest.mark.parametrize(("minutes", "expected"), [(0, (60, 0)), (1, (0, 60)), (2, (0, 0))])
def test_unused_tokens_are_given_back_to_their_minute(
    tmp_path: Any, minutes: int, expected: tuple[int, int]
) -> None:
    now = [1_800_000_010.0]

    async def work(store: Store) -> None:
        key = await new_key(store, tokens_per_minute=1000)
        first = await store.ledger.reserve(key.id, 0, tokens=100)
        assert isinstance(first, Ticket)
        now[0] += 60.0 * minutes
        assert isinstance(await store.ledger.reserve(key.id, 0, tokens=0), Ticket)
        first.settle(0, tokens=60)
        await store.flush()
        (window,) = await store.database.read(rows, windows)
        assert (window["tokens"], window["last_tokens"]) == expected

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: now[0], flush_ms=60_000.0)
