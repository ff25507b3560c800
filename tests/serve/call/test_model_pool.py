"""Circuit breaker, calls at once and calls per minute, on a clock that the test moves."""

import asyncio

import pytest

from equirouter.errors import NotCalledError
from equirouter.serve.call.model_pool import Guard
from equirouter.serve.settings import UpstreamSettings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def guard(clock: Clock, **settings: object) -> Guard:
    base = {"base_url": "http://127.0.0.1/v1", "breaker_failures": 3, "breaker_seconds": 10.0}
    return Guard(UpstreamSettings.model_validate(base | settings), clock=clock)


def state(one: Guard) -> str:
    return one.state


def failed(one: Guard, times: int) -> None:
    for _ in range(times):
        one.judge(False)


def test_failures_in_a_row_open_the_circuit_and_a_success_counts_anew() -> None:
    one = guard(Clock())
    failed(one, 2)
    one.judge(True)
    failed(one, 2)
    assert state(one) == "closed"
    failed(one, 1)
    assert state(one) == "open"
    assert "circuit open for 10.0 s after 3 failures" in (one.why_not() or "")


def test_one_probe_closes_the_circuit_or_opens_it_again() -> None:
    async def run() -> None:
        clock = Clock()
        one = guard(clock)
        failed(one, 3)
        with pytest.raises(NotCalledError) as refused:
            await one.enter(0)
        assert refused.value.seconds == 10.0
        clock.now += 10
        assert state(one) == "half-open"
        assert one.why_not() is None
        await one.enter(0)
        with pytest.raises(NotCalledError, match="a probe is under way"):
            await one.enter(0)
        one.leave()
        one.judge(False)
        assert state(one) == "open"
        clock.now += 10
        await one.enter(0)
        one.leave()
        one.judge(True)
        assert state(one) == "closed"

    asyncio.run(run())


def test_a_probe_that_says_nothing_lets_another_one_through() -> None:
    async def run() -> None:
        clock = Clock()
        one = guard(clock)
        failed(one, 3)
        clock.now += 10
        await one.enter(0)
        one.leave()
        one.judge(None)  # the client hung up
        assert state(one) == "half-open"
        await one.enter(0)

    asyncio.run(run())


def test_calls_at_once_are_limited() -> None:
    async def run() -> None:
        one = guard(Clock(), max_concurrency=2)
        await one.enter(0)
        await one.enter(0)
        with pytest.raises(NotCalledError, match="2 calls are under way"):
            await one.enter(0)
        with pytest.raises(NotCalledError, match="were under way for"):
            await one.enter(0.001)
        waiting = asyncio.ensure_future(one.enter(10))
        await asyncio.sleep(0)
        one.leave()
        await waiting

    asyncio.run(run())


def test_calls_per_minute_are_limited_in_every_window() -> None:
    async def run() -> None:
        clock = Clock()
        one = guard(clock, requests_per_minute=2)
        await one.enter(0)
        clock.now += 59
        await one.enter(0)
        with pytest.raises(NotCalledError, match="2 calls in the last minute") as refused:
            await one.enter(0)
        assert refused.value.seconds == pytest.approx(1.0)
        clock.now += 1
        await one.enter(0)  # the first one is a minute old
        with pytest.raises(NotCalledError) as refused:
            await one.enter(0)
        assert refused.value.seconds == pytest.approx(59.0)

    asyncio.run(run())


def test_a_probe_that_hangs_does_not_keep_the_circuit_open() -> None:
    async def run() -> None:
        clock = Clock()
        one = guard(clock)
        failed(one, 3)
        clock.now += 10
        await one.enter(0)  # nothing is heard of it
        clock.now += 9
        with pytest.raises(NotCalledError, match="a probe is under way"):
            await one.enter(0)
        clock.now += 1
        await one.enter(0)
        one.leave()
        one.judge(True)
        assert state(one) == "closed"

    asyncio.run(run())


def test_a_call_that_is_not_made_takes_nothing_of_the_rate() -> None:
    async def run() -> None:
        one = guard(Clock(), requests_per_minute=2, max_concurrency=1)
        await one.enter(0)
        for wait in (0, 0, 0, 0.001):
            with pytest.raises(NotCalledError, match="1 calls"):
                await one.enter(wait)
        one.leave()
        await one.enter(0)  # the second call of this minute
        one.leave()
        with pytest.raises(NotCalledError, match="2 calls in the last minute"):
            await one.enter(0)

    asyncio.run(run())
