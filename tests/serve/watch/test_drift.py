"""Drift: how seldom an alarm is false, how soon a real one comes, and what each kind looks at."""

from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from equirouter.serve.money.store.schema import log
from equirouter.serve.money.store.store import Store
from equirouter.serve.money.store.tail import LoggedCall, Rated, seen_in
from equirouter.serve.records import Attempt
from equirouter.serve.watch.drift import KINDS, Alarm, DriftWatch, script_of
from equirouter.serve.watch_settings import DriftSettings
from tests.serve.stores import record, with_store

CALM = LoggedCall(
    "small",
    stream=False,
    prompt_tokens=100,
    output_tokens=50,
    cost_nusd=1000,
    predicted_nusd=1000,
    reported_nusd=1000,
    ms=800.0,
    far=False,
    script="latin",
)


def drawn(rng: np.random.Generator, **changes: float) -> LoggedCall:
    """A request as they are: heavy tails, one in a hundred far. changes: factors, and shares."""

    def of(median: float, name: str) -> float:
        return float(median * rng.lognormal(0, 0.8) * changes.get(name, 1.0))

    return replace(
        CALM,
        prompt_tokens=of(100, "prompts"),
        output_tokens=of(50, "answers"),
        cost_nusd=round(of(1e6, "cost")),
        predicted_nusd=1_000_000,
        reported_nusd=None,
        ms=of(800, "ms"),
        far=bool(rng.random() < changes.get("far", 0.01)),
        script="cyrillic" if rng.random() < changes.get("cyrillic", 0.1) else "latin",
        calls=(("small", bool(rng.random() < changes.get("errors", 0.02))),),
    )


def rated(rng: np.random.Generator, score: float = 0.7) -> Rated:
    return Rated("small", float(rng.random() < score), 0.7)


def test_false_alarms_are_as_rare_as_stated_of_each_kind() -> None:
    """Per kind at most one in 1,000 observations: 6 runs of 2,500 make 15 at most."""
    raised: list[Alarm] = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        watch = DriftWatch(DriftSettings(false_alarm_every=1000))
        for _ in range(2500):
            changed = watch.note(drawn(rng)) + watch.rate(rated(rng))
            raised += [alarm for alarm in changed if alarm.is_on]
    by_kind = {kind: sum(alarm.kind == kind for alarm in raised) for kind in KINDS}
    assert max(by_kind.values()) <= 15, by_kind
    assert sum(by_kind.values()) <= 15, by_kind  # the tolerance makes them rarer


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("long queries", {"prompts": 2.5}),
        ("short queries", {"prompts": 0.4}),
        ("long answers", {"answers": 2.5}),
        ("short answers", {"answers": 0.4}),
        ("slow", {"ms": 2.5}),
        ("expensive", {"cost": 2.5}),
        ("far queries", {"far": 0.2}),
        ("errors", {"errors": 0.2}),
        ("script", {"cyrillic": 0.4}),
    ],
)
def test_what_changed_is_found_within_some_hundred_requests(
    kind: str, changes: dict[str, float]
) -> None:
    rng = np.random.default_rng(7)
    watch = DriftWatch(DriftSettings())
    assert not any(watch.note(drawn(rng)) for _ in range(1500))
    raised: list[Alarm] = []
    for _ in range(600):
        raised += watch.note(drawn(rng, **changes))
    assert {alarm.kind for alarm in raised} == {kind}
    assert raised[0].is_on
    assert next(alarm for alarm in watch.alarms() if alarm.is_on).kind == kind


def test_feedback_below_what_was_predicted_is_found_and_the_alarm_ends() -> None:
    rng = np.random.default_rng(1)
    watch = DriftWatch(DriftSettings())
    assert not any(watch.rate(rated(rng)) for _ in range(1500))
    raised = [alarm for _ in range(600) for alarm in watch.rate(rated(rng, 0.4))]
    assert {(alarm.kind, alarm.about) for alarm in raised} == {
        ("feedback", "small"),
        ("calibration", ""),
    }
    over = [alarm for _ in range(1500) for alarm in watch.rate(rated(rng))]
    assert {alarm.is_on for alarm in over} == {False}
    assert not any(alarm.is_on for alarm in watch.alarms())


def test_a_provider_that_reports_another_cost_has_changed_its_price() -> None:
    watch = DriftWatch(DriftSettings(usual=50))
    for _ in range(200):
        assert not watch.note(CALM)
    changed = [alarm for _ in range(60) for alarm in watch.note(replace(CALM, reported_nusd=500))]
    assert [(alarm.kind, alarm.about, alarm.is_on) for alarm in changed] == [
        ("price", "small", True)
    ]


def test_calls_that_say_something_of_their_model(store_url: str) -> None:
    made = record(
        attempts=[
            Attempt("dead", "here", "connect", None, 5.0),
            Attempt("dead", "here", "refused", None, 0.0),  # its circuit is open
            Attempt("strict", "here", "status", 400, 5.0),  # the request is wrong
            Attempt("busy", "here", "status", 429, 5.0),
            Attempt("late", "here", "cancelled", None, 5.0),
            Attempt("small", "here", "ok", 200, 5.0),
        ]
    )

    async def work(store: Store) -> None:
        store.writer.log(made)
        await store.writer.flush()
        rows = await store.database.read(lambda c: c.execute(sa.select(log)).mappings().all())
        assert seen_in(dict(rows[0])).calls == (("dead", True), ("busy", True), ("small", False))

    with_store(store_url, work)


def test_what_is_expected_by_hand() -> None:
    """Of 50 scores half are 1: their mean, 2.33 standard errors and 1 in 50 above it."""
    watch = DriftWatch(DriftSettings(usual=50))
    for n in range(51):
        watch.rate(Rated("small", float(n % 2), None))
    (found,) = watch.alarms()
    assert (found.kind, found.about, found.n, found.value) == ("feedback", "small", 1, 1.0)
    assert found.expected == pytest.approx(0.5 + 2.33 * (0.25 / 50) ** 0.5 + 0.02)


def test_equal_values_are_neither_above_nor_below() -> None:
    watch = DriftWatch(DriftSettings(usual=50))
    for _ in range(100):
        assert not watch.note(CALM)
    assert {alarm.value for alarm in watch.alarms() if alarm.kind != "script"} == {0.0}


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("What is 2 + 2?", "latin"),
        ("Où est la gare ?", "latin"),
        ("Где вокзал?", "cyrillic"),
        ("火车站在哪里?", "cjk"),
        ("駅はどこですか", "hiragana"),
        ("ርችት የት ነው", "other"),
        ("2 + 2", ""),
        ("🙂", ""),
        ("", ""),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script
