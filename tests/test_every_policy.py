"""Every registered policy under the contract: a new one is tested by being registered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.errors import DataError
from equirouter.policy import NOTHING_FITS, Policy
from equirouter.registry import POLICIES

NAMES = POLICIES.names()
SEEDS = st.integers(0, 10_000)


def made(name: str) -> Policy:
    policy: Policy = POLICIES.load(name)()
    return policy


def problem(seed: int, n: int = 12, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Scores and costs (n, k) on a coarse grid, so that ties of both are common."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, (n, k)) / 4, rng.integers(1, 5, (n, k)) / 1000


def allowed(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng([seed, 1]).random(shape) < 0.5


@pytest.mark.parametrize("name", NAMES)
@given(seed=SEEDS)
@settings(max_examples=30)
def test_what_is_not_feasible_is_never_chosen_nor_a_fallback(name: str, seed: int) -> None:
    scores, cost_usd = problem(seed)
    feasible = allowed(seed, scores.shape)
    chosen = made(name).choose(scores, cost_usd, feasible)
    for row, column in enumerate(chosen):
        assert feasible[row, column] if feasible[row].any() else column == NOTHING_FITS
    ranked = made(name).rank(scores, cost_usd, feasible)
    for row, order in enumerate(ranked):
        known = [column for column in order.tolist() if column != NOTHING_FITS]
        assert feasible[row, known].all()
        assert len(known) == len(set(known))


@pytest.mark.parametrize("name", NAMES)
@given(seed=SEEDS)
@settings(max_examples=30)
def test_the_order_begins_with_the_choice(name: str, seed: int) -> None:
    scores, cost_usd = problem(seed)
    feasible = allowed(seed, scores.shape)
    policy = made(name)
    ranked = policy.rank(scores, cost_usd, feasible)
    np.testing.assert_array_equal(ranked[:, 0], policy.choose(scores, cost_usd, feasible))


@pytest.mark.parametrize("name", NAMES)
@given(seed=SEEDS)
@settings(max_examples=30)
def test_of_equal_scores_the_cheaper_is_chosen(name: str, seed: int) -> None:
    _, cost_usd = problem(seed)
    chosen = made(name).choose(np.full_like(cost_usd, 0.5), cost_usd)
    np.testing.assert_array_equal(cost_usd[np.arange(len(chosen)), chosen], cost_usd.min(axis=1))


@pytest.mark.parametrize("name", NAMES)
@given(seed=SEEDS)
@settings(max_examples=30)
def test_a_sweep_is_the_choices_at_its_points(name: str, seed: int) -> None:
    scores, cost_usd = problem(seed)
    kind = POLICIES.load(name)
    points = kind().points(scores, cost_usd, 7)
    assert len(points) == 7
    swept = kind().sweep(scores, cost_usd, points)
    for column, point in enumerate(points.tolist()):
        np.testing.assert_array_equal(swept[:, column], kind.at(point).choose(scores, cost_usd))
    spent = np.take_along_axis(cost_usd, swept, axis=1).sum(axis=0)
    if not kind.in_order:  # one that follows a stream comes near its target after many queries only
        assert (np.diff(spent) >= -1e-12).all(), "points go from the least to the largest spending"


@pytest.mark.parametrize("name", NAMES)
def test_a_query_is_decided_the_same_alone_and_among_others(name: str) -> None:
    scores, cost_usd = problem(3, n=30)
    together = made(name).choose(scores, cost_usd)
    alone = [made(name).choose(scores[[row]], cost_usd[[row]])[0] for row in range(30)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_scores_and_costs_must_be_finite(name: str, wrong: float) -> None:
    scores, cost_usd = problem(0)
    broken_scores, broken_costs = scores.copy(), cost_usd.copy()
    broken_scores[1, 2] = broken_costs[1, 2] = wrong
    with pytest.raises(DataError):
        made(name).choose(broken_scores, cost_usd)
    with pytest.raises(DataError):
        made(name).choose(scores, broken_costs)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_differ_are_refused(name: str) -> None:
    scores, cost_usd = problem(0)
    with pytest.raises(DataError):
        made(name).choose(scores, cost_usd[:, :-1])


@pytest.mark.parametrize("name", NAMES)
@given(seed=SEEDS, place=st.floats(0, 1))
@settings(max_examples=30)
def test_constraints_hold_at_every_setting(name: str, seed: int, place: float) -> None:
    """Also where nothing that is feasible fits, and the cheapest answers all the same."""
    scores, cost_usd = problem(seed)
    feasible = allowed(seed, scores.shape)
    kind = POLICIES.load(name)
    points = kind().points(scores, cost_usd, 9) * (1 if place < 0.5 else 1e-3)
    policy = kind.at(points[int(place * 8)])
    chosen = policy.choose(scores, cost_usd, feasible)
    ranked = policy.rank(scores, cost_usd, feasible)
    np.testing.assert_array_equal(chosen, ranked[:, 0])
    padded = np.column_stack([feasible, np.ones(len(feasible), dtype=bool)])  # -1 is none
    assert np.take_along_axis(padded, ranked, axis=1).all()
    assert ((chosen == NOTHING_FITS) <= ~feasible.any(axis=1)).all(), "someone may answer"
