"""Workers that die, and the money that they had reserved."""

import multiprocessing
import os
import signal

import sqlalchemy as sa

from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tables import log, reservations, workers
from equirouter.serve.money.store.workers import Watch, charge_dead
from equirouter.serve.records import Key
from equirouter.serve.settings import StoreSettings
from tests.serve.stores import ask, money, new_key, record, rows, summed, with_store


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
