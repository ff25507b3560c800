"""What goes wrong around a store: no room, lost answers, death, clocks. Money stays right."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from equirouter.errors import BusyError, StoreGoneError
from equirouter.serve.money.keys import create_key, list_keys
from equirouter.serve.money.ledger import Ticket
from equirouter.serve.money.limits import Refusal
from equirouter.serve.money.store.books import OnPostgreSQL, OnSQLite
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tables import accounts, log, workers
from tests.serve import databases
from tests.serve.stores import ask, money, new_key, record, with_store


def ids(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.select(log.c.request_id).order_by(log.c.id)).scalars())


def numbers(connection: sa.Connection) -> list[int]:
    return list(connection.execute(sa.select(workers.c.id)).scalars())


def agree(connection: sa.Connection) -> tuple[int, int]:
    """What the accounts say was spent, and what the log says."""
    spent = connection.execute(sa.select(sa.func.sum(accounts.c.spent_nusd))).scalar_one()
    logged = connection.execute(sa.select(sa.func.sum(log.c.cost_nusd))).scalar_one()
    return int(spent), int(logged)


def test_a_full_disk(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (before,) = await ask(store, key, 1)
        await store.flush()
        driver: sqlite3.Connection = store._books[0]._driver  # type: ignore[union-attr]
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {pages}")
        before.settle(4)
        big = "x" * 100_000
        store.log(record("during", prompt=big))
        with pytest.raises(StoreGoneError, match="full"):
            await store.flush()
        # What needs no further page still goes through; what does is refused and takes nothing.
        through = 0
        try:
            while through < 5000:
                ticket = await store.ledger.reserve(key.id, 0, request_id="r" * 1000)
                assert isinstance(ticket, Ticket)
                ticket.release()
                through += 1
        except StoreGoneError as error:
            assert "full" in str(error)  # noqa: PT017
        assert through < 5000
        driver.execute("PRAGMA max_page_count = 1000000")
        assert await money(store, key) == (4, 0)
        assert await store.database.read(ids) == ["during"]
        assert store.dropped == 0

    with_store(f"sqlite:///{tmp_path}/store.db", work, flush_ms=60_000.0)


@pytest.mark.parametrize("kind", [OnSQLite, OnPostgreSQL])
def test_a_commit_whose_answer_is_lost_counts_once(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    if kind is OnPostgreSQL:
        url = request.getfixturevalue("postgresql").database()
    transact = kind.transact
    losing = [False]

    async def lossy(self: Any, work: Callable[[Any], Any]) -> Any:
        result = await transact(self, work)
        if losing[0]:
            losing[0] = False
            raise StoreGoneError("the connection was lost")
        return result

    monkeypatch.setattr(kind, "transact", lossy)

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        (ticket,) = await ask(store, key, 1)
        ticket.settle(7)
        store.log(record("once", key_id=key.id, cost_nusd=7))
        losing[0] = True
        with pytest.raises(StoreGoneError):
            await store.flush()
        assert await money(store, key) == (7, 0)
        assert await store.database.read(ids) == ["once"]
        assert await store.database.read(agree) == (7, 7)
        if kind is OnPostgreSQL:  # and the money of a reservation whose answer is lost comes back
            losing[0] = True
            with pytest.raises(StoreGoneError):
                await store.ledger.reserve(key.id, 10, request_id="lost")
            assert await money(store, key) == (7, 0)

    with_store(url, work, flush_ms=60_000.0)


def test_another_writer_in_the_way_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = OnSQLite.now
    busy = [3]

    def often_busy(self: OnSQLite, work: Any) -> Any:
        if busy[0]:
            busy[0] -= 1
            raise BusyError("database is locked")
        return now(self, work)

    monkeypatch.setattr(OnSQLite, "now", often_busy)

    async def work(store: Store) -> None:
        key = await new_key(store, budget_nusd=100)
        assert len(await ask(store, key, 20)) == 10
        busy[0] = 3
        store.log(record("a"))
        await store.flush()
        assert await store.database.read(ids) == ["a"]

    with_store(f"sqlite:///{tmp_path}/store.db", work)


def test_a_clock_that_jumps_refills_nothing(store_url: str) -> None:
    now = [1_800_000_000.0]

    async def work(store: Store) -> None:
        _, key = await store.database.write(
            create_key, "a", budget_nusd=100, period="day", requests_per_minute=1000
        )
        assert len(await ask(store, key, 20)) == 10
        now[0] -= 3 * 86_400.0
        assert await ask(store, key, 20) == []
        now[0] += 4 * 86_400.0  # a day later than it was
        assert len(await ask(store, key, 20)) == 10
        now[0] -= 86_400.0
        refused = await store.ledger.reserve(key.id, 1, request_id="x")
        assert isinstance(refused, Refusal)
        assert refused.reason == "budget"
        now[0] += 400 * 86_400.0
        assert len(await ask(store, key, 20)) == 10  # once, while nobody can know better
        now[0] -= 400 * 86_400.0
        assert await ask(store, key, 20) == []
        now[0] += 2 * 86_400.0  # and the next day without an account is one as any other
        assert len(await ask(store, key, 20)) == 10

    with_store(store_url, work, lambda: now[0])


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
            store.log(record(request_id, key_id=key_id, cost_nusd=7, started_at=time.time()))
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
    at_most = 2 * (500 if store_url.startswith("postgresql") else 32)  # a batch waits, one runs

    async def look(store: Store) -> None:
        logged = set(await store.database.read(ids))
        lost = [line[0] for line in told if len(line) == 2 and line[0] not in logged]
        assert len(lost) <= at_most
        spent, said = await store.database.read(agree)
        assert spent == said  # those that were under way are charged in full, and say so
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
        store.log(record("before"))
        await store.flush()
        other = await asyncpg.connect(url)
        try:
            await other.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        finally:
            await other.close()
        ticket.settle(4)
        store.log(record("after"))

    with_store(url, work)

    async def look(store: Store) -> None:
        assert await store.database.read(ids) == ["before", "after"]
        (stored,) = await store.database.read(list_keys)
        assert stored.spend is not None
        assert (stored.spend.spent_nusd, stored.spend.reserved_nusd) == (4, 0)
        assert await store.database.read(numbers) == [store.worker]  # the first one is struck

    with_store(url, look)
