"""The first look at a large pool: what it keeps, and that what it leaves out cannot win."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.errors import PipelineError
from equirouter.policy import BudgetPolicy
from equirouter.routers.networks.pool_head import FirstStage


def stage(costs: list[float]) -> FirstStage:
    """One whose estimates are given: only the order of the costs counts."""
    k = len(costs)
    return FirstStage(np.zeros((k, 1), np.float32), np.zeros(k, np.float32), np.argsort(costs))


def f32(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_scores_that_are_linear_are_found_again() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 5)).astype(np.float32) + 3
    vectors, level = rng.standard_normal((7, 5)), rng.standard_normal(7)

    def scores_of(part: np.ndarray) -> np.ndarray:
        return np.asarray(part @ vectors.T + level, dtype=np.float32)

    fitted = FirstStage.fit(z, scores_of, rng.random(7))
    np.testing.assert_allclose(fitted.estimates(z[0]), scores_of(z[:1])[0], atol=0.02)


def test_the_fit_in_blocks_is_the_fit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    z, table = rng.standard_normal((50, 4)).astype(np.float32), rng.standard_normal((4, 6))
    sizes = []

    def scores_of(part: np.ndarray) -> np.ndarray:
        sizes.append(len(part))
        return np.asarray(np.sin(part @ table), dtype=np.float32)

    whole = FirstStage.fit(z, scores_of, np.arange(6.0))
    monkeypatch.setattr(
        "equirouter.routers.networks.pool_head.BLOCK_CELLS", 60
    )  # 10 queries x 6 models
    parts = FirstStage.fit(z, scores_of, np.arange(6.0))
    assert sizes == [50, 10, 10, 10, 10, 10]
    np.testing.assert_allclose(parts.vectors, whole.vectors, atol=1e-6)
    np.testing.assert_allclose(parts.level, whole.level, atol=1e-6)


def test_the_largest_leads_over_all_cheaper_models_are_kept() -> None:
    # by cost: 0.3, 0.2, 0.9, 0.8, 1.0: leads inf, -0.1, 0.6, -0.1, 0.1
    estimates = f32([1.0, 0.3, 0.9, 0.2, 0.8])
    made = stage([5.0, 1.0, 3.0, 2.0, 4.0])
    assert made.promising(estimates, 2).tolist() == [1, 2]
    assert made.promising(estimates, 3).tolist() == [0, 1, 2]


def test_the_highest_estimates_alone_would_leave_nothing_for_a_small_budget() -> None:
    estimates = f32([0.1, 0.2, 0.7, 0.8, 0.9])
    made = stage([1.0, 2.0, 3.0, 4.0, 5.0])
    assert 0 in made.promising(estimates, 3)  # the cheapest, though its estimate is the lowest


def test_estimates_are_moved_to_the_scores_and_cut_below_what_is_cheaper() -> None:
    made = stage([1.0, 2.0, 3.0, 4.0])
    # full scores are 1 above the estimates of columns 0 and 2, so the others move up by 1
    out = made.completed(f32([0.0, -0.5, 2.0, 7.0]), np.array([0, 2]), f32([1.0, 3.0]))
    assert out[[0, 2]].tolist() == [1.0, 3.0]
    assert out[1] == 0.5
    assert 2.999 < out[3] < 3.0  # 8 would have won against column 2, which is cheaper


scores = st.lists(st.integers(-20, 20), min_size=8, max_size=8)


@given(scores, scores, st.permutations(range(1, 9)), st.integers(1, 7), st.floats(0.5, 9))
def test_a_model_that_was_not_scored_in_full_wins_under_no_budget(
    estimated: list[int], full: list[int], costs: list[int], n: int, budget_usd: float
) -> None:
    made = stage([float(cost) for cost in costs])
    columns = made.promising(f32([*map(float, estimated)]), n)
    out = made.completed(f32([*map(float, estimated)]), columns, f32([*map(float, full)])[columns])
    assert np.isfinite(out).all()
    chosen = BudgetPolicy(budget_usd).choose(out[None], np.array([costs], dtype=float))
    assert chosen[0] in columns


@given(scores, st.permutations(range(1, 9)), st.integers(2, 7))
def test_with_exact_estimates_no_budget_sees_a_difference(
    full: list[int], costs: list[int], n: int
) -> None:
    made = stage([float(cost) for cost in costs])
    true = f32([*map(float, full)])
    columns = made.promising(true, n)
    out = made.completed(true, columns, true[columns])
    cost_usd = np.array([costs], dtype=float)
    lead = [
        true[j] - max([true[i] for i in range(8) if costs[i] < costs[j]], default=-99)
        for j in range(8)
    ]
    for budget in range(1, 9):
        best = BudgetPolicy(budget).choose(true[None], cost_usd)[0]
        if sum(value >= lead[best] for value in lead) <= n:  # it is surely among the n kept
            assert BudgetPolicy(budget).choose(out[None], cost_usd)[0] == best


def test_saved_arrays_of_another_pool_are_refused() -> None:
    made = stage([1.0, 2.0])
    again = FirstStage.restore(made.state(), 2)
    assert again.by_cost.tolist() == made.by_cost.tolist()
    with pytest.raises(PipelineError, match="of 3 models"):
        FirstStage.restore(made.state(), 3)
    with pytest.raises(PipelineError, match="train again"):
        FirstStage.restore({"vectors": made.vectors}, 2)
