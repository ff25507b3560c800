"""The money of a day for learning: one limit for all workers, over restarts, on the store."""

import asyncio

import pytest

from equirouter.errors import StoreGoneError
from equirouter.serve.money.day_limit import DayLimit, Till
from equirouter.serve.money.store.store import Store
from tests.serve.stores import with_store
from tests.serve.tills import MemoryTill

LIMIT_USD = 1e-6  # 1,000 nano-USD, in pieces of 50


def spends(limit: DayLimit, upper_nusd: int, cost_nusd: int) -> bool:
    if not limit.has_room(upper_nusd):
        return False
    limit.reserve(upper_nusd)
    limit.settle(upper_nusd, cost_nusd)
    return True


def test_two_workers_and_a_restart_share_the_limit_of_a_day(store_url: str) -> None:
    day = [0.0]

    async def work(store: Store) -> None:
        def worker(purpose: str = "shadow") -> DayLimit:
            till = Till(purpose, store.database)
            return DayLimit(LIMIT_USD, till, clock=lambda: day[0] * 86_400.0)

        first, second = worker(), worker()
        assert not first.has_room(600)  # nothing was taken yet; now it is asked for
        await first.refill()
        assert spends(first, 600, 550)
        assert not second.has_room(600)
        await second.refill()
        assert not second.has_room(600)  # 400 were left
        assert spends(second, 300, 300)
        await second.close()  # gives back 100
        await first.close()  # 50
        after = worker()  # a restart
        after.has_room(200)
        await after.refill()
        assert not after.has_room(200)
        assert spends(after, 150, 150)
        assert not after.has_room(1)
        other = worker("explore")
        other.has_room(1000)
        await other.refill()
        assert other.has_room(1000)
        day[0] = 1.0
        assert not after.has_room(1)
        await after.refill()
        assert after.has_room(1)

    with_store(store_url, work)


def test_what_a_killed_worker_had_taken_is_spent(store_url: str) -> None:
    async def work(store: Store) -> None:
        def worker() -> DayLimit:
            return DayLimit(LIMIT_USD, Till("shadow", store.database), clock=lambda: 0.0)

        await worker().refill()  # takes 50, and is never heard of again
        left = worker()
        left.has_room(1000)
        await left.refill()
        assert left.has_room(950)
        assert not left.has_room(951)

    with_store(store_url, work)


def test_a_worker_that_has_spent_all_gives_nothing_back() -> None:
    async def run() -> None:
        till = MemoryTill()
        limit = DayLimit(LIMIT_USD, till, clock=lambda: 0.0)
        limit.has_room(1000)
        await limit.refill()
        assert spends(limit, 1000, 1000)
        await limit.close()
        assert till.spent == {0: 1000}

    asyncio.run(run())


def test_more_is_taken_before_it_is_needed_and_a_lost_store_stops_nothing() -> None:
    class FullTill(MemoryTill):
        is_gone = False

        async def take(self, day: int, limit_nusd: int, wanted_nusd: int) -> int:
            if self.is_gone:
                raise StoreGoneError("gone")
            return await super().take(day, limit_nusd, wanted_nusd)

    async def run() -> None:
        till = FullTill()
        limit = DayLimit(LIMIT_USD, till, clock=lambda: 0.0)
        keeper = asyncio.create_task(limit.keep())
        while not limit.has_room(20):
            await asyncio.sleep(0)
        assert till.spent == {0: 50}
        till.is_gone = True
        assert spends(limit, 40, 40)
        assert not limit.has_room(20)
        await asyncio.sleep(0.01)
        assert not keeper.done()
        till.is_gone = False
        while not limit.has_room(20):
            await asyncio.sleep(0)
        keeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeper
        without = DayLimit(None, till)
        await without.keep()
        assert without.has_room(10**15)

    asyncio.run(run())
