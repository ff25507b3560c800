"""The database: its tables, its migrations, and what happens behind the requests."""

import asyncio
import multiprocessing
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import ConfigError, StoreGoneError
from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.migrate import HEAD, differences, migrate
from equirouter.serve.money.store.store import Store, open_database
from equirouter.serve.money.store.tables import counts, log, reservations, sums, texts, workers
from equirouter.serve.money.store.upkeep import checkpoint
from equirouter.serve.money.store.workers import Watch, charge_dead
from equirouter.serve.records import Key
from equirouter.serve.settings import StoreSettings, read_settings
from tests.serve.databases import Server
from tests.serve.stores import ask, money, new_key, record, with_store


def rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


async def summed(store: Store, name: str) -> int:
    """A column of the sums over half hours; those over minutes must agree unless deleted."""
    found = {60: 0, 1800: 0}
    for row in await store.database.read(rows, sums):
        found[row["step"]] += row[name]
    assert found[60] in (0, found[1800])
    return found[1800]


def test_the_migrations_make_the_tables_that_the_code_uses(store_url: str) -> None:
    async def work() -> tuple[list[Any], str]:
        database = Database(store_url)
        await migrate(database)
        await migrate(database)
        found = await database.read(differences)
        version = await database.read(
            lambda connection: connection.execute(
                sa.text("SELECT version_num FROM alembic_version")
            ).scalar_one()
        )
        await database.close()
        return found, version

    assert asyncio.run(work()) == ([], HEAD)


def test_workers_that_start_together_migrate_once(store_url: str) -> None:
    async def work() -> None:
        databases = [Database(store_url) for _ in range(4)]
        await asyncio.gather(*map(migrate, databases))
        for database in databases:
            await database.close()

    asyncio.run(work())


def test_a_new_file_to_which_another_worker_writes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    first.execute("CREATE TABLE t (x INTEGER)")
    first.execute("BEGIN IMMEDIATE")  # in it SQLite refuses WAL mode at once
    waited: list[float] = []

    def written(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            first.execute("COMMIT")

    monkeypatch.setattr("equirouter.serve.money.store.engine.time.sleep", written)

    async def run() -> None:
        database = Database(f"sqlite:///{tmp_path / 'new.db'}")
        assert await database.read(_mode) == "wal"
        await database.close()

    asyncio.run(run())
    first.close()
    assert len(waited) == 2


def _mode(connection: sa.Connection) -> str:
    return str(connection.execute(sa.text("PRAGMA journal_mode")).scalar())


def test_tables_of_a_newer_version_are_refused(store_url: str) -> None:
    def newer(connection: sa.Connection) -> None:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with_store(store_url, lambda store: store.database.write(newer))
    with pytest.raises(ConfigError, match=r"version 9999.*knows up to"):
        with_store(store_url, lambda store: store.flush())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "not a URL"),
        ("mysql://host/db", "begins with mysql"),
        ("sqlite://", "names no file"),
        ("sqlite:////no/such/folder/x.db", "cannot be opened"),
        ("postgresql://someone:secret@127.0.0.1:1/x", r"someone:\*\*\*@127.*cannot be opened"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        with_store(url, lambda store: store.flush())


def test_the_url_may_be_in_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = StoreSettings(url_env="STORE")
    monkeypatch.delenv("STORE", raising=False)
    with pytest.raises(ConfigError, match="STORE is not set"):
        open_database(settings)
    monkeypatch.setenv("STORE", f"sqlite:///{tmp_path}/x.db")
    assert open_database(settings).path == tmp_path / "x.db"


def test_a_sqlite_file_lies_beside_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    lines = '[upstreams.a]\nbase_url = "http://h/v1"\n[models.m]\nupstream = "a"\n'
    config.write_text(lines)
    assert read_settings(config).store.url == f"sqlite:///{tmp_path}/equirouter-gateway.db"
    config.write_text(lines + '[store]\nurl = "sqlite:////var/x.db"\n')
    assert read_settings(config).store.url == "sqlite:////var/x.db"


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


def test_one_bad_entry_costs_no_other_and_no_money(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1)
        ticket.settle(5)
        store.log(record("good"))
        store.log(record("bad", status="not a number", cost_nusd=2**80))
        store.log(record("also good"))
        assert await money(store, key) == (5, 0)
        logged = await store.database.read(rows, log)
        assert sorted(row["request_id"] for row in logged) == ["also good", "good"]
        assert store.dropped == 1

    with_store(store_url, work)


def test_a_settlement_that_cannot_be_written_costs_no_other(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        bad, good, later = await ask(store, key, 3)
        bad.settle(2**80)
        good.settle(5)
        store.log(record("logged"))
        assert await money(store, key) == (5, 20)
        later.settle(6)
        store.log(record("logged later"))
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
            store.log(record())
        assert store.dropped == 3
        assert await money(store, key) == (60, 0)
        assert len(await store.database.read(rows, log)) == 5

    with_store(f"sqlite:///{tmp_path}/x.db", work, queue=5)


def test_all_is_written_when_the_store_is_closed(store_url: str) -> None:
    async def leave(store: Store) -> Any:
        key = await new_key(store)
        (ticket,) = await ask(store, key, 1)
        ticket.settle(9)
        for _ in range(3000):
            store.log(record())
        return key

    key = with_store(store_url, leave, flush_ms=60_000.0)

    async def look(store: Store) -> None:
        assert await money(store, key) == (9, 0)
        assert len(await store.database.read(rows, log)) == 3000
        assert len(await store.database.read(rows, workers)) == 1  # this one

    with_store(store_url, look)


def _reserve_and_die(url: str, key_id: str) -> None:
    async def work(store: Store) -> None:
        for ticket in (await ask(store, Key(key_id, "test"), 3))[:1]:
            ticket.settle(4)
        await store.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    with_store(url, work)


def test_money_of_a_killed_worker_is_charged_in_full_and_said(store_url: str) -> None:
    key = with_store(store_url, lambda store: new_key(store, budget_nusd=100))
    dead = multiprocessing.get_context("spawn").Process(
        target=_reserve_and_die, args=(store_url, key.id)
    )
    dead.start()
    dead.join()
    assert dead.exitcode == -signal.SIGKILL

    async def look(store: Store) -> None:
        assert await money(store, key) == (24, 0)
        logged = await store.database.read(rows, log)
        assert [(row["note"], row["cost_nusd"], row["key_id"]) for row in logged] == [
            ("charged in full", 10, key.id)
        ] * 2
        assert await summed(store, "cost_nusd") == 20
        assert await store.charge_dead() == 0

    with_store(store_url, look)


def test_a_worker_that_was_taken_for_dead_puts_its_charges_right(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        first, second = await ask(store, key, 2, 30)
        other = await Store.open(StoreSettings(url=store_url))
        dead = Watch(other.worker).dead

        def pass_away(connection: sa.Connection) -> None:
            elsewhere = sa.update(workers).where(workers.c.id == store.worker)
            connection.execute(elsewhere.values(place="another machine"))

        await other.database.write(pass_away)
        assert await other.database.read(dead, 0.0) == []
        for seconds in (10.0, 20.0, 29.0):
            assert await other.database.read(dead, seconds) == []
        assert await other.database.read(dead, 30.0) == [store.worker]
        assert await other.database.read(dead, 60.0) == []  # it did not look for long
        assert await other.database.write(charge_dead, [store.worker], 0.0) == 2
        assert await money(other, key) == (60, 0)
        first.settle(7)
        store.log(record(first.grant.request_id, key_id=key.id, cost_nusd=7))
        second.release()
        assert await money(store, key) == (7, 0)
        logged = await store.database.read(rows, log)
        assert [(row["note"], row["cost_nusd"]) for row in logged] == [(None, 7)]
        assert await summed(store, "cost_nusd") == 7
        assert await store.database.read(rows, reservations) == []
        await other.close()

    with_store(store_url, work)


def test_a_database_that_is_gone_for_a_while(postgresql: Server) -> None:
    url = postgresql.database()

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (before,) = await ask(store, key, 1)
        postgresql.stop()
        try:
            before.settle(4)
            store.log(record("during"))
            with pytest.raises(StoreGoneError):
                await store.ledger.reserve(key.id, 10, request_id="x")
            with pytest.raises(StoreGoneError):
                await store.flush()
            assert store.queued == 1
        finally:
            postgresql.start()
        assert len(await ask(store, key, 20)) == 9
        assert await money(store, key) == (4, 90)
        assert [row["request_id"] for row in await store.database.read(rows, log)] == ["during"]

    with_store(url, work)


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
