from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import DataError
from equirouter.policy.collapse_score import (
    call_shares,
    checked_chosen,
    checked_outcomes,
    collapse_table,
    orbit_collapse_table,
    pick,
)

COSTS = [1.0, 2.0, 3.0]  # c_A < c_B < c_C, as in the examples of App. D

# queries x (A, B, C)              oracle (Eq. 3, no budget)
TABLE = np.array(
    [
        [1.0, 1.0, 1.0],  # A: all equal, A costs least
        [0.0, 1.0, 0.0],  # B
        [0.0, 1.0, 1.0],  # B: equal to C, cheaper
        [0.0, 0.0, 0.0],  # A: nobody is right, A costs least
        [0.0, 0.0, 1.0],  # C
        [1.0, 0.0, 1.0],  # A
    ]
)
COST_USD = np.tile(COSTS, (6, 1))


def collapse_scores(performance: ArrayLike, cost_usd: ArrayLike, chosen: ArrayLike) -> FloatArray:
    return pick(np.asarray(chosen), collapse_table(performance, cost_usd))[0]


def test_example_1_of_the_paper_a_missed_cheaper_equivalent() -> None:
    # all three are right, C is chosen: S = {A, B}, X = 2, K = 2 -> 2/2
    assert collapse_scores([[1.0, 1.0, 1.0]], [COSTS], [2]).tolist() == [1.0]


def test_example_2_of_the_paper_dominated_by_a_cheaper_better_model() -> None:
    # only B is right, C is chosen: a_m = 0 < a* = 1 -> 1
    assert collapse_scores([[0.0, 1.0, 0.0]], [COSTS], [2]).tolist() == [1.0]


def test_always_the_cheapest_by_hand() -> None:
    # nothing is cheaper than A, so 0 where A is among the best (rows 0, 3, 5) and 1 elsewhere
    assert collapse_scores(TABLE, COST_USD, [0] * 6).tolist() == [0, 1, 1, 0, 1, 0]


def test_always_the_strongest_by_hand() -> None:
    # C is right on 4 of 6, more than A (2) and B (3). Of the cheaper two, as good as C's best:
    # row 0 both, row 1 C is not best, row 2 B, row 3 both (0 >= 0), row 4 none, row 5 A
    scores = collapse_scores(TABLE, COST_USD, [2] * 6)
    assert scores.tolist() == [2 / 2, 1, 1 / 2, 2 / 2, 0 / 2, 1 / 2]


def test_the_oracle_by_hand() -> None:
    assert not collapse_scores(TABLE, COST_USD, [0, 1, 1, 0, 2, 0]).any()


def test_models_of_equal_cost_are_not_cheaper() -> None:
    # B and C cost the same, only A (wrong) is cheaper than C: X = 1, K = 0
    assert collapse_scores([[0.0, 1.0, 1.0]], [[1.0, 2.0, 2.0]], [2]).tolist() == [0.0]


def test_costs_are_compared_within_the_query() -> None:
    # column 0 is cheap on the first query and expensive on the second, where column 1 matches it
    cost_usd = [[1.0, 2.0], [2.0, 1.0]]
    assert collapse_scores(np.ones((2, 2)), cost_usd, [0, 0]).tolist() == [0.0, 1.0]


def test_several_operating_points_are_scored_column_by_column() -> None:
    chosen = np.stack([[0] * 6, [2] * 6, [0, 1, 1, 0, 2, 0]], axis=1)
    scores = collapse_scores(TABLE, COST_USD, chosen)
    assert scores.shape == (6, 3)
    for point in range(3):
        expected = collapse_scores(TABLE, COST_USD, chosen[:, point])
        np.testing.assert_array_equal(scores[:, point], expected)


@st.composite
def tables(draw: st.DrawFn) -> tuple[FloatArray, FloatArray, IntArray]:
    """Small tables with many ties in performance and in cost, and any choice."""
    n, k = draw(st.integers(1, 5)), draw(st.integers(1, 5))

    def cells(size: int, highest: int) -> list[int]:
        return draw(st.lists(st.integers(0, highest), min_size=size, max_size=size))

    performance = np.array(cells(n * k, 2), dtype=np.float64).reshape(n, k) / 2
    cost_usd = np.array(cells(n * k, 3), dtype=np.float64).reshape(n, k)
    return performance, cost_usd, np.array(cells(n, k - 1), dtype=np.int64)


@given(tables())
def test_scores_follow_the_definition_query_by_query(
    case: tuple[FloatArray, FloatArray, IntArray],
) -> None:
    performance, cost_usd, chosen = case
    expected = []
    for a, c, m in zip(performance, cost_usd, chosen, strict=True):
        cheaper = [j for j in range(len(a)) if c[j] < c[m]]
        matching = [j for j in cheaper if a[j] >= a[m]]
        share = len(matching) / len(cheaper) if cheaper else 0.0
        expected.append(1.0 if a[m] < a.max() else share)
    scores = collapse_scores(performance, cost_usd, chosen)
    assert scores.tolist() == expected
    assert ((scores >= 0) & (scores <= 1)).all()


@given(tables())
def test_the_oracle_without_a_budget_never_collapses(
    case: tuple[FloatArray, FloatArray, IntArray],
) -> None:
    performance, cost_usd, _ = case
    best = performance == performance.max(axis=1, keepdims=True)
    oracle = np.where(best, cost_usd, np.inf).argmin(axis=1)  # Eq. 3
    assert not collapse_scores(performance, cost_usd, oracle).any()


def test_the_score_of_the_authors_toolbox_by_hand() -> None:
    # C costs most on average. A and B are at fault where they are not among the best, C also where
    # A or B is as good: of C's best rows 0, 2, 3, 4, 5 only row 4 has nobody beside it
    assert orbit_collapse_table(TABLE, COST_USD).tolist() == [
        [0, 0, 1],  # all equal
        [1, 0, 1],  # B alone
        [1, 0, 1],  # B and C
        [0, 0, 1],  # nobody is right, all are among the best
        [1, 1, 0],  # C alone
        [0, 1, 1],  # A and C
    ]


def test_the_most_expensive_model_is_that_on_average_and_may_be_several() -> None:
    # on the first query A costs most, on average B and C do; C alone is best on the second query
    performance = [[1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    cost_usd = [[5.0, 1.0, 1.0], [1.0, 4.0, 4.0], [1.0, 4.0, 4.0]]
    assert orbit_collapse_table(performance, cost_usd).tolist() == [
        [0, 1, 1],
        [1, 1, 0],
        [1, 0, 0],  # the best are all among the most expensive
    ]


def test_call_shares_by_hand() -> None:
    assert call_shares(np.array([0, 2, 2, 2]), 3).tolist() == [0.25, 0.0, 0.75]


def test_call_shares_per_operating_point() -> None:
    chosen = np.array([[0, 1], [0, 0], [1, 1], [1, 1]])
    assert call_shares(chosen, 3).tolist() == [[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]


def test_call_shares_refuse_a_model_that_is_not_there() -> None:
    with pytest.raises(DataError, match="query 1 is 3"):
        call_shares(np.array([0, 3]), 3)


def test_single_models_on_real_outcomes(shared_data: Path) -> None:
    """Always-GPT-4 collapses; a cheap model's low RCI hides its errors."""
    models, performance, cost_usd = _slice(shared_data)

    def rci(model: str) -> float:
        chosen = np.full(len(performance), models.index(model))
        return round(float(collapse_scores(performance, cost_usd, chosen).mean()), 2)

    assert rci("gpt-4-1106-preview") == 0.74
    assert rci("mistralai/mistral-7b-chat") == 0.40
    assert performance[:, models.index("mistralai/mistral-7b-chat")].mean() < 0.6


def test_the_authors_score_on_real_outcomes(shared_data: Path) -> None:
    """It spares the second-best model, and counts nearly every call of the most expensive one."""
    models, performance, cost_usd = _slice(shared_data)
    scores = orbit_collapse_table(performance, cost_usd)
    by_strength = np.argsort(performance.mean(axis=0))
    assert round(float(scores[:, by_strength[-2]].mean()), 3) == 0.205
    assert round(float(scores[:, models.index("gpt-4-1106-preview")].mean()), 2) == 0.99
    assert round(float(scores.mean()), 3) == 0.382  # expected of a random choice


def _slice(shared_data: Path) -> tuple[list[str], FloatArray, FloatArray]:
    """Models, performance and cost of the complete queries of a part of RouterBench."""
    table = pq.read_table(shared_data / "routerbench_slice.parquet")
    models = [name.removesuffix("|total_cost") for name in table.column_names if "|total" in name]
    performance = _columns(table, models)
    complete = np.isfinite(performance).all(axis=1)
    cost_usd = _columns(table, [f"{model}|total_cost" for model in models])
    return models, performance[complete], cost_usd[complete]


def _columns(table: "pq.Table", names: list[str]) -> FloatArray:
    return np.column_stack([table[name].to_numpy().astype(np.float64) for name in names])


def test_a_missing_outcome_is_named_with_its_place() -> None:
    performance = np.array([[1.0, 0.0], [1.0, np.nan]])
    with pytest.raises(DataError, match=r"performance of query 1, model 1 is nan; .*is_complete"):
        checked_outcomes(performance, np.ones((2, 2)))


def test_an_infinite_cost_is_named_with_its_place() -> None:
    with pytest.raises(DataError, match="cost_usd of query 0, model 1 is inf"):
        checked_outcomes(np.ones((1, 2)), np.array([[1.0, np.inf]]))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 2), (2, 0)])
def test_tables_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        checked_outcomes(np.ones((2, 2)), np.ones(shape))


@pytest.mark.parametrize("wrong", [-1, 2])
def test_a_choice_that_is_no_column_is_named(wrong: int) -> None:
    with pytest.raises(DataError, match=rf"query 1 is {wrong}; expected a model's column, 0 to 1"):
        checked_chosen(np.array([[0, 1], [1, wrong]]), 2, 2)


def test_choices_of_another_length_or_type_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(3,\); expected \(2,\)"):
        checked_chosen(np.zeros(3, dtype=int), 2, 2)
    with pytest.raises(DataError, match="float64; expected whole numbers"):
        checked_chosen(np.zeros(2), 2, 2)


def test_small_integer_types_are_widened() -> None:
    # 200 + 100 does not fit into uint8: positions in flat tables must not wrap around
    assert checked_chosen(np.array([1, 0], dtype=np.uint8), 2, 2).dtype == np.int64
