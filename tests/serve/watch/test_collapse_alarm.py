"""The alarm for collapse: how often it is false, how soon it comes, what is shown."""

import numpy as np
import pytest

from equirouter.serve.records import RequestControl
from equirouter.serve.watch.collapse_alarm import MOST_CLASSES, CollapseWatch, collapse_class
from equirouter.serve.watch_settings import CollapseSettings


def alarm_after(
    true_share: np.ndarray[tuple[int], np.dtype[np.float64]],
    expected: np.ndarray[tuple[int], np.dtype[np.float64]],
    rng: np.random.Generator,
    **settings: float,
) -> int | None:
    """After how many decisions the alarm comes, if it does."""
    watch = CollapseWatch(CollapseSettings.model_validate(settings))
    picks = rng.random(len(true_share)) < true_share
    for n, (share, is_strongest) in enumerate(zip(expected.tolist(), picks.tolist(), strict=True)):
        if watch.observe("auto", share, is_strongest):
            return n + 1
    return None


@pytest.mark.parametrize("expected", [0.05, 0.3, 0.6, 0.85])
def test_a_false_alarm_comes_on_average_not_before_the_stated_number(expected: float) -> None:
    """At the worst share that is still right: expected + tolerance. Runs that end count as longer.

    The mean of 60 runs is below 0.75 of what is promised with a probability of some 3 %, if the
    promise is kept just so: times of alarms spread about as much as their mean.
    """
    rng = np.random.default_rng(7)
    n, promised = 4000, 500
    share = np.full(n, expected)
    found = [
        alarm_after(share + 0.1, share, rng, false_alarm_every=promised, minimum=1) or n
        for _ in range(60)
    ]
    assert np.mean(found) >= 0.75 * promised


def test_a_share_as_calibrated_raises_no_alarm_in_any_mixture_of_points() -> None:
    rng = np.random.default_rng(3)
    expected = rng.choice([0.02, 0.4, 0.9], 20_000)
    assert alarm_after(expected, expected, rng) is None


@pytest.mark.parametrize(
    ("expected", "true", "soon"),
    [(0.1, 1.0, 50), (0.4, 1.0, 50), (0.4, 0.7, 300), (0.7, 1.0, 60), (0.85, 1.0, 250)],
)
def test_a_real_collapse_is_found(expected: float, true: float, soon: int) -> None:
    rng = np.random.default_rng(11)
    n = 2000
    found = [
        alarm_after(np.full(n, true), np.full(n, expected), rng, minimum=50) for _ in range(10)
    ]
    assert all(after is not None and after <= soon for after in found)


def test_a_collapse_that_begins_late_is_found_as_soon() -> None:
    rng = np.random.default_rng(5)
    expected = np.full(6000, 0.3)
    true = np.where(np.arange(6000) < 5000, 0.3, 1.0)
    after = alarm_after(true, expected, rng)
    assert after is not None
    assert 5000 < after <= 5060


def test_an_alarm_is_not_ended_by_what_came_before_it() -> None:
    watch = CollapseWatch(CollapseSettings())
    assert not any(watch.observe("auto", 0.3, n % 10 < 3) for n in range(5000))
    changes = [n for n in range(600) if watch.observe("auto", 0.3, True)]
    assert len(changes) == 1
    assert watch.state("auto").is_alarm


def test_the_alarm_ends_when_the_window_is_right_again_and_can_come_back() -> None:
    watch = CollapseWatch(CollapseSettings(window=100, minimum=20))
    changes = [n for n in range(60) if watch.observe("auto", 0.4, True)]
    assert changes == [19]  # the 20th decision
    assert watch.state("auto").is_alarm
    assert watch.state("auto").evidence == 1.0
    back = [n for n in range(200) if watch.observe("auto", 0.4, n % 5 < 2)]
    assert len(back) == 1
    state = watch.state("auto")
    assert not state.is_alarm
    assert (state.decisions, state.share) == (100, 0.4)
    assert state.expected == pytest.approx(0.4)
    again = [n for n in range(60) if watch.observe("auto", 0.4, True)]
    assert len(again) == 1
    assert again[0] <= 19


def test_fewer_than_the_minimum_raise_no_alarm() -> None:
    watch = CollapseWatch(CollapseSettings(minimum=200))
    assert not any(watch.observe("auto", 0.1, True) for _ in range(199))
    assert watch.observe("auto", 0.1, True)


def test_where_nothing_is_expected_the_share_is_shown_and_no_alarm_comes() -> None:
    watch = CollapseWatch(CollapseSettings())
    assert not any(watch.observe("lambda up to 5", None, True) for _ in range(1000))
    state = watch.state("lambda up to 5")
    assert (state.share, state.expected, state.is_alarm) == (1.0, None, False)


def test_beside_decisions_with_an_expectation_those_without_are_not_counted() -> None:
    watch = CollapseWatch(CollapseSettings())
    for n in range(10):
        watch.observe("auto", 0.5, n < 5)
        watch.observe("auto", None, True)
    assert (watch.state("auto").decisions, watch.state("auto").share) == (10, 0.5)


def test_a_share_that_cannot_be_too_high_raises_no_alarm() -> None:
    watch = CollapseWatch(CollapseSettings(tolerance=0.1))
    assert not any(watch.observe("auto", 0.95, True) for _ in range(1000))


def test_classes_are_apart_and_bounded_and_forgotten_at_a_reset() -> None:
    watch = CollapseWatch(CollapseSettings())
    for n in range(MOST_CLASSES + 10):
        watch.observe(f"class {n}", 0.5, n == 0)
    states = watch.states()
    assert len(states) == MOST_CLASSES + 1
    assert states["other"].decisions == 10
    assert states["class 0"].share == 1.0
    watch.reset()
    assert not watch.states()


@pytest.mark.parametrize(
    ("control", "name"),
    [
        (RequestControl(), "auto"),
        (RequestControl(session="s", exclude=frozenset({"a"})), "auto"),
        (RequestControl(quality=0.98), "quality 0.98"),
        (RequestControl(quality=0.987), "quality 0.98"),
        (RequestControl(quality=1.0), "quality 1"),
        (RequestControl(budget_usd=0.002), "budget up to 0.002"),
        (RequestControl(budget_usd=0.0021), "budget up to 0.005"),
        (RequestControl(budget_usd=0.007), "budget up to 0.01"),
        (RequestControl(budget_usd=3), "budget up to 5"),
        (RequestControl(lambda_=20), "lambda up to 20"),
        (RequestControl(lambda_=0.0), "lambda up to 0"),
    ],
)
def test_what_is_asked_for_has_a_class(control: RequestControl, name: str) -> None:
    assert collapse_class(control) == name
