"""The store as a whole: opened, closed, killed, and with its database gone for a while."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import ConfigError, StoreGoneError
from equirouter.serve.money.api_keys import list_keys
from equirouter.serve.money.store.schema import (
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
from equirouter.serve.money.store.store import Store, open_database
from equirouter.serve.money.store.workers import entry, forget_dead
from equirouter.serve.settings import StoreSettings
from tests.serve import databases
from tests.serve.databases import Server
from tests.serve.stores import (
    agree,
    ask,
    ids,
    money,
    new_key,
    numbers,
    record,
    rows,
    summed,
    with_store,
)


def test_the_url_may_be_in_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = StoreSettings(url_env="STORE")
    monkeypatch.delenv("STORE", raising=False)
    with pytest.raises(ConfigError, match="STORE is not set"):
        open_database(settings)
    monkeypatch.setenv("STORE", f"sqlite:///{tmp_path}/x.db")
    assert open_database(settings).path == tmp_path / "x.db"


def test_all_is_written_when_the_store_is_closed(store_url: str) -> None:
    async def leave(store: Store) -> Any:
        key = await new_key(store)
        (ticket,) = await ask(store, key, 1)
        ticket.settle(9)
        for _ in range(3000):
            store.writer.log(record())
        return key

    key = with_store(store_url, leave, flush_ms=60_000.0)

    async def look(store: Store) -> None:
        assert await money(store, key) == (9, 0)
        assert len(await store.database.read(rows, log)) == 3000
        assert len(await store.database.read(rows, workers)) == 1  # this one

    with_store(store_url, look)


def test_a_store_that_closes_waits_for_a_database_that_starts_again(postgresql: Server) -> None:
    url = postgresql.database()

    async def close() -> None:
        store = await Store.open(StoreSettings(url=url))
        (ticket,) = await ask(store, await new_key(store, budget_nusd=100), 1)
        postgresql.stop()
        ticket.settle(7)
        store.writer.log(record(cost_nusd=7))
        closing = asyncio.create_task(store.close(60))
        await asyncio.to_thread(postgresql.start)
        await closing

    async def look(store: Store) -> None:
        assert await store.database.read(agree) == (7, 7)
        assert await store.database.read(rows, reservations) == []

    asyncio.run(close())
    with_store(url, look)


def test_a_database_that_is_gone_for_a_while(postgresql: Server) -> None:
    url = postgresql.database()

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (before,) = await ask(store, key, 1)
        postgresql.stop()
        try:
            before.settle(4)
            store.writer.log(record("during"))
            with pytest.raises(StoreGoneError):
                await store.ledger.reserve(key.id, 10, request_id="x")
            with pytest.raises(StoreGoneError):
                await store.writer.flush()
            assert store.writer.queued == 1
        finally:
            postgresql.start()
        assert len(await ask(store, key, 20)) == 9
        assert await money(store, key) == (4, 90)
        assert [row["request_id"] for row in await store.database.read(rows, log)] == ["during"]

    with_store(url, work)


WORKER = """
import asyncio, sys, time
from equirouter.serve.records import Key
from equirouter.serve.settings import StoreSettings
from equirouter.serve.money.store.store import Store
from tests.serve.stores import record

async def main(url, key_id):
    store = await Store.open(StoreSettings(url=url))
    async def client(name):
        for i in range(10**9):
            request_id = f"{name}-{i}"
            ticket = await store.ledger.reserve(key_id, 10, request_id=request_id)
            await asyncio.sleep(0.002)
            ticket.settle(7)
            store.writer.log(record(request_id, key_id=key_id, cost_nusd=7, started_at=time.time()))
            print(request_id, 'done', flush=True)
    await asyncio.gather(*(client(name) for name in "abcdefgh"))

asyncio.run(main(*sys.argv[1:]))
"""


def test_after_kill_9_the_log_lacks_an_instant_and_the_money_nothing(store_url: str) -> None:
    key = with_store(store_url, lambda store: new_key(store, budget_nusd=10**12))
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, store_url, key.id], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    told = [worker.stdout.readline().split() for _ in range(1500)]
    worker.send_signal(signal.SIGKILL)
    told += [line.split() for line in worker.stdout]
    worker.wait()
    worker.stdout.close()
    at_most = 2 * (500 if store_url.startswith("postgresql") else 256)  # a batch waits, one runs

    async def look(store: Store) -> None:
        logged = set(await store.database.read(ids))
        lost = [line[0] for line in told if len(line) == 2 and line[0] not in logged]
        assert len(lost) <= at_most
        spent, said = await store.database.read(agree)
        assert spent == said  # those that were under way are charged in full, and say so
        slices = [
            row["cost_nusd"]
            for row in await store.database.read(rows, log)
            if row["note"] is not None and row["request_id"].startswith("slice_")
        ]
        assert 0 < sum(slices) <= 2 * 10 * len(told)  # of what was asked for in a second
        assert spent >= 7 * len(told)
        assert (await money(store, key))[1] == 0

    with_store(store_url, look)


def test_connections_that_were_cut_just_before_the_end_lose_nothing(
    postgresql: databases.Server,
) -> None:
    """As where PostgreSQL and the gateway are started again together."""
    asyncpg = pytest.importorskip("asyncpg")
    url = postgresql.database()

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1)
        store.writer.log(record("before"))
        await store.writer.flush()
        other = await asyncpg.connect(url)
        try:
            await other.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        finally:
            await other.close()
        ticket.settle(4)
        store.writer.log(record("after"))

    with_store(url, work)

    async def look(store: Store) -> None:
        assert await store.database.read(ids) == ["before", "after"]
        (stored,) = await store.database.read(list_keys)
        assert stored.spend is not None
        assert (stored.spend.spent_nusd, stored.spend.reserved_nusd) == (4, 0)
        assert await store.database.read(numbers) == [store.worker]  # the first one is struck

    with_store(url, look)


def test_the_store_says_what_its_writer_says(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for _ in range(3):
            store.writer.log(record())
        store.writer.failing = "the disk is full"
        writer = store.writer
        assert (writer.queued, writer.dropped, writer.failing) == (2, 1, "the disk is full")
        store.writer.failing = None

    with_store(f"sqlite:///{tmp_path}/x.db", work, queue=2, flush_ms=60_000.0)


def test_the_watch_looks_for_the_dead_every_few_seconds_and_tidies_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[tuple[str, int]] = []
    errors = {5: StoreGoneError("gone"), 15: ValueError("a bug")}
    seconds = 0

    async def charge_dead(_: Store) -> int:
        calls.append(("charge", seconds))
        if seconds in errors:
            raise errors[seconds]
        return 0

    async def tidy(_: Store) -> None:
        calls.append(("tidy", seconds))

    async def work(store: Store) -> None:
        async def a_second(_: asyncio.Event, pause: float) -> bool:
            nonlocal seconds
            assert pause == 1.0
            seconds += 1
            store.writer.failing = "the writer says so" if 6 < seconds < 12 else None
            return seconds > 21

        with monkeypatch.context() as patched:
            patched.setattr("equirouter.serve.money.store.store.happens", a_second)
            patched.setattr("equirouter.serve.money.store.store._TIDY_SECONDS", 7)
            patched.setattr(Store, "charge_dead", charge_dead)
            patched.setattr(Store, "tidy", tidy)
            await store._keep_watch()
        assert calls == [  # not after 10 seconds, while the writer fails
            *(("charge", 5), ("tidy", 7), ("tidy", 14), ("charge", 15), ("charge", 20)),
            ("tidy", 21),
        ]
        # files that are there are not spoken of
        assert [one.message for one in caplog.records] == ["maintenance of the store failed"]

    with_store(f"sqlite:///{tmp_path}/x.db", work)


@pytest.mark.parametrize(("days", "left"), [(None, 2), (30, 1)])
def test_entries_are_kept_as_long_as_is_set(tmp_path: Path, days: int | None, left: int) -> None:
    now = 1_800_000_000.0

    async def work(store: Store) -> None:
        for age in (29, 31):
            store.writer.log(record(started_at=now - age * 86_400))
        await store.writer.flush()
        await store.tidy()
        assert len(await store.database.read(ids)) == left

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: now, retention_days=days)


NOW = 1_800_000_000.0


def test_what_is_too_old_is_deleted_and_its_sums_stay(store_url: str) -> None:
    now = 1_800_000_000.0

    async def work(store: Store) -> None:
        for days, name in ((31, "old"), (29, "young")):
            for i in range(700 if name == "old" else 2):
                store.writer.log(record(f"{name}{i}", started_at=now - days * 86_400, prompt="x"))
        await store.writer.flush()
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
            store.writer.log(record(prompt="x" * 300_000))
        await store.writer.flush()
        assert wal.stat().st_size > 4 * 2**20
        await store.database.checkpoint()
        size = wal.stat().st_size
        for _ in range(10):
            store.writer.log(record(prompt="x" * 300_000))
        await store.writer.flush()
        assert wal.stat().st_size == size  # it began at the front again

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_sums_of_single_minutes_are_deleted_after_three_days(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for days in (3.0, 2.999):
            store.writer.log(record(started_at=NOW - days * 86_400 - 60))
        await store.writer.flush()
        await store.tidy()
        for table in (sums, counts):
            left = [(row["step"], row["start"]) for row in await store.database.read(rows, table)]
            assert len({place for place in left if place[0] == 60}) == 1
            assert min(start for step, start in left if step == 60) >= NOW - 3 * 86_400
            assert len({place for place in left if place[0] == 1800}) == 2

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: NOW)


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
            store.writer.log(record(f"{days}", started_at=NOW - days * 86_400 - 1, prompt="x"))
        await store.writer.flush()
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
        await store.tidy()
        assert await store.database.read(ids) == ["9.999"]
        assert [row["request_id"] for row in await store.database.read(rows, texts)] == ["9.999"]
        assert [row["request_id"] for row in await store.database.read(rows, feedback)] == ["9"]

    with_store(f"sqlite:///{tmp_path}/x.db", work, lambda: NOW, retention_days=10)


def test_a_small_log_of_sqlite_is_left_alone_and_a_huge_one_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = tmp_path / "x.db-wal"

    async def work(store: Store) -> None:
        store.writer.log(record(prompt="x" * 300_000))
        await store.writer.flush()
        size = wal.stat().st_size
        await store.database.checkpoint()
        store.writer.log(record(prompt="x" * 300_000))
        await store.writer.flush()
        assert wal.stat().st_size > size  # nothing was copied
        monkeypatch.setattr("equirouter.serve.money.store.engine._WAL_BYTES", 0)
        await store.database.checkpoint()
        assert wal.stat().st_size > 0
        monkeypatch.setattr("equirouter.serve.money.store.engine._WAL_FRAMES", 0)
        await store.database.checkpoint()
        assert wal.stat().st_size == 0

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)
