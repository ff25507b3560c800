"""The strongest model, and which others equal it within noise, by hand."""

import numpy as np

from equirouter.data.strength import as_strong, strongest_of

N = 100
COST = np.ones((N, 4))


def scores(*right: int) -> np.ndarray:
    """Each model is right on the first so many of the queries."""
    return (np.arange(N)[:, None] < np.array(right)).astype(np.float64)


def test_models_within_the_interval_of_the_lead_are_as_strong() -> None:
    # leads of 3 and 20 of 100: 0.03 with an error of 0.0171 (1.96 of it: 0.034), and 0.20 of 0.040
    assert as_strong(scores(90, 87, 70, 90), COST).tolist() == [0, 3, 1]


def test_of_equal_means_the_cheaper_is_the_strongest() -> None:
    cost = COST * [2.0, 1.0, 1.0, 1.0]
    assert strongest_of(scores(90, 90, 0, 0), cost) == 1
    assert as_strong(scores(90, 90, 0, 0), cost).tolist() == [1, 0]


def test_a_lead_is_read_on_the_queries_that_both_have() -> None:
    performance = scores(90, 60, 90, 0)
    performance[50:, 1] = np.nan  # on the first 50 both are always right
    complete = np.isfinite(performance).all(axis=1)
    assert complete.sum() == 50
    assert as_strong(performance, COST).tolist() == [0, 1, 2]


def test_one_query_tells_nothing() -> None:
    assert set(as_strong(np.array([[1.0, 0.0]]), np.ones((1, 2))).tolist()) == {0, 1}
