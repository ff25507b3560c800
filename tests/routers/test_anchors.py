"""The anchors, by hand."""

import numpy as np

from equirouter.routers import make_router

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
