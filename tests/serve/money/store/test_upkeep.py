"""Old entries are deleted, and SQLite's log is emptied."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tables import (
    CHARGED,
    OPEN,
    counts,
    feedback,
    log,
    reservations,
    sums,
    texts,
    workers,
)
from equirouter.serve.money.store.upkeep import checkpoint, delete_minutes, delete_old, forget_dead
from equirouter.serve.money.store.workers import entry
from tests.serve.stores import ids, numbers, record, rows, summed, with_store

NOW = 1_800_000_000.0


def test_what_is_too_old_is_deleted_and_its_sums_stay(store_url: str) -> None:
    now = 1_800_000_000.0

    async def work(store: Store) -> None:
        for days, name in ((31, "old"), (29, "young")):
            for i in range(700 if name == "old" else 2):
                store.log(record(f"{name}{i}", started_at=now - days * 86_400, prompt="x"))
        await store.flush()
        await store.tidy()
        left = await store.database.read(rows, log)
        assert {row["request_id"] for row in left} == {"young0", "young1"}
        assert len(await store.database.read(rows, texts)) == 2
        assert await summed(store, "requests") == 702

    with_store(store_url, work, lambda: now, retention_days=30)


def test_sqlites_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    wal = tmp_path / "x.db-wal"

    async def work(store: Store) -> None:
        for _ in range(20):
            store.log(record(prompt="x" * 300_000))
        await store.flush()
        assert wal.stat().st_size > 4 * 2**20
        await checkpoint(store.database)
        size = wal.stat().st_size
        for _ in range(10):
            store.log(record(prompt="x" * 300_000))
        await store.flush()
        assert wal.stat().st_size == size  # it began at the front again

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_sums_of_single_minutes_are_deleted_after_three_days(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for days in (3.0, 2.999):
            store.log(record(started_at=NOW - days * 86_400 - 60))
        await store.flush()
        await store.database.write(delete_minutes, NOW)
        for table in (sums, counts):
            left = [(row["step"], row["start"]) for row in await store.database.read(rows, table)]
            assert len({place for place in left if place[0] == 60}) == 1
            assert min(start for step, start in left if step == 60) >= NOW - 3 * 86_400
            assert len({place for place in left if place[0] == 1800}) == 2

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_a_day_after_its_death_a_worker_is_forgotten_unless_it_owes(tmp_path: Path) -> None:
    day = 86_400

    def made(connection: sa.Connection) -> None:
        connection.execute(sa.delete(workers))
        for id_, gone_at in ((1, None), (2, NOW - day - 1), (3, NOW - day), (4, NOW - day - 1)):
            entered = {**entry(), "id": id_, "gone_at": gone_at}
            connection.execute(sa.insert(workers).values(entered))
        reservation = {"request_id": "r", "key_id": "k", "period": "day", "day": 1}
        for worker, state, at in (
            (2, CHARGED, NOW - day - 1),
            (3, CHARGED, NOW - day),
            (4, OPEN, NOW - day - 1),
        ):
            values = {"worker": worker, "n": 1, "amount_nusd": 1, "reserved_at": at, "state": state}
            connection.execute(sa.insert(reservations).values({**reservation, **values}))

    async def work(store: Store) -> None:
        await store.database.write(made)
        await store.database.write(forget_dead, NOW)
        assert await store.database.read(numbers) == [1, 3, 4]
        left = await store.database.read(rows, reservations)
        assert [row["worker"] for row in left] == [3, 4]

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)


def test_only_what_is_older_than_asked_is_deleted(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for days in (10.0, 9.999):
            store.log(record(f"{days}", started_at=NOW - days * 86_400 - 1, prompt="x"))
        await store.flush()
        await store.database.write(
            lambda c: c.execute(
                sa.insert(feedback),
                [
                    {"request_id": f"{n}", "at_us": int((NOW - n * 86_400) * 1e6) - 1}
                    | {"given_at_us": 0, "score": 1.0}
                    for n in (10, 9)
                ],
            )
        )
        assert await delete_old(store.database, 10, now=NOW) == 1
        assert await store.database.read(ids) == ["9.999"]
        assert [row["request_id"] for row in await store.database.read(rows, texts)] == ["9.999"]
        assert [row["request_id"] for row in await store.database.read(rows, feedback)] == ["9"]

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_a_small_log_of_sqlite_is_left_alone_and_a_huge_one_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = tmp_path / "x.db-wal"

    async def work(store: Store) -> None:
        store.log(record(prompt="x" * 300_000))
        await store.flush()
        size = wal.stat().st_size
        await checkpoint(store.database)
        store.log(record(prompt="x" * 300_000))
        await store.flush()
        assert wal.stat().st_size > size  # nothing was copied
        monkeypatch.setattr("equirouter.serve.money.store.upkeep._WAL_BYTES", 0)
        await checkpoint(store.database)
        assert wal.stat().st_size > 0
        monkeypatch.setattr("equirouter.serve.money.store.upkeep._WAL_FRAMES", 0)
        await checkpoint(store.database)
        assert wal.stat().st_size == 0

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)
