"""Ranking scores made into estimates of performance."""

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.routers.scale import PRIOR_QUERIES, fit_scale


def test_the_lines_by_hand() -> None:
    # centred scores of model 0: -1, +1 (model 1: +1, -1); performance of model 0 rises with them
    scores = np.array([[0.0, 2.0], [6.0, 4.0]])
    performance = np.array([[0.0, 1.0], [1.0, 1.0]])
    scale = fit_scale(scores, performance)
    # variance 1 in both columns, so the prior adds 10 / 2 queries * 1 = 5; covariance 0.5 and 0
    assert PRIOR_QUERIES == 10
    assert scale.slope == pytest.approx((0.5 / 6, 0.0))
    assert scale.level == pytest.approx((0.5, 1.0))
    # a query with centred scores (+2, -2): 0.5 + 2 * 0.5 / 6, and 1 whatever the score
    np.testing.assert_allclose(scale.apply(np.array([[9.0, 5.0]])), [[0.5 + 1 / 6, 1.0]])


def test_a_shift_of_all_scores_of_a_query_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    scores, performance = rng.normal(size=(50, 4)), rng.random((50, 4))
    shift = rng.normal(size=(50, 1)) * 100
    scale = fit_scale(scores, performance)
    np.testing.assert_allclose(scale.apply(scores + shift), scale.apply(scores), atol=1e-9)


def test_a_score_that_says_nothing_or_lies_gives_the_mean() -> None:
    rng = np.random.default_rng(0)
    performance = rng.random((60, 2))
    lying = fit_scale(np.stack([-performance[:, 0], np.zeros(60)], axis=1), performance)
    assert lying.slope[0] == 0.0
    constant = fit_scale(np.ones((60, 2)), performance)
    np.testing.assert_allclose(
        constant.apply(np.ones((1, 2))), [performance.mean(axis=0)], rtol=1e-12
    )


def test_estimates_recover_performance_and_stay_in_its_range() -> None:
    rng = np.random.default_rng(0)
    ability = rng.normal(size=(4000, 3))
    performance = (rng.random((4000, 3)) < 1 / (1 + np.exp(-2 * ability))).astype(float)
    scale = fit_scale(ability[:2000], performance[:2000])
    estimate = scale.apply(ability[2000:])
    assert estimate.min() >= 0
    assert estimate.max() <= 1
    mean_only = ((performance[2000:] - performance[:2000].mean(axis=0)) ** 2).mean()
    assert ((performance[2000:] - estimate) ** 2).mean() < 0.85 * mean_only
    assert scale.apply(ability[2000:] * 1e6).max() == 1.0


def test_no_query_is_an_error() -> None:
    with pytest.raises(DataError, match="no complete validation query"):
        fit_scale(np.empty((0, 2)), np.empty((0, 2)))
