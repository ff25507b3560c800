"""The live feed: read from the store while somebody listens."""

import asyncio
from collections.abc import Sequence

from equirouter.serve.money.store.reports import Logged, StoreReports
from equirouter.serve.watch.events import Hub, Unreadable
from tests.serve.records_made import made_record
from tests.serve.reports_made import MadeReports


class Log(MadeReports):
    """A log that can be added to, and that counts how often it is read."""

    def __init__(self) -> None:
        super().__init__([])
        self.reads = 0
        self.is_gone = False

    def add(self, request_id: str) -> None:
        self.entries.append(Logged(len(self.entries) + 1, made_record(request_id)))

    async def recent(
        self, limit: int, *, before: int | None = None, after: int | None = None
    ) -> Sequence[Logged]:
        self.reads += 1
        if self.is_gone:
            raise OSError("the database is gone")
        return await super().recent(limit, before=before, after=after)


def hub_of(reports: StoreReports, poll_seconds: float = 60.0) -> Hub:
    return Hub(reports, pause_seconds=0.0, poll_seconds=poll_seconds, limit=2)


def ids(news: Sequence[Logged] | Unreadable) -> list[str]:
    assert not isinstance(news, Unreadable)
    return [logged.record.request_id for logged in news]


async def ready(log: Log, reads: int = 1) -> None:
    while log.reads < reads:
        await asyncio.sleep(0)


def test_what_is_new_is_told_newest_first() -> None:
    async def scenario() -> None:
        log = Log()
        log.add("old")
        hub = hub_of(log)
        feed = hub.listen()
        news = asyncio.ensure_future(anext(feed))
        await ready(log)
        for name in ("a", "b", "c"):
            log.add(name)
        hub.publish(made_record())
        assert ids(await news) == ["c", "b"]  # at most two at once, and those are the newest
        log.add("d")
        hub.publish(made_record())
        assert ids(await anext(feed)) == ["d"]
        await feed.aclose()

    asyncio.run(scenario())


def test_entries_of_other_processes_are_noticed() -> None:
    async def scenario() -> None:
        log = Log()
        feed = hub_of(log, poll_seconds=0.01).listen()
        news = asyncio.ensure_future(anext(feed))
        await ready(log)
        log.add("from another worker")
        assert ids(await news) == ["from another worker"]
        await feed.aclose()

    asyncio.run(scenario())


def test_the_store_is_not_read_while_nobody_listens() -> None:
    async def scenario() -> None:
        log = Log()
        hub = hub_of(log)
        hub.publish(made_record())
        await asyncio.sleep(0)
        assert log.reads == 0
        feed = hub.listen()
        news = asyncio.ensure_future(anext(feed))
        await ready(log)
        log.add("a")
        hub.publish(made_record())
        await news
        assert len(hub._listeners) == 1
        await feed.aclose()
        assert not hub._listeners
        reads = log.reads
        hub.publish(made_record())
        await asyncio.sleep(0)
        assert log.reads == reads

    asyncio.run(scenario())


def test_a_store_that_is_gone_is_told_and_read_again() -> None:
    async def scenario() -> None:
        log = Log()
        hub = hub_of(log, poll_seconds=0.01)
        feed = hub.listen()
        news = asyncio.ensure_future(anext(feed))
        await ready(log)
        log.is_gone = True
        assert isinstance(await news, Unreadable)
        log.is_gone = False
        while isinstance(back := await anext(feed), Unreadable):
            pass
        assert ids(back) == []
        await feed.aclose()

    asyncio.run(scenario())


def test_a_slow_listener_misses_the_oldest_and_holds_up_nobody() -> None:
    async def scenario() -> None:
        log = Log()
        hub = hub_of(log)
        slow, quick = hub.listen(), hub.listen()
        first, ahead = asyncio.ensure_future(anext(slow)), asyncio.ensure_future(anext(quick))
        await ready(log)
        log.add("0")
        hub.publish(made_record())
        assert ids(await ahead) == ids(await first) == ["0"]
        for number in range(1, 8):
            log.add(str(number))
            hub.publish(made_record())
            assert ids(await anext(quick)) == [str(number)]
        assert [ids(await anext(slow)) for _ in range(4)] == [["4"], ["5"], ["6"], ["7"]]
        await slow.aclose()
        await quick.aclose()

    asyncio.run(scenario())


def test_closing_ends_every_feed() -> None:
    async def scenario() -> None:
        log = Log()
        hub = hub_of(log)
        waiting = [asyncio.ensure_future(anext(hub.listen(), None)) for _ in range(2)]
        await ready(log)
        await hub.close()
        assert await asyncio.gather(*waiting) == [None, None]
        assert not hub._listeners

    asyncio.run(scenario())
