"""FactorRouter against problems whose factors are known."""

import numpy as np
import pytest

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import DataError
from equirouter.routers import Router, make_router
from equirouter.routers.factors import FactorRouter
from equirouter.routers.ridge import PENALTIES, fit_lines, spectrum
from equirouter.testing import make_toy


def fitted(x: Float32Array, performance: FloatArray, spec: str = "factors") -> Router:
    cost_usd = np.where(np.isnan(performance), np.nan, 1.0)
    return make_router(spec).fit(x, performance, cost_usd, rng=np.random.default_rng(0))


def directions(n: int, d: int, seed: int) -> Float32Array:
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)


def test_outcomes_of_one_factor_are_predicted_nearly_exactly() -> None:
    x = directions(500, 5, seed=1)
    factor = x @ np.array([3.0, -1.0, 0.5, 0.0, 2.0])
    performance = 0.5 + factor[:, None] * np.array([[0.1, 0.2, -0.1]])
    found = fitted(x, performance).predict(x)
    np.testing.assert_allclose(found, performance, atol=0.02)


def test_models_that_differ_by_chance_alone_keep_the_difference_of_their_means() -> None:
    rng = np.random.default_rng(2)
    x = directions(800, 20, seed=3)
    hard = 0.5 + 0.3 * x[:, :1] / np.abs(x[:, :1]).max()  # the same for both
    performance = (rng.random((800, 2)) < hard).astype(float)
    found = fitted(x, performance).predict(directions(200, 20, seed=4))
    gap = found[:, 0] - found[:, 1]
    assert gap.std() < 0.02  # ridge per model with a small penalty spreads it to 0.1
    assert gap.mean() == pytest.approx(
        performance[:, 0].mean() - performance[:, 1].mean(), abs=0.02
    )
    spread = fitted(x, performance, "linear:alpha=0.1").predict(directions(200, 20, seed=4))
    assert (spread[:, 0] - spread[:, 1]).std() > 0.1


def test_unknown_cells_take_no_part() -> None:
    # What is behind a gap can be anything; half of the cells are gaps
    toy = make_toy(n=600, d=8, k=6, missing=0.5)
    whole = make_toy(n=600, d=8, k=6, missing=0.0)
    train, test = slice(0, 400), slice(400, None)
    with_gaps = fitted(toy.embeddings[train], toy.performance[train])
    error = (with_gaps.predict(whole.embeddings[test]) - whole.performance[test]) ** 2
    assert error.mean() < 0.6 * whole.performance[test].var()
    assert with_gaps.predict(whole.embeddings[test]).std() > 0.2  # not shrunk to the means


def test_a_pool_of_many_models_keeps_the_factors_of_most_variance() -> None:
    x = directions(300, 6, seed=5)
    performance = np.tile(x[:, :1] * np.linspace(-1, 1, 50), 1) + 0.5
    router = fitted(x, performance, "factors:max_factors=2")  # of each of the two targets
    assert router.state()["models_"].shape == (50, 4)
    assert router.n_parameters == 4 * 6 + 50 * 4 + 50
    np.testing.assert_allclose(router.predict(x), performance, atol=0.02)


def test_constant_outcomes_are_their_mean() -> None:
    x = directions(40, 4, seed=6)
    assert fitted(x, np.ones((40, 3))).predict(x) == pytest.approx(np.ones((40, 3)), abs=1e-6)


def test_a_column_has_the_penalty_that_misses_least_when_each_query_is_left_out() -> None:
    """Of the ridges that are fitted without a query, the one that misses least over all of them."""
    toy = make_toy(n=40, d=3, k=2, missing=0.0)
    x, y = toy.embeddings.astype(np.float64), toy.performance
    told = np.empty((len(PENALTIES), *y.shape))
    for row in range(len(x)):
        others = np.delete(np.arange(len(x)), row)
        centre, level = x[others].mean(axis=0), y[others].mean(axis=0)
        centred = x[others] - centre
        for place, penalty in enumerate(PENALTIES):
            coef = np.linalg.solve(
                centred.T @ centred + penalty * np.eye(3), centred.T @ (y[others] - level)
            )
            told[place, row] = level + (x[row] - centre) @ coef
    best = ((told - y) ** 2).sum(axis=1).argmin(axis=0)
    assert len(set(best)) == 2  # each column chooses for itself
    held_out = fit_lines(spectrum(toy.embeddings), y).held_out
    np.testing.assert_allclose(held_out, told[best, :, [0, 1]].T, atol=1e-6)


def test_where_nothing_tells_queries_apart_each_is_expected_to_be_as_the_others() -> None:
    targets = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    lines = fit_lines(spectrum(np.full((4, 3), 0.5)), targets)
    assert not lines.coef.any()
    np.testing.assert_allclose(lines.level, [0.5, 0.5])
    np.testing.assert_allclose(lines.held_out, (targets.sum(axis=0) - targets) / 3)


def with_tasks(n: int, seed: int) -> tuple[Float32Array, Float32Array, FloatArray]:
    """Two tasks at opposite ends of the first direction; each model is good at one."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4)) * 0.3
    second = rng.random(n) < 0.5
    x[:, 0] += np.where(second, 1.0, -1.0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    right = np.where(second[:, None], [0.2, 0.9], [0.9, 0.2])
    tasks = np.stack([~second, second], axis=1).astype(np.float32)
    return x.astype(np.float32), tasks, (rng.random((n, 2)) < right).astype(float)


def test_a_task_is_told_from_the_text_when_deciding() -> None:
    x, tasks, performance = with_tasks(400, seed=7)
    router = FactorRouter()
    router.fit(x, performance, performance, tasks=tasks, rng=np.random.default_rng(0))
    assert router.state()["tasks_"].shape == (2, 4)
    new, new_tasks, _ = with_tasks(200, seed=8)
    scores = router.predict(new)  # of the text alone
    assert (scores.argmax(axis=1) == new_tasks.argmax(axis=1)).mean() > 0.95
    without = FactorRouter(tasks=False)
    without.fit(x, performance, performance, tasks=tasks, rng=np.random.default_rng(0))
    assert without.state()["tasks_"].shape == (0, 4)
    assert not np.array_equal(without.predict(new), scores)


def test_the_second_target_is_how_far_a_model_is_behind_the_best() -> None:
    # Both models fail on hard queries, so neither is behind there: only the easy half tells them
    # apart, and by the second target alone they are level on a hard query.
    rng = np.random.default_rng(9)
    hard = rng.random(600) < 0.5
    x = np.where(hard[:, None], [1.0, 0.0], [0.0, 1.0]).astype(np.float32)
    performance = np.where(hard[:, None], 0.0, [[0.5, 1.0]])
    router = FactorRouter(regret=1.0)
    scores = router.fit(x, performance, performance, rng=rng).predict(x)
    gap = scores[:, 1] - scores[:, 0]
    assert gap[hard] == pytest.approx(0.0, abs=0.01)
    assert gap[~hard] == pytest.approx(0.5, abs=0.01)


def test_tasks_of_other_queries_are_refused() -> None:
    x, tasks, performance = with_tasks(40, seed=10)
    with pytest.raises(DataError, match="tasks of 39 queries, embeddings of 40"):
        FactorRouter().fit(
            x, performance, performance, tasks=tasks[:39], rng=np.random.default_rng(0)
        )
