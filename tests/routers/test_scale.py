"""Scores made into calibrated estimates of performance."""

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.routers.scale import LogisticScale, fit_scale


def logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_a_curve_by_hand() -> None:
    # 1 / (1 + exp(-(0 + 2 * 0.5))) = 0.7311 and 1 / (1 + exp(1)) = 0.2689, on a scale of 0 to 10
    scale = LogisticScale((0.0, -1.0), (2.0, 0.0), centred=False, lowest=0.0, highest=10.0)
    np.testing.assert_allclose(
        scale.apply(np.array([[0.5, 99.0]])), [[7.31059, 2.68941]], rtol=1e-5
    )
    # centred: the scores 3 and 1 are +1 and -1 of their mean: 1 / (1 + exp(-2)) = 0.8808
    centred = LogisticScale((0.0, -1.0), (2.0, 0.0), centred=True, lowest=0.0, highest=1.0)
    np.testing.assert_allclose(
        centred.apply(np.array([[3.0, 1.0]])), [[0.88080, 0.26894]], rtol=1e-4
    )


def test_the_curves_that_made_the_outcomes_are_found() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20_000, 3))
    intercept, slope = np.array([0.0, 1.0, -0.5]), np.array([1.0, 2.0, 0.5])
    performance = (rng.random(scores.shape) < logistic(intercept + slope * scores)).astype(float)
    scale = fit_scale(scores, performance, centred=False)
    np.testing.assert_allclose(scale.intercept, intercept, atol=0.08)
    np.testing.assert_allclose(scale.slope, slope, atol=0.08)
    assert (scale.lowest, scale.highest) == (0.0, 1.0)


def test_few_labels_are_drawn_to_the_curve_of_all_models() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(8, 40))
    performance = (rng.random(scores.shape) < logistic(2 * scores)).astype(float)
    scale = fit_scale(scores, performance, centred=False)
    # 8 labels alone would often separate perfectly, and give no finite slope at all
    assert np.abs(np.array(scale.slope) - 2).max() < 2
    assert np.abs(scale.intercept).max() < 1.5


def test_labels_that_are_all_equal_give_a_finite_curve() -> None:
    scores = np.linspace(0, 1, 20)[:, None] * np.ones((1, 2))
    right = fit_scale(scores, np.tile([1.0, 0.0], (20, 1)), centred=False)
    assert np.isfinite([right.intercept, right.slope]).all()
    assert (right.apply(scores)[:, 0] > 0.7).all()
    assert (right.apply(scores)[:, 1] < 0.3).all()
    constant = fit_scale(scores, np.full((20, 2), 0.4), centred=False)
    np.testing.assert_allclose(constant.apply(scores), 0.4)


def test_a_shift_of_all_scores_of_a_query_changes_nothing_where_they_only_rank() -> None:
    rng = np.random.default_rng(0)
    scores, performance = rng.normal(size=(50, 4)), rng.random((50, 4))
    shift = rng.normal(size=(50, 1)) * 100
    scale = fit_scale(scores, performance, centred=True)
    np.testing.assert_allclose(scale.apply(scores + shift), scale.apply(scores), atol=1e-9)


def test_a_higher_score_never_means_less_and_a_score_that_lies_gives_the_mean() -> None:
    rng = np.random.default_rng(0)
    performance = rng.random((600, 2))
    lying = fit_scale(
        np.stack([-performance[:, 0], performance[:, 1]], axis=1), performance, centred=False
    )
    assert lying.slope[0] == 0.0
    assert lying.slope[1] > 0.0
    low, high = performance.min(), performance.max()
    found = lying.apply(np.zeros((1, 2)))[0, 0]
    assert found == pytest.approx(performance[:, 0].mean(), abs=0.02 * (high - low))


def test_estimates_recover_performance_and_stay_in_its_range() -> None:
    rng = np.random.default_rng(0)
    ability = rng.normal(size=(4000, 3))
    performance = (rng.random((4000, 3)) < logistic(2 * ability)).astype(float)
    scale = fit_scale(ability[:2000], performance[:2000], centred=True)
    estimate = scale.apply(ability[2000:])
    assert estimate.min() >= 0
    assert estimate.max() <= 1
    mean_only = ((performance[2000:] - performance[:2000].mean(axis=0)) ** 2).mean()
    assert ((performance[2000:] - estimate) ** 2).mean() < 0.85 * mean_only
    assert scale.apply(ability[2000:] * 1e6).max() == pytest.approx(1.0)


def test_no_query_is_an_error() -> None:
    with pytest.raises(DataError, match="no complete validation query"):
        fit_scale(np.empty((0, 2)), np.empty((0, 2)), centred=False)
