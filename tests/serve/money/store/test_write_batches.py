"""Batches: a request is logged and added up once."""

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.slices import Settlement, Slice
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite
from equirouter.serve.money.store.schema import (
    SUMS,
    counts,
    log,
    reservations,
    sums,
    texts,
    windows,
    workers,
)
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.write_batches import Batch, BatchRows, text_row, write_batch
from equirouter.serve.records import Attempt, RequestRecord, Tokens
from tests.serve.stores import ask, ids, money, new_key, record, rows, summed, with_store


def books(store: Store) -> OnSQLite | OnPostgreSQL:
    return store._books[-1]


def test_a_request_is_logged_and_added_up(store_url: str) -> None:
    async def work(store: Store) -> None:
        store.writer.log(record("a", prompt="what\0?", answer="thät"))
        store.writer.log(record("b", served_model=None, cost_nusd=None, status=502, error="nobody"))
        await store.writer.flush()
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
        settlements = [Settlement(ticket.parts[0][0].n, key.id, ("month", 0), 7)]
        for _ in range(2):
            batch = Batch(numbered, list(settlements), [record("a")])
            await books(store).transact(partial(write_batch, worker=store.worker, batch=batch))
        older = Batch(numbered - 1, [], [record("b")])
        await books(store).transact(partial(write_batch, worker=store.worker, batch=older))
        assert await money(store, key) == (7, 0)
        assert await store.database.read(ids) == ["a"]
        assert await summed(store, "requests") == 1
        ticket.settle(99)  # ended twice: the second end finds nothing
        assert await money(store, key) == (7, 0)

    with_store(store_url, work, flush_ms=60_000.0)


def test_a_worker_that_was_struck_off_enters_again(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store)
        (ticket,) = await ask(store, key, 1, 10)
        await store.database.write(lambda c: c.execute(sa.delete(workers)))
        ticket.settle(7)
        store.writer.log(record("a"))
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
        for n, cost in ((None, 1000), (999, 5000)):  # never reserved, and not there
            row = Slice(n, key.id, ("month", 20_819))
            row.charge(cost)
            store.writer.settle(row)
        (free,) = await ask(store, other, 1, 50)
        free.settle(60)
        assert await money(store, key) == (1007, 30)
        assert await money(store, other) == (60, 0)
        (window,) = await store.database.read(rows, windows)
        assert (window["tokens"], window["last_tokens"]) == (230, 0)
        left = await store.database.read(rows, reservations)
        assert [row["n"] for row in left] == [third.parts[0][0].n]

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
        await store.writer.flush()
        (window,) = await store.database.read(rows, windows)
        assert (window["tokens"], window["last_tokens"]) == expected

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: now[0], flush_ms=60_000.0)


AT, MINUTE, HALF_HOUR = 1_800_002_000, 1_800_001_980, 1_800_001_800  # in steps of 60 and 1800


def added_by(*requests: RequestRecord) -> BatchRows:
    return Batch(records=list(requests)).rows()


def counted(request: RequestRecord) -> dict[str, int]:
    """What a request adds to each sum that is not 0."""
    (values,) = {tuple(row) for row in added_by(request).sums.values()}
    return {name: value for name, value in zip(SUMS, values, strict=True) if value}


USUAL = {"requests": 1, "cost_nusd": 250, "input_tokens": 20, "output_tokens": 30}
COMPARED = {"compared": 1, "compared_cost_nusd": 250, "compared_strongest_nusd": 4000}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, USUAL | COMPARED),
        ({"strongest_nusd": None}, USUAL),
        ({"cost_nusd": None}, {"requests": 1, "input_tokens": 20, "output_tokens": 30}),
        ({"status": 399}, USUAL | COMPARED),
        ({"status": 400}, USUAL | COMPARED | {"errors": 1}),
        ({"tokens": None}, {"requests": 1, "cost_nusd": 250} | COMPARED),
        ({"tokens": Tokens(20, 30, estimated=True)}, USUAL | COMPARED | {"estimated": 1}),
        ({"attempts": [Attempt("a", "x", "ok", 200, 1.0)] * 2}, USUAL | COMPARED),
        (
            {"attempts": [Attempt(name, "x", "ok", 200, 1.0) for name in "ab"]},
            USUAL | COMPARED | {"fallbacks": 1},
        ),
        ({"attempts": []}, USUAL | COMPARED),
        ({"cost_nusd": 0}, USUAL | COMPARED | {"cost_nusd": 0, "compared_cost_nusd": 0}),
    ],
)
def test_what_a_request_adds(changes: dict[str, Any], expected: dict[str, int]) -> None:
    assert counted(record(**changes)) == {name: n for name, n in expected.items() if n}


def test_sums_are_by_step_key_model_and_who_decided() -> None:
    added = added_by(
        record(key_id="k", started_at=AT),
        record(key_id="k", started_at=MINUTE + 59.9),
        record(key_id="k", started_at=MINUTE + 60.0),
        record(plan=None, served_model=None, started_at=AT),
    )
    requests = {place: row[SUMS.index("requests")] for place, row in added.sums.items()}
    assert requests == {
        (60, MINUTE, "k", "small", "policy"): 2,
        (60, MINUTE + 60, "k", "small", "policy"): 1,
        (1800, HALF_HOUR, "k", "small", "policy"): 3,
        (60, MINUTE, "", "", ""): 1,
        (1800, HALF_HOUR, "", "", ""): 1,
    }
    assert added.counts == {
        (60, MINUTE, "status", "200"): [3],
        (60, MINUTE + 60, "status", "200"): [1],
        (1800, HALF_HOUR, "status", "200"): [4],
        (60, MINUTE, "call", '["here","small","ok"]'): [3],
        (60, MINUTE + 60, "call", '["here","small","ok"]'): [1],
        (1800, HALF_HOUR, "call", '["here","small","ok"]'): [4],
    }


def test_texts_are_kept_where_there_are_any() -> None:
    assert text_row(record()) is None
    assert text_row(record("a", answer="y\0")) == {
        "request_id": "a",
        "at_us": 1_800_000_000_250_000,
        "prompt": None,
        "answer": "y\ufffd",
    }
    only_prompt = text_row(record("b", prompt="x"))
    assert only_prompt is not None
    assert (only_prompt["prompt"], only_prompt["answer"]) == ("x", None)
