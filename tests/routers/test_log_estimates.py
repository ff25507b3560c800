"""Outcomes of a log, estimated for every model: by hand, and on average."""

import numpy as np
import pytest

from equirouter.routers.log_estimates import cross_fitted, doubly_robust

NAN = float("nan")


def test_a_doubly_robust_estimate_by_hand() -> None:
    # model 1 was called, predicted 0.4, seen 1.0, chance 0.5: 0.4 + (1.0 - 0.4) / 0.5 = 1.6
    found = doubly_robust(np.array([[0.2, 0.4]]), np.array([[NAN, 1.0]]), np.array([[0.5, 0.5]]))
    assert found.tolist() == [[0.2, pytest.approx(1.6)]]


def test_a_fold_is_predicted_by_the_outcomes_of_the_others() -> None:
    x = np.zeros((4, 1), dtype=np.float32)  # nothing to tell them apart: means of the other fold
    observed = np.array([[0.0, NAN], [1.0, NAN], [0.2, 0.5], [0.4, NAN]])
    found = cross_fitted(x, observed, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(found[:, 0], [0.3, 0.3, 0.5, 0.5])
    np.testing.assert_array_equal(found[:, 1], [0.5, 0.5, NAN, NAN])


def test_where_predictions_are_wrong_the_chances_put_them_right() -> None:
    rng, n = np.random.default_rng(3), 40_000
    easy = rng.random(n) < 0.5
    chances = np.where(easy[:, None], [0.8, 0.2], [0.3, 0.7])
    called = (rng.random(n) > chances[:, 0]).astype(int)
    seen = (rng.random(n) < np.where(easy, 0.9, 0.1)).astype(float)  # both models alike: mean 0.5
    nothing_known = np.zeros((n, 2))
    observed = np.where(np.arange(2) == called[:, None], seen[:, None], np.nan)
    found = doubly_robust(nothing_known, observed, chances)
    assert found.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.03)
    assert seen[called == 0].mean() == pytest.approx(0.68, abs=0.02)  # 0.9 * 8/11 + 0.1 * 3/11
