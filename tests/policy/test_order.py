"""The order of the columns: one rule, in `rank` with a sort and in `choose` without one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equirouter.policy import (
    NOTHING_FITS,
    BudgetPolicy,
    Policy,
    StrongestPolicy,
    UtilityPolicy,
)

few = st.sampled_from([-1.0, 0.0, -0.0, 0.25, 0.5, 1.0])
few_costs = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5])
policies = st.sampled_from(
    [
        BudgetPolicy(),
        BudgetPolicy(1.0),
        BudgetPolicy(0.25),
        BudgetPolicy(0.25, when_nothing_fits="refuse"),
        BudgetPolicy(1e300),
        UtilityPolicy(),
        UtilityPolicy(0.3),
        StrongestPolicy(2),
    ]
)


def by_hand(policy: Policy, scores: list[float], costs: list[float], may: list[bool]) -> list[int]:
    """The order of one query, with sorted() and the rule as the docstrings say it."""
    columns = [column for column in range(len(scores)) if may[column]]
    value = scores
    if isinstance(policy, UtilityPolicy):
        value = [score - policy.lambda_ * cost for score, cost in zip(scores, costs, strict=True)]
    if isinstance(policy, StrongestPolicy):
        value = [math.inf if column == 2 else score for column, score in enumerate(scores)]
    if isinstance(policy, BudgetPolicy):
        fitting = [column for column in columns if costs[column] <= policy.budget_usd]
        if not fitting and policy.when_nothing_fits == "cheapest":
            fitting = sorted(columns, key=lambda column: (costs[column], -scores[column]))[:1]
        columns = fitting
    order = sorted(columns, key=lambda column: (-value[column], costs[column], column))
    return order + [NOTHING_FITS] * (len(scores) - len(order))


@given(
    policies,
    st.booleans(),
    arrays(np.float64, (5, 4), elements=few),
    arrays(np.float64, (5, 4), elements=few_costs),
    st.none() | arrays(np.bool_, (5, 4)),
)
def test_the_order_is_the_rule_and_the_choice_is_its_first(
    policy: Policy,
    in_float32: bool,
    scores: np.ndarray,
    costs: np.ndarray,
    feasible: np.ndarray | None,
) -> None:
    values, paid = scores, costs
    if in_float32:
        values, paid = scores.astype(np.float32), costs.astype(np.float32)
    ranked = policy.rank(values, paid, feasible)
    may = np.ones((5, 4), dtype=bool) if feasible is None else feasible
    for row in range(5):
        expected = by_hand(policy, scores[row].tolist(), costs[row].tolist(), may[row].tolist())
        assert ranked[row].tolist() == expected
        alone = policy.rank(values[row : row + 1], paid[row : row + 1], may[row : row + 1])
        assert alone[0].tolist() == expected
        in_lists = (values[row].tolist(), paid[row].tolist(), may[row].tolist())
        assert policy.rank_one(*in_lists) == [column for column in expected if column >= 0]
        if feasible is None:
            assert policy.rank_one(*in_lists[:2]) == expected[: len(policy.rank_one(*in_lists))]
    chosen = policy.choose(values, paid, feasible)
    assert chosen.dtype == np.int64
    assert chosen.tolist() == ranked[:, 0].tolist()


def test_a_large_pool_is_put_in_the_same_order() -> None:
    """From 2,048 models on another sort does it; a tenth of the models may not answer."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 300, (3, 2100)) / 300  # every score stands for seven models
    costs = rng.integers(1, 50, (3, 2100)).astype(float)
    feasible = rng.random((3, 2100)) < 0.9
    ranked = BudgetPolicy().rank(scores, costs, feasible)
    for row in range(3):
        case = (scores[row].tolist(), costs[row].tolist(), feasible[row].tolist())
        assert ranked[row].tolist() == by_hand(BudgetPolicy(), *case)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cost_equal_to_the_budget_fits_in_either_precision(dtype: str) -> None:
    # as float32, 0.002 is 0.0020000000949949026: above the budget unless that is rounded as well
    scores, costs = np.array([[[0.9, 0.1]], [[0.002, 0.0001]]]).astype(dtype)
    for budget in (0.002, np.float64(0.002)):
        assert BudgetPolicy(budget).choose(scores, costs).tolist() == [0]
        assert BudgetPolicy(budget).sweep(scores, costs, np.array([budget])).tolist() == [[0]]
    assert BudgetPolicy(0.0019).choose(scores, costs).tolist() == [1]


def test_a_budget_beyond_float32_is_no_limit() -> None:
    scores, costs = np.array([[0.1, 0.9]], np.float32), np.array([[1.0, 3e38]], np.float32)
    for budget in (1e300, math.inf):
        assert BudgetPolicy(budget).choose(scores, costs).tolist() == [1]


@given(arrays(np.float32, (6, 4), elements=st.floats(0.0, 1.0, width=32)), st.integers(0, 23))
def test_a_sweep_of_float32_costs_is_the_choice_at_every_budget(
    costs: np.ndarray, cell: int
) -> None:
    scores = np.random.default_rng(0).random((6, 4), dtype=np.float32)
    budgets = np.array([max(float(costs.flat[cell]), 1e-30), 0.3, 2.0])
    swept = BudgetPolicy().sweep(scores, costs, budgets)
    for column, budget in enumerate(budgets):
        assert swept[:, column].tolist() == BudgetPolicy(budget).choose(scores, costs).tolist()


@pytest.mark.parametrize("distinct", [3, 10_000])
def test_many_columns_are_ordered_by_the_same_rule(distinct: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.arange(1200).reshape(2, 600) % distinct, axis=1) / 1200
    costs = rng.integers(1, 50, (2, 600)) / 50
    policy = BudgetPolicy(0.7)
    ranked = policy.rank(scores.astype(np.float32), costs.astype(np.float32))
    for row in range(2):
        expected = by_hand(policy, scores[row].tolist(), costs[row].tolist(), [True] * 600)
        assert ranked[row].tolist() == expected
