"""Quality targets: the operating point that a calibration gives."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.policy import Calibration, UtilityPolicy, calibrate
from equirouter.policy.quality import DEFAULT_CONFIDENCES, _Target

# 4 queries, model 1 is the strongest (3 of 4) at 10 times the cost
PERFORMANCE = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
COST = np.tile([1.0, 10.0], (4, 1))
# three points: all cheap; the third query expensive; all expensive
CHOSEN = np.array([[0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 0, 1]])
POINTS = np.array([1.0, 5.0, 10.0])


def calibrated() -> Calibration:
    return calibrate(CHOSEN, POINTS, PERFORMANCE, COST, strongest=1, setting="budget_usd")


def test_the_cheapest_point_that_reaches_the_target() -> None:
    # performance 0.5, 0.75, 0.75 against 0.75 of the strongest: shares 2/3, 1, 1
    point = calibrated().operating_point(1.0)
    assert point.value == 5.0
    assert point.relative_performance == pytest.approx(1.0)
    assert point.relative_cost == pytest.approx((1 + 1 + 10 + 1) / 4 / 10)
    assert calibrated().operating_point(0.6).value == 1.0


def test_a_performance_as_such_can_be_the_target() -> None:
    # 0.5, 0.75, 0.75 at the three points
    assert calibrated().operating_point(performance=0.75).value == 5.0
    assert calibrated().operating_point(performance=0.5).value == 1.0
    with pytest.raises(ConfigError, match=r"performance 0\.76 .* performance of 0\.75 at most"):
        calibrated().operating_point(performance=0.76)


def test_the_lambda_of_a_mean_spend_is_that_of_the_nearest_cost() -> None:
    lambdas = replace(
        calibrated(), setting="lambda", points=(0.0, 2.0, 4.0), cost_usd=(3.0, 2.0, 1.0)
    )
    assert [lambdas.lambda_at(spend) for spend in (0.1, 1.4, 1.6, 2.9)] == [4.0, 4.0, 2.0, 2.0]
    assert replace(lambdas, setting="budget_usd").lambda_at(1.0) is None


def test_a_target_is_one_of_the_two() -> None:
    with pytest.raises(ConfigError, match="give one of the two"):
        calibrated().operating_point()
    with pytest.raises(ConfigError, match="give one of the two"):
        calibrated().operating_point(0.9, performance=0.5)
    with pytest.raises(ConfigError, match="above 0"):
        calibrated().operating_point(performance=0.0)


def test_a_confident_promise_costs_more() -> None:
    # at point 1.0 the mean difference from 0.6 * strongest is 0.05, within the noise of 100 queries
    often = [np.tile(table, (25, 1)) for table in (CHOSEN, PERFORMANCE, COST)]
    many = calibrate(often[0], POINTS, *often[1:], strongest=1, setting="budget_usd")
    assert many.operating_point(0.6).value == 1.0
    assert many.operating_point(0.6, confidence=0.95).value == 5.0


def test_without_a_confidence_the_highest_is_taken_up_to_85_percent() -> None:
    """By the definition: of 0.85, 0.8, ... 0.55 the first that is no error, else 0.5."""

    def promised(made: Calibration, quality: float, confidence: float) -> bool:
        return made.operating_point(quality, confidence).setting == "budget_usd"

    seen = set()
    for quality in np.linspace(0.1, 1.0, 91).tolist():
        steps = [c for c in DEFAULT_CONFIDENCES if promised(calibrated(), quality, c)]
        expected = max(steps, default=0.5 if promised(calibrated(), quality, 0.5) else 0.85)
        assert calibrated().surest(quality) == expected
        point = calibrated().operating_point(quality, None)
        assert point == calibrated().operating_point(quality, expected)
        assert point.confidence == expected
        seen.add(expected)
    assert len(seen) > 2, "the qualities are promised with different confidences"
    with pytest.raises(ConfigError, match="cannot be promised"):  # as with 0.5, which is the last
        calibrated().operating_point(None, None, performance=0.76)


def test_the_bound_is_the_paired_one_with_some_queries_added_at_their_worst() -> None:
    # difference per query at the first point for quality 0.6: 0.4, 0.4, -0.6, 0 -> mean 0.05
    difference = np.array([0.4, 0.4, -0.6, 0.0])
    plain = calibrated()._bounds(_Target(0.6, 0.0), 0.5)[-1]
    assert plain == pytest.approx(difference.mean())
    # the worst is 0 where the strongest scores 1: -0.6. 1.1956 queries of it at 0.95
    weights = np.array([1.0, 1.0, 1.0, 1.0, 1.1956])
    with_worst = np.append(difference, -0.6)
    mean = np.average(with_worst, weights=weights)
    spread = np.sqrt(np.average((with_worst - mean) ** 2, weights=weights) / weights.sum())
    found = calibrated()._bounds(_Target(0.6, 0.0), 0.95)[-1]
    assert found == pytest.approx(mean - 1.6448536 * spread, abs=1e-4)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.99])
def test_without_a_failure_the_bound_is_the_exact_binomial_one(confidence: float) -> None:
    # 2,000 queries, all right: the failure rate is at most -ln(1 - confidence) / n, to first order
    n = 2000
    ones = np.ones((n, 1))
    ones_and_a_zero = np.hstack([ones, np.zeros((n, 1))])  # the scale has a 0
    chosen = np.zeros((n, 1), dtype=np.int64)
    made = calibrate(
        chosen, POINTS[:1], ones_and_a_zero, np.ones((n, 2)), strongest=0, setting="budget_usd"
    )
    bound = made._bounds(_Target(0.0, 0.0), confidence)[0]
    assert (1 - bound) * n == pytest.approx(-np.log(1 - confidence), rel=0.01)


def test_a_point_counts_as_many_queries_as_its_choices_are_known_on() -> None:
    # 200 queries, all of them right; the second model is known on 50 of them, each for four
    chosen = np.repeat([[0, 1]], 200, axis=0)
    known = np.ones((200, 3))
    known[50:, 1] = np.nan
    known[:, 2] = 0.0  # the scale has a 0
    weights = np.array([1.0, 4.0, 1.0]) * np.isfinite(known)
    made = calibrate(
        chosen,
        np.array([0.0, 1.0]),
        np.nan_to_num(known, nan=1.0),
        np.ones((200, 3)),
        strongest=0,
        setting="budget_usd",
        log=np.stack([known, known, weights], axis=1),
    )
    assert (made.n_queries, made.counts) == (50, (50.0, 200.0))  # the most expensive point first
    bounds = made._bounds(_Target(0.0, 0.0), 0.85)
    for n, bound in zip(made.counts, bounds, strict=True):
        assert (1 - bound) * n == pytest.approx(-np.log(0.15), rel=0.05)  # as above, of n queries


def test_a_quality_that_no_point_keeps_is_kept_by_the_strongest_model() -> None:
    worse = calibrate(
        np.zeros((4, 1), dtype=np.int64), POINTS[:1], PERFORMANCE, COST, strongest=1, setting="x"
    )
    assert worse.operating_point(0.6).setting == "x"
    point = worse.operating_point(0.9)  # the one point has 0.5 of 0.75
    assert (point.setting, point.value) == ("strongest", 1.0)
    assert (point.relative_performance, point.relative_cost) == (1.0, 1.0)
    assert worse.largest_quality(0.5) == pytest.approx(2 / 3)
    assert worse.operating_point(1.0, confidence=0.95).setting == "strongest"


def test_a_point_that_costs_more_than_the_strongest_model_is_never_taken() -> None:
    # model 0 is as good as the strongest on every query, and twice as expensive
    performance, cost = np.ones((4, 2)), np.tile([20.0, 10.0], (4, 1))
    made = calibrate(
        np.zeros((4, 1), dtype=np.int64), POINTS[:1], performance, cost, strongest=1, setting="x"
    )
    assert made.operating_point(0.5).setting == "strongest"


def test_the_cheapest_point_is_taken_even_where_a_more_expensive_one_fails() -> None:
    # shares of the strongest (0.75): all cheap 0.5 / 0.75; the third query expensive 1; the last
    # query alone expensive 0.5 / 0.75 again, at the cost of the second point
    chosen = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]])
    made = calibrate(chosen, POINTS, PERFORMANCE, COST, strongest=1, setting="budget_usd")
    assert made.operating_point(1.0).value == 5.0


def test_a_performance_that_not_even_the_strongest_model_keeps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not even by the strongest model, .* 0\.7500 there"):
        calibrated().operating_point(performance=0.8)
    assert calibrated().operating_point(performance=0.75, confidence=0.5).value == 5.0


@pytest.mark.parametrize(("quality", "confidence"), [(0, 0.5), (1.1, 0.5), (0.9, 0.4), (0.9, 1)])
def test_a_target_that_makes_no_sense_is_refused(quality: float, confidence: float) -> None:
    with pytest.raises(ConfigError, match="expected"):
        calibrated().operating_point(quality, confidence)


DRAWS = 500


def at_most(confidence: float) -> float:
    """The share of misses that 500 draws may show: three standard errors above what is stated."""
    stated = 1 - confidence
    return stated + 3 * float(np.sqrt(stated * confidence / DRAWS))


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
@pytest.mark.parametrize(
    ("n_queries", "strong", "cheap", "quality"),
    [
        (300, 0.8, 0.72, 0.9),  # independent of each other, the cheap one exactly at the target
        (60, 1.0, 0.98, 0.981),  # failures so rare that a part may well show none
        (150, 1.0, 0.99, 0.9905),
    ],
)
def test_the_target_is_missed_no_more_often_than_stated(
    confidence: float, n_queries: int, strong: float, cheap: float, quality: float
) -> None:
    """Every promise of the cheap model is a miss."""
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(DRAWS):
        right = rng.random((n_queries, 2)) < [cheap, strong]
        made = calibrate(
            np.tile([0, 1], (n_queries, 1)),
            np.array([1.0, 2.0]),
            right.astype(np.float64),
            np.tile([1.0, 10.0], (n_queries, 1)),
            strongest=1,
            setting="budget_usd",
        )
        made = replace(made, lowest=0.0, highest=1.0)  # a draw may lack a 0, the scale has it
        point = made.operating_point(quality, confidence)
        misses += (point.setting, point.value) == ("budget_usd", 1.0)
    assert misses / DRAWS <= at_most(confidence)


@pytest.mark.parametrize("confidence", [0.8, 0.9])
def test_many_operating_points_do_not_make_more_misses(confidence: float) -> None:
    """A router, its whole sweep, and the true mean of the point that each of 500 draws takes."""
    rng = np.random.default_rng(3)
    ability = rng.random((20_000, 3)) * [0.6, 0.8, 1.0]
    performance = (rng.random(ability.shape) < ability).astype(np.float64)
    cost = np.array([1.0, 4.0, 20.0]) * rng.lognormal(sigma=0.2, size=ability.shape)
    scores = ability + rng.normal(0, 0.2, ability.shape)
    policy = UtilityPolicy()
    points = policy.points(scores, cost, 40)
    chosen = policy.sweep(scores, cost, points)
    true = np.take_along_axis(performance, chosen, axis=1).mean(axis=0)
    target = 0.9 * performance[:, 2].mean()
    misses, shares = 0, []
    for _ in range(DRAWS):
        rows = rng.integers(len(ability), size=500)
        found = calibrate(
            chosen[rows], points, performance[rows], cost[rows], strongest=2, setting="lambda"
        ).operating_point(0.9, confidence)
        misses += true[points.tolist().index(found.value)] < target
        shares.append(found.relative_cost)
    assert misses / DRAWS <= at_most(confidence)
    assert np.mean(shares) < 0.9  # the bound is not so wide that it never promises anything
