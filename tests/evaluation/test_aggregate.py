"""From a measurement per seed to estimates."""

import numpy as np
import pytest

from equirouter.arrays import FloatArray
from equirouter.evaluation.aggregate import SeedRecords, differences, metrics_over_seeds
from equirouter.evaluation.curve import Measurement, measure
from equirouter.evaluation.reliability import reliability

MODELS = ("small", "large")
COST_USD = np.array([[1.0, 4.0]] * 4)
PERFORMANCE = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])


def measured(n_large: int, resamples: int = 0) -> Measurement:
    """The second model on n_large of four queries, the first on the others: one point."""
    chosen = (np.arange(4) < n_large).astype(np.int64)[:, None]
    rng = np.random.default_rng(5)
    return measure(chosen, PERFORMANCE, COST_USD, resamples=resamples, rng=rng)


def test_means_and_every_seed() -> None:
    # 3 of 4 right with the second model on 3 queries: all but none is missed; on 1: 2 of 4
    metrics = metrics_over_seeds([measured(3), measured(1)], MODELS)
    assert metrics.peak_score.per_seed == (1.0, 0.5)
    assert metrics.peak_score.mean == 0.75
    assert (metrics.peak_score.low, metrics.peak_score.high) == (None, None)
    assert metrics.call_share["large"].per_seed == (0.75, 0.25)
    assert metrics.call_share["small"].mean == 0.5


@pytest.mark.parametrize(
    ("n_large", "per_seed", "mean"),
    [
        # the second model alone has 0.75 at cost 4. With it on 3 of 4 queries the cost is
        # (3 * 4 + 1) / 4 = 3.25, a share of 3.25 / 4; with it on 1 query 0.5 is too little
        ((3, 1), (3.25 / 4, None), 3.25 / 4),
        ((3, 1, 1), (3.25 / 4, None, None), None),
        ((1, 1), (None, None), None),
    ],
)
def test_what_is_not_always_reached_needs_half_of_the_seeds_for_a_mean(
    n_large: tuple[int, ...], per_seed: tuple[float | None, ...], mean: float | None
) -> None:
    metrics = metrics_over_seeds([measured(n) for n in n_large], MODELS)
    assert (metrics.qnc.per_seed, metrics.qnc.mean) == (per_seed, mean)
    # where the curve itself never gets there, always calling the strongest model does
    assert metrics.cost_at_quality[1.0].per_seed == tuple(value or 1.0 for value in per_seed)


def test_intervals_are_of_the_pooled_draws() -> None:
    seeds = [measured(3, resamples=200), measured(1, resamples=200)]
    metrics = metrics_over_seeds(seeds, MODELS)
    pooled = np.concatenate([np.asarray(seed.draws["peak_score"]) for seed in seeds])
    low, high = np.quantile(pooled, [0.025, 0.975])
    assert (metrics.peak_score.low, metrics.peak_score.high) == pytest.approx((low, high))
    shares: list[FloatArray] = [np.asarray(seed.draws["call_share"])[:, 1] for seed in seeds]
    low, high = np.quantile(np.concatenate(shares), [0.025, 0.975])
    large = metrics.call_share["large"]
    assert (large.low, large.high) == pytest.approx((low, high))


def test_differences_are_taken_draw_by_draw() -> None:
    router, reference = measured(3, resamples=100), measured(1, resamples=100)
    paired = differences([router], [reference])
    assert paired.peak_score.mean == 1.0 - 0.5
    draws = np.asarray(router.draws["rci"]) - np.asarray(reference.draws["rci"])
    low, high = np.quantile(draws, [0.025, 0.975])
    assert paired.rci is not None
    assert (paired.rci.low, paired.rci.high) == pytest.approx((low, high))
    # with the second model on 3 of 4 queries all is right; on 1 only always calling it is enough
    costs = [each.draws["cost_at_quality"] for each in (router, reference)]
    assert isinstance(costs[0], dict)
    assert isinstance(costs[1], dict)
    low, high = np.quantile(costs[0]["0.95"] - costs[1]["0.95"], [0.025, 0.975])
    found = paired.cost_at_quality["0.95"]
    assert found.mean == 3.25 / 4 - 1.0
    assert (found.low, found.high) == pytest.approx((low, high))
    assert list(paired.cost_at_quality) == ["0.98", "0.95", "0.90"]
    alone = differences([measured(3)], [measured(1)]).nauc
    assert (alone.low, alone.high) == (None, None)


def test_where_the_strongest_model_is_free_there_is_no_difference_in_cost() -> None:
    free = measure(np.zeros((4, 1), dtype=int), PERFORMANCE, COST_USD * 0.0, resamples=0)
    assert differences([free], [free]).cost_at_quality == {}


def records() -> SeedRecords:
    good = reliability(np.ones((10, 1)), np.ones((10, 1)))
    bad = reliability(np.ones((10, 1)), np.zeros((10, 1)))
    return SeedRecords(
        measurements=[measured(3), measured(1)],
        points=[np.array([0.1]), np.array([0.3])],
        fit_seconds=[1.0, 4.0],
        predict_us=[2.0, 2.0],
        n_parameters=[7, 7],
        calibrated=[good, bad],
    )


def test_a_curve_is_the_mean_over_the_seeds() -> None:
    curve = records().curve(MODELS)
    assert curve.point == pytest.approx([0.2])
    assert curve.performance == (0.75,)
    assert curve.cost_usd == ((3.25 + 1.75) / 2,)
    assert curve.call_share == {"small": (0.5,), "large": (0.5,)}


def test_effort_has_the_extremes_over_the_seeds() -> None:
    seconds = records().router_results(MODELS).fit_seconds
    assert (seconds.mean, seconds.low, seconds.high) == (2.5, 1.0, 4.0)
    assert seconds.per_seed == (1.0, 4.0)


def test_calibration_has_means_and_every_seed() -> None:
    made = records()
    calibration = made.calibration()
    assert calibration.calibration_error.mean == 0.5
    assert calibration.calibration_error.per_seed == (0.0, 1.0)
    assert calibration.uncalibrated_error is None
    assert calibration.observed == (0.5,) * 10
    made.uncalibrated = made.calibrated[1:]
    again = made.calibration().uncalibrated_error
    assert again is not None
    assert again.mean == 1.0
