"""Predicted against observed: calibration error and the reliability curve."""

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.evaluation.reliability import reliability


def test_the_figures_by_hand() -> None:
    # one model, ten queries, so every bin is one query: |0.05 - 0| five times, |0.95 - 1| five
    # times: the error is 0.05; squared 0.0025
    estimate = np.array([[0.05]] * 5 + [[0.95]] * 5)
    performance = np.array([[0.0]] * 5 + [[1.0]] * 5)
    found = reliability(estimate, performance)
    assert found.error == pytest.approx(0.05)
    assert found.squared == pytest.approx(0.0025)
    assert found.predicted.tolist() == pytest.approx([0.05] * 5 + [0.95] * 5)
    assert found.observed.tolist() == [0.0] * 5 + [1.0] * 5


def test_the_error_is_per_model() -> None:
    # 0.5 for both, 0.4 and 0.6 come: together it fits, for each model it is 0.1 off
    estimate = np.full((100, 2), 0.5)
    performance = np.tile([0.4, 0.6], (100, 1))
    found = reliability(estimate, performance)
    assert found.error == pytest.approx(0.1)
    assert found.observed.mean() == pytest.approx(0.5)


def test_estimates_that_are_true_have_next_to_no_error() -> None:
    rng = np.random.default_rng(0)
    estimate = rng.random((20_000, 2))
    found = reliability(estimate, (rng.random(estimate.shape) < estimate).astype(float))
    assert found.error < 0.015
    np.testing.assert_allclose(found.predicted, found.observed, atol=0.03)


@pytest.mark.parametrize("shape", [(0, 2), (3, 1)])
def test_other_shapes_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="must both be"):
        reliability(np.zeros(shape), np.zeros((3, 2)))
