"""nAUC by hand, and what it must not depend on."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics import SweepMeans
from equirouter.evaluation.metrics.common_nauc import CommonNAUC, area_within
from equirouter.evaluation.metrics.nauc import NAUC, normalised_area
from equirouter.evaluation.metrics.orbit_nauc import OrbitNAUC

COST = np.array([1.0, 2.0, 4.0])
PERFORMANCE = np.array([0.4, 0.6, 0.8])


def test_normalised_area_by_hand() -> None:
    # trapezoids (0.4 + 0.6)/2 * 1 + (0.6 + 0.8)/2 * 2 = 0.5 + 1.4 = 1.9, over a range of 3
    assert normalised_area(COST, PERFORMANCE) == pytest.approx(1.9 / 3)


def test_normalised_area_orders_the_points_by_cost() -> None:
    order = [2, 0, 1]
    assert normalised_area(COST[order], PERFORMANCE[order]) == pytest.approx(1.9 / 3)


def test_points_of_equal_cost_are_ordered_by_performance() -> None:
    # (1, 0.2), (1, 0.6), (2, 0.8): only the step from 0.6 to 0.8 has a width
    expected = pytest.approx((0.6 + 0.8) / 2)
    assert normalised_area(np.array([1.0, 1.0, 2.0]), np.array([0.2, 0.6, 0.8])) == expected
    assert normalised_area(np.array([1.0, 1.0, 2.0]), np.array([0.6, 0.2, 0.8])) == expected


@pytest.mark.parametrize("cost_usd", [0.0, 3e-3])
def test_a_curve_that_is_one_point_has_its_performance(cost_usd: float) -> None:
    assert normalised_area(np.full(5, cost_usd), np.full(5, 0.7)) == pytest.approx(0.7)


def test_rounding_of_one_cost_is_not_taken_for_a_range() -> None:
    # 0.3 and 0.1 + 0.2 are one cost; as a range, the curve would have no point at 0.2
    cost = np.array([0.3, 0.1 + 0.2])
    assert cost[0] != cost[1]
    assert normalised_area(np.array([*cost, 0.3]), np.array([0.2, 0.4, 0.6])) == pytest.approx(0.4)


def test_rounding_of_costs_does_not_order_the_points() -> None:
    # 0.3 and 0.1 + 0.2 are one cost, whichever of the two performances has the larger number; the
    # curve goes on to (1, 0.8) from the better one: (0.6 + 0.8) / 2
    for cost in ([0.3, 0.1 + 0.2, 1.0], [0.1 + 0.2, 0.3, 1.0]):
        area = normalised_area(np.array(cost), np.array([0.6, 0.2, 0.8]))
        assert area == pytest.approx(0.7)


points = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=12
).map(lambda pairs: np.array(pairs, dtype=np.float64).T / 1000)


@given(points, st.randoms(use_true_random=False))
def test_normalised_area_is_an_average_and_does_not_depend_on_the_order(
    curve: FloatArray, random: Random
) -> None:
    cost_usd, performance = curve
    area = normalised_area(cost_usd, performance)
    assert performance.min() - 1e-9 <= area <= performance.max() + 1e-9
    order = list(range(len(cost_usd)))
    random.shuffle(order)
    assert normalised_area(cost_usd[order], performance[order]) == pytest.approx(area)


@given(points, st.floats(0.01, 100.0))
def test_normalised_area_does_not_depend_on_the_currency(curve: FloatArray, rate: float) -> None:
    cost_usd, performance = curve
    expected = pytest.approx(float(normalised_area(cost_usd, performance)))
    assert normalised_area(rate * cost_usd, performance) == expected


def test_curves_are_measured_row_by_row() -> None:
    cost = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
    performance = np.array([[0.5, 0.7], [0.5, 0.7], [0.1, 0.3]])
    np.testing.assert_allclose(normalised_area(cost, performance), [0.6, 0.6, 0.2])


def test_what_lies_outside_the_common_range_counts_at_its_ends_only() -> None:
    # over 2 to 4: the 0.5 at cost 1 holds at 2, where 0.3 is had; 0.7 at 4; the 0.9 at 8 is too far
    cost, performance = np.array([[1.0, 2.0, 4.0, 8.0]]), np.array([[0.5, 0.3, 0.7, 0.9]])
    area = area_within(cost, performance, np.array([2.0]), np.array([4.0]))
    assert area == pytest.approx([(0.5 + 0.7) / 2])
    one = area_within(cost, performance, np.array([4.0]), np.array([4.0]))
    assert one == pytest.approx([0.7])


def means(cost: list[float], performance: list[float]) -> SweepMeans:
    """Of a curve of two models, with 0.2 at cost 1 and 0.8 at cost 9."""
    ends = np.array([[0.2, 0.8]]), np.array([[1.0, 9.0]])
    one = np.zeros((1, 1))
    curve = np.array([performance]), np.array([cost]), np.zeros((1, len(cost)))
    return SweepMeans(1, np.zeros((1, 2)), *ends, np.zeros((1, 2)), one, one, *curve)


def test_a_router_that_never_spends_little_is_not_above_the_oracle() -> None:
    costly, oracle = means([8.0, 9.0], [0.8, 0.8]), means([1.0, 3.0], [0.3, 0.9])
    assert NAUC().values(costly)[0] > NAUC().values(oracle)[0]
    assert CommonNAUC().values(costly)[0] < CommonNAUC().values(oracle)[0]


@pytest.mark.parametrize(
    ("cost", "performance", "expected"),
    [
        # 0.1 at cost 3 is worse than 0.4 at cost 2; then 0.6 at cost 5, and 0.6 again at cost 9
        ([2.0, 3.0, 5.0], [0.4, 0.1, 0.6], (3 * 0.5 + 4 * 0.6) / 9),
        # the curve ends beyond always the strongest, so its last performance is added on the way
        ([1.0, 12.0], [0.2, 0.9], (8 * 0.55 + 3 * 0.9) / 12),
        # of equal costs the first is on the front, and the better one after it
        ([3.0, 3.0], [0.3, 0.5], 6 * 0.5 / 9),
        ([9.0], [0.8], 0.0),
        ([0.0, 0.0], [0.2, 0.8], 0.8),
    ],
)
def test_area_under_the_front_by_hand(
    cost: list[float], performance: list[float], expected: float
) -> None:
    assert OrbitNAUC().values(means(cost, performance)) == pytest.approx([expected])


@given(points)
def test_area_under_the_front_is_that_of_the_steps_one_by_one(
    curve: tuple[FloatArray, FloatArray],
) -> None:
    """As the authors' toolbox goes: sorted points, a running best, a point added, trapezoids."""
    cost_usd, performance = (values.tolist() for values in curve)
    front: list[tuple[float, float]] = []
    for cost, mean in sorted(zip(cost_usd, performance, strict=True), key=lambda point: point[0]):
        if not front or mean > max(height for _, height in front):
            front.append((cost, mean))
    front = sorted([*front, (9.0, performance[-1])], key=lambda point: point[0])
    area = 0.0
    for (start, left), (end, right) in pairwise(front):
        area += (end - start) / front[-1][0] * (left + right) / 2
    assert OrbitNAUC().values(means(cost_usd, performance)) == pytest.approx([area])
