"""When a cheap stage may decide alone."""

import numpy as np
import pytest

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import DataError
from equirouter.training.early_exit import exit_threshold

N = 100
MARGIN = np.arange(N, dtype=np.float64)[:, None]  # query i has the margin i
FIRST = np.zeros((N, 1), dtype=np.int64)  # model 0 everywhere
SECOND = np.ones((N, 1), dtype=np.int64)
EQUAL = np.full((N, 2), 0.5)


def outcomes(worse: IntArray) -> FloatArray:
    """(N, 2): 0.5 everywhere, model 0 is 1 better (higher) on the rows named."""
    table = EQUAL.copy()
    table[worse, 0] += 1.0
    return table


def test_a_stage_that_decides_alike_decides_everything() -> None:
    found = exit_threshold(FIRST, MARGIN, FIRST, EQUAL, EQUAL)
    assert (found.threshold, found.share) == (0.0, 1.0)
    assert found.leaves(MARGIN).all()


def test_queries_that_would_lose_performance_stay() -> None:
    """Wrong below margin 50: at a share of 0.55 five of 100 lose 1: -0.05, its error is 0.022."""
    found = exit_threshold(SECOND, MARGIN, FIRST, outcomes(np.arange(50)), EQUAL)
    assert (found.threshold, found.share) == (50.0, 0.5)
    assert not found.leaves(MARGIN)[:50].any()
    assert found.leaves(MARGIN)[50:].all()


def test_queries_that_would_cost_more_stay() -> None:
    found = exit_threshold(FIRST, MARGIN, SECOND, EQUAL, outcomes(np.arange(30)))
    assert found.share == pytest.approx(0.7)


def test_a_loss_within_the_noise_is_let_through() -> None:
    """Two queries in 100 lose 1 and one wins 1: -0.01 with a standard error of 0.017."""
    performance = outcomes(np.array([0, 1]))
    performance[2, 1] += 1.0
    found = exit_threshold(SECOND, MARGIN, FIRST, performance, EQUAL)
    assert found.share == 1.0


def test_a_stage_that_is_wrong_where_it_is_surest_never_decides() -> None:
    found = exit_threshold(SECOND, MARGIN, FIRST, outcomes(np.arange(N)), EQUAL)
    assert (found.threshold, found.share) == (None, 0.0)
    assert not found.leaves(np.full((2, 1), np.inf)).any()


def test_the_only_choice_counts_as_the_surest() -> None:
    """Half of the queries have no second model; they are right, all others wrong."""
    margin = MARGIN.copy()
    margin[50:] = np.inf
    found = exit_threshold(SECOND, margin, FIRST, outcomes(np.arange(50)), EQUAL)
    assert found.share == 0.5
    assert found.leaves(margin)[50:].all()
    assert not found.leaves(margin)[:50].any()


def test_one_query_has_no_noise() -> None:
    with pytest.raises(DataError, match="1 validation queries"):
        exit_threshold(FIRST[:1], MARGIN[:1], FIRST[:1], EQUAL[:1], EQUAL[:1])
