"""FactorRouter against problems whose factors are known."""

import numpy as np
import pytest

from equirouter.arrays import Float32Array, FloatArray
from equirouter.routers import Router, make_router
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
    router = fitted(x, performance, "factors:max_factors=2")
    assert router.state()["models_"].shape == (50, 2)
    assert router.n_parameters == 2 * 6 + 50 * 2 + 50
    np.testing.assert_allclose(router.predict(x), performance, atol=0.02)


def test_constant_outcomes_are_their_mean() -> None:
    x = directions(40, 4, seed=6)
    assert fitted(x, np.ones((40, 3))).predict(x) == pytest.approx(np.ones((40, 3)), abs=1e-6)
