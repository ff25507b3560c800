"""Quality targets: the operating point that a calibration gives."""

import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.policy import Calibration, calibrate

# 4 queries, model 1 is the strongest (3 of 4) at 10 times the cost
PERFORMANCE = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
COST = np.tile([1.0, 10.0], (4, 1))
# three points: all cheap; the third query dear; all dear
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


def test_a_confident_promise_is_dearer() -> None:
    # at point 1.0 the mean difference from 0.6 * strongest is 0.05, far within the noise of 4
    assert calibrated().operating_point(0.6, confidence=0.95).value == 5.0


def test_the_bound_is_the_paired_one() -> None:
    # difference per query at the first point for quality 0.6: 0.4, 0.4, -0.6, 0 -> mean 0.05
    difference = np.array([0.4, 0.4, -0.6, 0.0])
    expected = difference.mean() - 1.6448536 * difference.std() / 2
    assert calibrated()._bounds(0.6, 0.95)[-1] == pytest.approx(expected)


def test_what_cannot_be_promised_is_said() -> None:
    worse = calibrate(
        np.zeros((4, 1), dtype=np.int64), POINTS[:1], PERFORMANCE, COST, strongest=1, setting="x"
    )
    with pytest.raises(ConfigError, match=r"cannot be promised .* 4 validation queries.*0\.6667"):
        worse.operating_point(0.9)


@pytest.mark.parametrize(("quality", "confidence"), [(0, 0.5), (1.1, 0.5), (0.9, 0.4), (0.9, 1)])
def test_a_target_that_makes_no_sense_is_refused(quality: float, confidence: float) -> None:
    with pytest.raises(ConfigError, match="expected"):
        calibrated().operating_point(quality, confidence)


def test_the_target_is_missed_no_more_often_than_stated() -> None:
    # a cheap model that is exactly at the target: every promise of it is a miss, at most 10 %
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(500):
        strong = rng.random(300) < 0.8
        cheap = rng.random(300) < 0.72  # 0.9 of the strongest's
        performance = np.stack([cheap, strong], axis=1).astype(np.float64)
        calibration = calibrate(
            np.tile([0, 1], (300, 1)),
            np.array([1.0, 2.0]),
            performance,
            np.tile([1.0, 10.0], (300, 1)),
            strongest=1,
            setting="budget_usd",
        )
        misses += calibration.operating_point(0.9, confidence=0.9).value == 1.0
    assert misses / 500 <= 0.10 + 2 * np.sqrt(0.1 * 0.9 / 500)
    assert misses > 10  # the bound is not so wide that it never promises anything
