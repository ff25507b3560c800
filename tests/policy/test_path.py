"""The exact sweep over lambda: what a search through all pairs of models finds, and no more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equirouter.arrays import FloatArray
from equirouter.policy import DecisionPath, UtilityPolicy, utility_path

# eighths and halves: their differences and quotients are exact enough that ties are ties
few = st.sampled_from([-0.5, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0])
few_costs = st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0, 8.0])


def tables(n: int = 6, k: int = 5) -> st.SearchStrategy[tuple[FloatArray, FloatArray]]:
    return st.tuples(
        arrays(np.float64, (n, k), elements=few), arrays(np.float64, (n, k), elements=few_costs)
    )


def choices(path: DecisionPath, point: int) -> list[int]:
    """The choices at an operating point: the changes made one after the other."""
    chosen = path.start.copy()
    n_made = 0 if point == 0 else path.ends()[point - 1]
    for query, before, after in zip(
        path.query[:n_made], path.before[:n_made], path.after[:n_made], strict=True
    ):
        assert chosen[query] == before
        chosen[query] = after
    return [int(column) for column in chosen]


def by_hand(scores: list[float], costs: list[float], lambda_: float) -> tuple[float, float]:
    """Score and cost of the choice of one query: the highest utility, ties to the cheaper."""
    cost, score = min(
        zip(costs, scores, strict=True), key=lambda pair: (-(pair[1] - lambda_ * pair[0]), pair[0])
    )
    return score, cost


def test_the_path_of_one_query_by_hand() -> None:
    # (cost, score): (1, 0.25), (2, 0.5), (4, 1.0), (8, 0.75). From the first, 0.25 for 1 and 0.75
    # for 3: the slopes are both 0.25, so the second model ties at 0.25 and is never the one chosen
    path = utility_path(np.array([[0.25, 0.5, 1.0, 0.75]]), np.array([[1.0, 2.0, 4.0, 8.0]]))
    assert path.start.tolist() == [0]
    assert (path.before.tolist(), path.after.tolist()) == ([0], [2])
    assert path.value.tolist() == [0.25]
    assert path.totals(np.array([[1.0, 2.0, 4.0, 8.0]])).tolist() == [1.0, 4.0]
    assert path.lambdas().tolist() == [0.5, 0.0]


@given(tables())
def test_every_point_is_the_choice_at_its_lambda(table: tuple[FloatArray, FloatArray]) -> None:
    scores, costs = table
    path = utility_path(scores, costs)
    lambdas = path.lambdas()
    scored, paid = path.totals(scores), path.totals(costs)
    for point, lambda_ in enumerate(lambdas.tolist()):
        each = [by_hand(*row, lambda_) for row in zip(scores.tolist(), costs.tolist(), strict=True)]
        assert scored[point] == pytest.approx(sum(score for score, _ in each))
        assert paid[point] == pytest.approx(sum(cost for _, cost in each))
        assert choices(path, point) == UtilityPolicy(lambda_).choose(scores, costs).tolist()


@given(tables(), st.floats(0.0, 3.0))
def test_no_lambda_decides_what_the_path_does_not_have(
    table: tuple[FloatArray, FloatArray], share: float
) -> None:
    """Anywhere between two neighbouring changes the choices are those of the path there."""
    scores, costs = table
    path = utility_path(scores, costs)
    edges = np.unique(path.value)[::-1]
    if np.abs(edges - share).min(initial=np.inf) < 1e-9:
        return  # a lambda at which models tie is the next test
    point = int((edges > share).sum())
    assert choices(path, point) == UtilityPolicy(share).choose(scores, costs).tolist()


@given(tables())
def test_at_the_very_lambda_of_a_change_the_cheaper_is_chosen(
    table: tuple[FloatArray, FloatArray],
) -> None:
    scores, costs = table
    path = utility_path(scores, costs)
    for query, before, lambda_ in zip(path.query, path.before, path.value, strict=True):
        if float(lambda_ * 1024).is_integer():  # else the tie is one of exact numbers only
            chosen = UtilityPolicy(lambda_).choose(scores[[query]], costs[[query]])[0]
            assert costs[query, chosen] <= costs[query, before]


@given(tables())
def test_a_path_is_no_longer_than_it_can_be(table: tuple[FloatArray, FloatArray]) -> None:
    path = utility_path(*table)
    assert len(path.value) <= 6 * (5 - 1)
    assert (np.diff(path.value) <= 0).all()
    assert (np.diff(path.lambdas()) < 0).all()
    assert (path.steps(table[0]) > 0).all()  # of every change: a better score for more money
    assert (path.steps(table[1]) > 0).all()


def test_a_spread_leaves_out_little_and_has_both_ends() -> None:
    rng = np.random.default_rng(0)
    scores, costs = rng.random((400, 6)), rng.lognormal(size=(400, 6))
    path = utility_path(scores, costs)
    points = path.spread(costs, 50)
    paid, made = path.totals(costs)[points], np.append(0, path.ends())[points]
    assert (points[0], points[-1]) == (0, len(path.ends()))
    largest = path.steps(costs).max() / (paid[-1] - paid[0])
    assert np.diff(paid).max() / (paid[-1] - paid[0]) <= 2 / 49 + 2 * largest
    assert np.diff(made).max() / made[-1] <= 2 / 49 + 2 / made[-1]


def test_a_rise_for_next_to_no_money_is_still_a_number() -> None:
    path = utility_path(np.array([[0.0, 1.0]]), np.array([[0.0, 5e-324]]))
    assert np.isfinite(path.lambdas()).all()
    assert path.after.tolist() == [1]
