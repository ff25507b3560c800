"""The budget policy: Eq. 1-3 on predictions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equirouter.errors import ConfigError, DataError
from equirouter.policy import NOTHING_FITS, BudgetPolicy, EvenBudgetPolicy

SCORES = np.array([[0.2, 0.9, 0.9], [0.5, 0.4, 0.3]])
COSTS = np.array([[1.0, 3.0, 2.0], [4.0, 6.0, 5.0]])


def test_the_best_within_the_budget_and_ties_to_the_cheaper() -> None:
    # query 0: 0.9 twice, column 2 costs 2 and column 1 costs 3. query 1: column 0 is best
    assert BudgetPolicy().choose(SCORES, COSTS).tolist() == [2, 0]
    # budget 1.5: query 0 affords column 0 only; query 1 affords nothing: its cheapest, column 0
    assert BudgetPolicy(1.5).choose(SCORES, COSTS).tolist() == [0, 0]


def test_of_the_cheapest_over_the_budget_the_best_answers() -> None:
    scores, costs = np.array([[0.3, 0.8, 0.9]]), np.array([[2.0, 2.0, 3.0]])
    assert BudgetPolicy(1.0).choose(scores, costs).tolist() == [1]
    assert BudgetPolicy(1.0).rank(scores, costs).tolist() == [[1, -1, -1]]
    assert BudgetPolicy().sweep(scores, costs, np.array([1.0, 2.0, 3.0])).tolist() == [[1, 1, 2]]
    may = np.array([[True, False, True]])
    assert BudgetPolicy(1.0).choose(scores, costs, may).tolist() == [0]
    assert BudgetPolicy(1.0).choose(scores, costs, np.zeros((1, 3), dtype=bool)).tolist() == [-1]


def test_nothing_fits_can_be_refused() -> None:
    policy = BudgetPolicy(1.5, when_nothing_fits="refuse")
    assert policy.choose(SCORES, COSTS).tolist() == [0, NOTHING_FITS]
    assert policy.sweep(SCORES, COSTS, np.array([0.5, 4.0])).tolist() == [
        [NOTHING_FITS, 2],
        [NOTHING_FITS, 0],
    ]


def test_a_cost_equal_to_the_budget_fits() -> None:
    assert BudgetPolicy(2.0).choose(SCORES, COSTS)[0] == 2


def test_the_fallback_order_holds_what_fits_only() -> None:
    ranked = BudgetPolicy(2.0).rank(SCORES, COSTS)
    assert ranked.tolist() == [[2, 0, -1], [0, -1, -1]]  # query 1: over the budget, one choice


def test_a_constraint_is_never_violated() -> None:
    feasible = np.array([[False, True, False], [False, False, False]])
    assert BudgetPolicy().choose(SCORES, COSTS, feasible).tolist() == [1, NOTHING_FITS]
    assert BudgetPolicy(1.0).choose(SCORES, COSTS, feasible).tolist() == [1, NOTHING_FITS]


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan])
def test_a_budget_that_makes_no_sense_is_refused(budget: float) -> None:
    with pytest.raises(ConfigError, match="expected a number above 0"):
        BudgetPolicy(budget)


def test_an_unknown_rule_for_when_nothing_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected cheapest or refuse"):
        BudgetPolicy(1.0, when_nothing_fits="strongest")  # type: ignore[arg-type]


def test_shapes_and_numbers_are_checked() -> None:
    with pytest.raises(DataError, match="must all be"):
        BudgetPolicy().choose(SCORES, COSTS[:1])
    with pytest.raises(DataError, match="finite"):
        BudgetPolicy().choose(SCORES * np.nan, COSTS)


few = st.sampled_from([0.0, 0.25, 0.5, 1.0])
few_costs = st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.5])


@given(arrays(np.float64, (7, 4), elements=few), arrays(np.float64, (7, 4), elements=few_costs))
def test_a_sweep_is_the_choice_at_every_budget(scores: np.ndarray, costs: np.ndarray) -> None:
    budgets = np.array([0.1, 0.5, 0.9, 1.0, 2.0, 3.0, 9.0])
    swept = BudgetPolicy().sweep(scores, costs, budgets)
    for column, budget in enumerate(budgets):
        one_by_one = BudgetPolicy(budget).choose(scores, costs)
        rows = np.arange(7)
        # columns may differ where score and cost are both equal; what is got may not
        np.testing.assert_array_equal(scores[rows, swept[:, column]], scores[rows, one_by_one])
        np.testing.assert_array_equal(costs[rows, swept[:, column]], costs[rows, one_by_one])


@given(arrays(np.float64, (7, 4), elements=few), arrays(np.float64, (7, 4), elements=few_costs))
def test_more_money_never_lowers_the_score(scores: np.ndarray, costs: np.ndarray) -> None:
    swept = BudgetPolicy().sweep(scores, costs, np.array([0.5, 1.0, 2.0, 3.5]))
    got = np.take_along_axis(scores, swept, axis=1)
    fits = np.take_along_axis(costs, swept, axis=1) <= np.array([0.5, 1.0, 2.0, 3.5])
    assert (np.diff(np.where(fits, got, -1.0), axis=1) >= 0).all()


def test_the_path_is_every_budget_at_which_a_choice_changes() -> None:
    path = BudgetPolicy().path(SCORES, COSTS)
    assert path is not None
    # query 0: 0.2 at 1, 0.9 at 2, and the 0.9 at 3 is no better; query 1: 0.5 at 4 is the best
    assert path.start.tolist() == [0, 0]
    changes = (path.query, path.before, path.after, path.value)
    assert [change.tolist() for change in changes] == [[0], [0], [2], [2.0]]
    assert path.totals(COSTS).tolist() == [5.0, 6.0]
    assert BudgetPolicy(when_nothing_fits="refuse").path(SCORES, COSTS) is None


grid = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])


@given(arrays(np.float64, (6, 5), elements=grid), arrays(np.float64, (6, 5), elements=grid))
def test_the_path_has_the_choices_at_all_budgets(scores: np.ndarray, costs: np.ndarray) -> None:
    path = BudgetPolicy().path(scores, costs)
    assert path is not None
    budgets = np.unique(costs)
    swept = BudgetPolicy().sweep(scores, costs, budgets)
    row = np.arange(6)[:, None]
    ends = np.append(0, path.ends())
    reached = np.append(-1.0, path.value[path.ends() - 1])  # the budget of each point of the path
    points = np.searchsorted(reached, budgets, side="right") - 1
    np.testing.assert_allclose(path.totals(costs)[points], costs[row, swept].sum(axis=0))
    np.testing.assert_allclose(path.totals(scores)[points], scores[row, swept].sum(axis=0))
    assert len(ends) <= 1 + len(budgets), "no point of the path is missed by these budgets"


def test_budgets_see_cheap_and_expensive_models_where_prices_differ_a_thousandfold() -> None:
    rng = np.random.default_rng(3)
    costs = rng.lognormal(sigma=0.3, size=(400, 3)) * [1.0, 30.0, 1000.0]
    scores = np.zeros_like(costs)
    spread, even = (kind().points(scores, costs, 100) for kind in (BudgetPolicy, EvenBudgetPolicy))
    assert (spread[0], spread[-1]) == (even[0], even[-1]) == (costs.min(), costs.max())
    assert (np.diff(spread) >= 0).all()
    # a third of the costs and next to none of the spending: a sixth of the budgets, and no even one
    for low, high in ((0, 8), (8, 200)):
        assert 14 <= ((spread >= low) & (spread < high)).sum() <= 20
        assert ((even >= low) & (even < high)).sum() <= 10
    assert (spread >= 200).sum() >= 60


def test_the_papers_budgets_are_even_and_read_alone() -> None:
    points = EvenBudgetPolicy().points(SCORES, COSTS, 6)
    assert points.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert EvenBudgetPolicy().path(SCORES, COSTS) is None
