"""Workers that die, and the money that they had reserved."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.serve.money.store import workers as module
from equirouter.serve.money.store.schema import CHARGED, OPEN, log, reservations, sums, workers
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.workers import Watch, charge_dead, entry, forget_worker, register
from equirouter.serve.records import Key
from equirouter.serve.settings import StoreSettings
from tests.serve.stores import (
    ask,
    money,
    new_key,
    numbers,
    record,
    rows,
    summed,
    with_store,
)


def _reserve_and_die(url: str, key_id: str) -> None:
    async def work(store: Store) -> None:
        for ticket in (await ask(store, Key(key_id, "test"), 3))[:1]:
            ticket.settle(4)
        await store.writer.flush()
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
        store.writer.log(record(first.request_id, key_id=key.id, cost_nusd=7))
        second.release()
        assert await money(store, key) == (7, 0)
        logged = await store.database.read(rows, log)
        assert [(row["note"], row["cost_nusd"]) for row in logged] == [(None, 7)]
        assert await summed(store, "cost_nusd") == 7
        assert await store.database.read(rows, reservations) == []
        await other.close()

    with_store(store_url, work)


NOW = 1_800_002_000.0


def test_who_is_dead(tmp_path: Path) -> None:
    """Workers of this place by their process, those of another one by their beats."""

    def enter(connection: sa.Connection, /, id_: int, **values: Any) -> None:
        connection.execute(sa.insert(workers).values({**entry(), "id": id_, **values}))
        owe(connection, id_)

    def owe(connection: sa.Connection, worker: int, state: int = OPEN) -> None:
        reservation = {"worker": worker, "n": 1, "request_id": "r", "key_id": "k", "day": 1}
        reservation |= {"period": "day", "amount_nusd": 1, "reserved_at": 1, "state": state}
        connection.execute(sa.insert(reservations).values(reservation))

    def beat(connection: sa.Connection, id_: int) -> None:
        once = sa.update(workers).where(workers.c.id == id_)
        connection.execute(once.values(beats=workers.c.beats + 1))

    async def work(store: Store) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        write = store.database.write
        await write(enter, 11, pid=ended.pid)  # its process is gone
        await write(enter, 12)  # its process runs, or another one under its number
        await write(enter, 13, place="elsewhere", pid=ended.pid)
        await write(enter, 14, place="elsewhere")  # it beats
        await write(owe, 15)  # it has no entry
        await write(owe, 16, CHARGED)  # it owes nothing
        await write(owe, store.worker)
        watch = Watch(store.worker)

        async def dead(seconds: float) -> list[int]:
            await write(beat, 14)
            return await store.database.read(watch.dead, seconds)

        for seconds in (0.0, 15.0, 29.9):
            assert await dead(seconds) == [11, 15]
        assert await dead(30.0) == [11, 13, 15]
        for seconds in range(45, 300, 15):
            assert await dead(float(seconds)) == [11, 13, 15]
        assert await dead(300.0) == [11, 12, 13, 15]  # it stood still for five minutes
        assert await dead(315.1) == [11, 15]  # who could not look for long begins anew

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_whose_process_it_is_may_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(error: type[OSError]) -> Any:
        def refused(*_: int) -> None:
            raise error

        return refused

    for error, runs in ((ProcessLookupError, False), (PermissionError, True)):
        monkeypatch.setattr("os.kill", kill(error))
        assert module._runs(1) is runs


def test_what_dead_workers_had_reserved_is_charged_once(store_url: str) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=1000)
        first, second, third = await ask(store, key, 3, 30)
        await store.database.write(
            lambda c: c.execute(sa.update(reservations).values(reserved_at=int(NOW)))
        )
        for expected in (3, 0):
            assert await store.database.write(charge_dead, [store.worker], NOW) == expected
            assert await store.database.write(charge_dead, [], NOW) == 0
            assert await money(store, key) == (90, 0)
        logged = await store.database.read(rows, log)
        assert [row["request_id"] for row in logged] == [
            ticket.request_id for ticket in (first, second, third)
        ]
        row = logged[0]
        assert (row["at_us"], row["key_id"], row["cost_nusd"]) == (int(NOW * 1e6), key.id, 30)
        assert (row["endpoint"], row["status"], row["total_us"]) == ("unknown", 0, 0)
        assert (row["note"], row["served_model"]) == ("charged in full", None)
        assert {(row["step"], row["start"]) for row in await store.database.read(rows, sums)} == {
            *((60, 1_800_001_980), (1800, 1_800_001_800))
        }
        for name, total in (("cost_nusd", 90), ("requests", 3), ("errors", 3), ("compared", 0)):
            assert await summed(store, name) == total

    with_store(store_url, work, flush_ms=60_000.0)


def test_a_worker_that_owes_nothing_is_struck_off(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store)
        (ticket,) = await ask(store, key, 1)
        await store.database.write(forget_worker, store.worker)
        assert await store.database.read(numbers) == [store.worker]
        ticket.release()
        await store.writer.flush()
        other = await store.database.write(register)
        await store.database.write(forget_worker, store.worker)
        assert await store.database.read(numbers) == [other]

    with_store(f"sqlite:///{tmp_path}/x.db", work, flush_ms=60_000.0)
