"""Old entries are deleted, and SQLite's log is emptied."""

from pathlib import Path

from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tables import log, texts
from equirouter.serve.money.store.upkeep import checkpoint
from tests.serve.stores import record, rows, summed, with_store


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
