"""The store's reports are those of the same requests in memory."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import sqlalchemy as sa

from equirouter.serve.money.store import reports as module
from equirouter.serve.money.store.reports import (
    Logged,
    ModelFeedback,
    Percentiles,
    StoreReports,
)
from equirouter.serve.money.store.schema import feedback
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Attempt, Cascaded, Pair, Plan, RequestRecord, Tokens
from tests.serve.reports_made import MadeReports
from tests.serve.stores import record, with_store

NAMES = {
    *("candidates", "decided_by", "setting", "value", "removed", "scores", "predicted_costs_usd"),
    *("prompt_tokens", "max_output_tokens", "confidence", "far", "decision_ms", "pipeline", "fits"),
    *("class_", "expected_share", "session", "spend_usd", "pair", "chances"),
    *("version", "unit", "shadow_of", "script"),
}
NOW = 1_800_000_000 - 1_800_000_000 % 1800  # a step begins


def some(n: int, seconds: int, seed: int = 0) -> list[RequestRecord]:
    """Requests of all kinds, spread over some seconds before NOW."""
    rng = np.random.default_rng(seed)
    made = []
    for i, back in enumerate(np.sort(rng.uniform(0, seconds, n))[::-1]):
        kind = rng.integers(4)
        model = ("small", "large")[rng.integers(2)]
        changes: dict[str, Any] = {
            "started_at": round(float(NOW - back), 6),
            "key_id": ("key_a", "key_b", None)[rng.integers(3)],
            "served_model": model,
            "cost_nusd": int(rng.integers(1000)),
            "total_ms": float(rng.integers(10, 999)),
            "first_byte_ms": float(rng.integers(1, 9)),
            "attempts": [Attempt(model, "here", "ok", 200, 3.5, None, float(NOW - back))],
        }
        if kind == 1:
            changes |= {"plan": None, "strongest_nusd": None, "first_byte_ms": None}
        if kind == 2:
            changes |= {"served_model": None, "status": 502, "error": "nobody"}
            changes |= {"cost_nusd": None, "strongest_nusd": None}
        if kind == 3:
            first = Attempt("small", "there", "timeout", None, 60.25, "too slow")
            changes["attempts"] = [first, replace(changes["attempts"][0], model="large")]
            changes["tokens"] = Tokens(5, 6, 1, 2, 3, 4, 5, estimated=True)
        made.append(record(f"r{seed}-{i}", **changes))
    return made


@pytest.mark.parametrize(("length", "step"), [(3600, 60), (24 * 3600, 1800)])
def test_sums_and_times_of_a_period(store_url: str, length: int, step: int) -> None:
    records = some(400, length + 7200)
    made = MadeReports([Logged(i + 1, one) for i, one in enumerate(records)])

    async def work(store: Store) -> None:
        for one in records:
            store.writer.log(one)
        await store.writer.flush()
        found = StoreReports(store.database)
        since, until = NOW - length, NOW
        assert await found.totals(since, until) == await made.totals(since, until)
        assert await found.slices(since, until, step) == await made.slices(since, until, step)
        assert await found.calls(since, until) == await made.calls(since, until)
        assert await found.statuses(since, until) == await made.statuses(since, until)
        ours = await found.latencies(since, until)
        assert ours == await made.latencies(since, until)
        assert (await found.totals(NOW, NOW + 60)).requests == 0
        assert (await found.latencies(NOW, NOW + 60))["upstream"].p50 is None

    with_store(store_url, work)


def test_latencies_of_many_requests_are_sampled(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SAMPLE", 50)

    async def work(store: Store) -> None:
        reports = StoreReports(store.database)
        for i in range(1000):
            store.writer.log(record(started_at=NOW - 1000.0 + i, total_ms=float(i), plan=None))
        await store.writer.flush()
        few = (await reports.latencies(NOW - 40, NOW))["upstream"]
        assert few.count == 40
        assert few.p50 == pytest.approx(980, abs=1)
        found = (await reports.latencies(NOW - 1000, NOW))["upstream"]
        assert found.count == 50
        assert found.p50 == pytest.approx(500, abs=20)

    with_store(store_url, work)


def test_a_request_comes_back_as_it_was_logged(store_url: str) -> None:
    records = some(30, 100)
    records[3].prompt, records[3].answer = '[{"role": "user"}]', "yes"
    records[3].session, records[3].stream = "s", True
    plan = records[3].plan or record().plan
    assert plan is not None
    records[3].plan = replace(
        plan,
        far=True,
        confidence=0.25,
        fits=False,
        class_="c",
        expected_share=0.5,
        session="h",
        spend_usd=0.002,
        pair=Pair(("a", "b"), 3e-6, 0.25, True, "number@1"),
        chances={"a": 0.98, "b": 0.02},
        version="0002",
        unit=2**62,
        shadow_of="req-1",
        script="latin",
    )
    assert {
        one.name for one in fields(Plan) if one.compare
    } == NAMES  # a further one belongs in this test

    async def work(store: Store) -> None:
        for one in records:
            store.writer.log(one)
        await store.writer.flush()
        said = {"request_id": records[3].request_id, "at_us": 0, "given_at_us": 0,
                "score": 0.5, "comment": "meh"}  # fmt: skip
        await store.database.write(lambda c: c.execute(sa.insert(feedback), [said]))
        found = StoreReports(store.database)
        page = await found.recent(10)
        assert [one.record.request_id for one in page] == [f"r0-{i}" for i in range(29, 19, -1)]
        more = await found.recent(100, before=page[-1].number, after=3)
        assert [one.record for one in more] == records[19:2:-1]
        third = await found.one("r0-3")
        assert third is not None
        assert third.record == records[3]
        assert (third.score, third.comment) == (0.5, "meh")
        assert await found.one("nobody") is None

    with_store(store_url, work)


def test_a_period_holds_its_first_instant_and_not_its_last(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for i in range(4):
            store.writer.log(record(f"{i}", started_at=NOW + i, total_ms=i + 1.0, plan=None))
        await store.writer.flush()
        given = [
            {"request_id": f"{i}", "at_us": (NOW + i) * 10**6, "given_at_us": 0, "score": i / 4}
            | {"model": None if i == 2 else "small"}
            for i in range(4)
        ]
        await store.database.write(lambda c: c.execute(sa.insert(feedback), given))
        reports = StoreReports(store.database)
        upstream = (await reports.latencies(NOW + 1, NOW + 3))["upstream"]
        assert upstream == Percentiles(2, 3.0, 3.0, 3.0)  # of 2 and 3 ms
        assert await reports.feedback(NOW + 1, NOW + 3) == [
            ModelFeedback("", 1, 0.5),
            ModelFeedback("small", 1, 0.25),
        ]
        (newest,) = await reports.recent(1)
        page = await reports.recent(9, before=newest.number, after=newest.number - 3)
        assert [logged.record.request_id for logged in page] == ["2", "1"]

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_percentiles_by_hand() -> None:
    assert module._percentiles([]) == Percentiles(0)
    assert module._percentiles([5.0]) == Percentiles(1, 5.0, 5.0, 5.0)
    hundred = [float(n) for n in range(100, 0, -1)]
    assert module._percentiles(hundred) == Percentiles(100, 51.0, 96.0, 100.0)


def test_sums_begin_with_the_step_that_the_period_begins_in(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for back in (90, 61, 60, 30, 0):
            store.writer.log(record(started_at=float(NOW - back)))
        await store.writer.flush()
        reports = StoreReports(store.database)
        for since, until, requests in (
            (NOW - 60, NOW, 2),
            (NOW - 61, NOW, 4),
            (NOW - 60, NOW + 1, 3),
            (NOW - 60, NOW - 60 + 3 * 3600, 3),  # three hours, by minutes
            (NOW - 60, NOW - 59 + 3 * 3600, 5),  # more, by half hours
        ):
            assert (await reports.totals(since, until)).requests == requests
            assert sum((await reports.statuses(since, until)).values()) == requests

    with_store(f"sqlite:///{tmp_path}/x.db", work)


def test_cascades_are_counted_by_their_end_with_what_they_cost(store_url: str) -> None:
    def cascaded(ended: Literal["accepted", "escalated"], nusd: int) -> RequestRecord:
        plan = record().plan
        assert plan is not None
        how = Cascaded(("small", "other"), "agree", ended, 5.0)
        decided = replace(plan, decided_by="cascade")
        return record(plan=decided, cascade=how, cost_nusd=nusd, strongest_nusd=400)

    records = [cascaded("accepted", 100), cascaded("accepted", 120), cascaded("escalated", 500)]

    async def work(store: Store) -> None:
        for one in (*records, record()):
            store.writer.log(one)
        await store.writer.flush()
        reports = StoreReports(store.database)
        at = records[0].started_at
        found = await reports.cascades(at - 3600, at + 3600)
        assert found.ended == {"accepted": 2, "escalated": 1}
        assert (found.totals.requests, found.totals.cost_nusd) == (3, 720)
        assert found.totals.strongest_nusd == 1200
        assert (await reports.totals(at - 3600, at + 3600)).routed == 4

    with_store(store_url, work)
