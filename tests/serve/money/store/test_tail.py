"""The log of one pipeline, read piece by piece while it grows."""

from dataclasses import replace

import pytest

from equirouter.serve.money.store import tail
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tail import Tail
from tests.serve.stores import record, with_store

PIPELINE = "0123456789ab"


async def logged(store: Store, *request_ids: str, pipeline: str = PIPELINE) -> None:
    for request_id in request_ids:
        made = record(request_id)
        assert made.plan is not None
        made.plan = replace(made.plan, pipeline=pipeline)
        store.writer.log(made)
    await store.writer.flush()


async def read(store: Store, seen: Tail) -> list[list[str]]:
    """The pieces of one look."""
    await store.database.read(seen.look)
    pieces = []
    while rows := await store.database.read(seen.rows):
        pieces.append([row["request_id"] for row in rows])
    return pieces


def test_each_request_is_read_once_in_small_pieces(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_PIECE", 2)

    async def work(store: Store) -> None:
        seen = Tail(PIPELINE, 0.0)
        assert await read(store, seen) == []
        await logged(store, "a", "b", "c")
        await logged(store, "x", "y", "z", pipeline="another")  # two pieces without one of ours
        await logged(store, "d")
        assert await read(store, seen) == [["a", "b"], ["c"], ["d"]]
        assert await read(store, seen) == []
        await logged(store, "e")
        assert await read(store, seen) == [["e"]]

    with_store(store_url, work)


def test_what_a_failure_left_is_read_next(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_PIECE", 2)

    async def work(store: Store) -> None:
        seen = Tail(PIPELINE, 0.0)
        await logged(store, "a", "b", "c")
        await store.database.read(seen.look)
        assert len(await store.database.read(seen.rows)) == 2
        await logged(store, "d")  # and here the reader failed
        assert await read(store, seen) == [["c"]]
        assert await read(store, seen) == [["d"]]

    with_store(store_url, work)


def test_of_too_many_an_even_sample_is_read(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_MOST_AT_FIRST", 3)

    async def work(store: Store) -> None:
        await logged(store, *"abcdefg")
        assert await read(store, Tail(PIPELINE, 0.0)) == [["a", "d", "g"]]

    with_store(store_url, work)
