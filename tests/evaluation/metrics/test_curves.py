"""Functions on curves: which point reaches a quality, which model is the strongest."""

import numpy as np

from equirouter.evaluation.metrics.curves import (
    cheapest_reaching,
    pick_point,
    share_of,
    strongest_model,
)


def test_cheapest_reaching_by_hand() -> None:
    cost = np.array([5.0, 1.0, 3.0])
    performance = np.array([0.9, 0.5, 0.8])
    assert cheapest_reaching(cost, performance, 0.7) == 2  # 0.9 at 5, 0.8 at 3
    assert cheapest_reaching(cost, performance, 0.5) == 1
    assert cheapest_reaching(cost, performance, 0.95) == -1


def test_rounding_does_not_decide_whether_a_quality_is_reached() -> None:
    short = np.array([0.3])
    target = 0.1 + 0.2
    assert short < target  # by 6e-17
    assert cheapest_reaching(np.ones(1), short, target) == 0
    assert cheapest_reaching(np.ones(1), short, target + 1e-9) == -1


def test_a_tie_for_the_strongest_goes_to_the_cheaper_model() -> None:
    performance = np.array([[0.5, 0.8, 0.8], [0.9, 0.8, 0.8]])
    cost_usd = np.array([[1.0, 3.0, 2.0], [9.0, 3.0, 2.0]])
    assert strongest_model(performance, cost_usd).tolist() == [2, 0]


def test_a_point_that_does_not_exist_is_nan() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = pick_point(values, np.array([1, -1, 0]))
    np.testing.assert_array_equal(found, [2.0, np.nan, 5.0])


def test_a_share_of_nothing_is_nan() -> None:
    shares = share_of(np.array([1.0, 0.0, np.nan]), np.array([4.0, 0.0, 4.0]))
    np.testing.assert_array_equal(shares, [0.25, np.nan, np.nan])


def test_of_costs_that_are_equal_but_for_rounding_the_first_point_counts() -> None:
    for cost in ([0.3, 0.1 + 0.2, 1.0], [0.1 + 0.2, 0.3, 1.0]):
        assert cheapest_reaching(np.array(cost), np.array([0.6, 0.6, 0.8]), 0.5) == 0


def test_curves_are_measured_row_by_row() -> None:
    cost = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
    performance = np.array([[0.5, 0.7], [0.5, 0.7], [0.1, 0.3]])
    target = np.array([0.5, 0.7, 0.4])
    assert cheapest_reaching(cost, performance, target).tolist() == [0, 1, -1]
