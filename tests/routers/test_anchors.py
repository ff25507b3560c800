"""The anchors, by hand."""

import numpy as np
import pytest

from equirouter.policy import BudgetPolicy, UtilityPolicy
from equirouter.routers import make_router
from equirouter.routers.anchors import MixtureRouter

NAN = float("nan")
PERFORMANCE = np.array([[1.0, 0.0], [1.0, 1.0], [NAN, 1.0], [0.0, 1.0]])
COST = np.array([[3.0, 1.0], [3.0, 1.0], [NAN, 9.0], [3.0, 1.0]])
X = np.eye(4, dtype=np.float32)


def scores(name: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    router = make_router(name).fit(train, PERFORMANCE, COST, rng=np.random.default_rng(0))
    return router.predict(test)


def test_strongest_scores_are_means_of_known_outcomes() -> None:
    np.testing.assert_allclose(scores("strongest", X, X[:2]), [[2 / 3, 3 / 4]] * 2, rtol=1e-6)


def test_cheapest_ranks_by_mean_cost() -> None:
    # mean costs 3 and (1 + 1 + 9 + 1) / 4 = 3; equal means keep the order of the columns
    assert scores("cheapest", X, X[:1]).argmax() == 0


def test_task_scores_are_the_means_of_the_task() -> None:
    tasks = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]  # the third task has no training query
    got = scores("task", tasks, np.eye(3, dtype=np.float32))
    # task 0: rows 0 and 1. task 1: rows 2 and 3, model 0 known in row 3 only. task 2: all rows
    np.testing.assert_allclose(got, [[1.0, 0.5], [0.0, 1.0], [2 / 3, 3 / 4]], rtol=1e-6)


def test_random_order_is_uniform_and_belongs_to_the_query() -> None:
    rng = np.random.default_rng(1)
    train = rng.standard_normal((4, 8)).astype(np.float32)
    queries = rng.standard_normal((20_000, 8)).astype(np.float32)
    got = scores("random", train, queries)
    assert got.min() >= 0
    assert got.max() < 1
    first = (got[:, 0] > got[:, 1]).mean()
    assert abs(first - 0.5) < 0.02  # 4 standard errors of a fair coin: 0.014
    assert abs(np.corrcoef(got.T)[0, 1]) < 0.04
    np.testing.assert_array_equal(scores("random", train, queries[5:6])[0], got[5])


def test_the_oracle_returns_what_it_is_given() -> None:
    truth = PERFORMANCE.astype(np.float32)
    np.testing.assert_array_equal(scores("oracle", truth, truth), truth)


def test_a_mixture_takes_one_of_two_models_of_the_hull_by_chance() -> None:
    # (cost, performance): (1, 0.2), (2, 0.25), (4, 0.8): the second lies below the others' line
    performance = np.tile([0.2, 0.25, 0.8], (5, 1))
    cost = np.tile([1.0, 2.0, 4.0], (5, 1))
    noise = np.random.default_rng(0).random((1000, 4), dtype=np.float32)
    made = make_router("mixture").fit(noise[:5], performance, cost, rng=np.random.default_rng(0))
    assert isinstance(made, MixtureRouter)
    decided_by = made.costs(noise)
    assert (decided_by / [1.0, 2.0, 4.0]).min() >= 1.0
    assert (decided_by / [1.0, 2.0, 4.0]).max() <= 1.01
    scores = made.predict(noise)
    for path in (
        UtilityPolicy().path(scores, decided_by),
        BudgetPolicy().path(scores, decided_by),
    ):
        assert path is not None
        # one query after the other, from always the first model to always the third
        assert path.totals(np.tile([1.0, 2.0, 4.0], (1000, 1))).tolist() == pytest.approx(
            np.linspace(1000, 4000, 1001).tolist()
        )
        assert (path.start == 0).all()
        assert (path.after == 2).all()
        early = path.query[:500]  # in an order that no query's text decides
        assert 0.4 < (early < 500).mean() < 0.6
