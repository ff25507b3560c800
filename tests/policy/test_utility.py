"""The utility policy."""

import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.policy import NOTHING_FITS, UtilityPolicy

SCORES = np.array([[0.5, 0.9], [0.8, 0.8]])
COSTS = np.array([[0.01, 0.05], [0.03, 0.01]])


def test_cost_counts_lambda_times() -> None:
    # query 0: column 1 gains 0.4 for 0.04 USD more: worth it below lambda = 10. query 1: a tie
    assert UtilityPolicy(9.9).choose(SCORES, COSTS).tolist() == [1, 1]
    assert UtilityPolicy(10.1).choose(SCORES, COSTS).tolist() == [0, 1]
    assert UtilityPolicy(0.0).choose(SCORES, COSTS).tolist() == [1, 1]


def test_a_constraint_is_never_violated() -> None:
    feasible = np.array([[True, False], [False, False]])
    assert UtilityPolicy().choose(SCORES, COSTS, feasible).tolist() == [0, NOTHING_FITS]


def test_a_sweep_runs_from_the_cheapest_to_the_best() -> None:
    policy = UtilityPolicy()
    points = policy.points(SCORES, COSTS, 50)
    assert len(points) == 50
    assert points[-1] == 0
    assert (np.diff(points) <= 0).all()
    swept = policy.sweep(SCORES, COSTS, points)
    assert swept[:, 0].tolist() == [0, 1]  # the cheapest of each query
    assert swept[:, -1].tolist() == [1, 1]  # the best, ties to the cheaper
    for column in (0, 20, 49):
        one_by_one = UtilityPolicy(points[column]).choose(SCORES, COSTS)
        assert swept[:, column].tolist() == one_by_one.tolist()


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_lambda_that_makes_no_sense_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="0 or more"):
        UtilityPolicy(value)
