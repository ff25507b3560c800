"""LinearRouter against regressions that can be solved by hand."""

import numpy as np
import pytest

from equirouter.arrays import Float32Array, FloatArray
from equirouter.routers import Router, Validation, make_router
from equirouter.routers.linear import cross_fitted, doubly_robust, ridge
from equirouter.testing import make_toy

NAN = float("nan")
LINE = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)


def fitted(
    x: Float32Array, performance: FloatArray, spec: str, validation: Validation | None = None
) -> Router:
    cost_usd = np.where(np.isnan(performance), NAN, 1.0)
    rng = np.random.default_rng(0)
    return make_router(spec).fit(x, performance, cost_usd, validation=validation, rng=rng)


def scores(router: Router, *x: float) -> list[float]:
    return [float(s) for s in router.predict(np.array([x], dtype=np.float32))[0]]


@pytest.mark.parametrize(("alpha", "slope"), [(0, 0.5), (2, 0.25), (6, 0.125)])
def test_the_weight_solves_the_normal_equation(alpha: float, slope: float) -> None:
    # x less its mean: -1, 0, 1; y less its mean: -0.5, 0, 0.5
    # (sum x^2 + alpha) w = sum x y: (2 + alpha) w = 1; the line goes through the means (1, 0.5)
    router = fitted(LINE, np.array([[0.0], [0.5], [1.0]]), f"linear:alpha={alpha}")
    assert scores(router, 1) == pytest.approx([0.5])
    assert scores(router, 3) == pytest.approx([0.5 + 2 * slope])


def test_a_model_learns_from_the_queries_where_it_has_an_outcome() -> None:
    performance = np.array([[0.0, 0.0], [1.0, NAN], [0.0, 1.0]])
    router = fitted(LINE, performance, "linear:alpha=0")
    # model 0: the three points lie on no slope, their mean is 1/3; model 1: from (0, 0) to (2, 1)
    assert scores(router, 4) == pytest.approx([1 / 3, 2.0], abs=1e-6)


def test_models_known_on_the_same_queries_are_solved_as_if_alone() -> None:
    toy = make_toy(missing=0.2)
    together = fitted(toy.embeddings, toy.performance, "linear:alpha=1")
    for model in range(3):
        alone = fitted(toy.embeddings, toy.performance[:, [model]], "linear:alpha=1")
        expected = alone.predict(toy.embeddings)[:, 0]
        np.testing.assert_allclose(together.predict(toy.embeddings)[:, model], expected, atol=1e-5)


def test_each_model_takes_the_penalty_that_is_best_on_validation() -> None:
    # model 0 is a line there as here: the least penalty; model 1 shows the opposite: the largest
    performance = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    turned = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    router = fitted(LINE, performance, "linear", Validation(LINE, turned, np.ones((3, 2))))
    assert router.state()["alpha_"].tolist() == [0.1, 100.0]
    assert scores(router, 2) == pytest.approx([0.5 + 1 / 2.1, 0.5 + 1 / 102])


def test_without_validation_outcomes_the_penalty_is_1() -> None:
    performance = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    known = np.array([[0.0, NAN], [0.5, NAN], [1.0, NAN]])
    router = fitted(LINE, performance, "linear", Validation(LINE, known, known))
    assert router.state()["alpha_"].tolist() == [0.1, 1.0]
    assert fitted(LINE, performance, "linear").state()["alpha_"].tolist() == [1.0, 1.0]


def test_the_original_has_no_penalty_and_takes_the_shortest_weights() -> None:
    # both columns are the same: w0 + w1 = 0.5 fits exactly, (0.25, 0.25) is the shortest such
    twice = np.repeat(LINE, 2, axis=1)
    router = fitted(twice, np.array([[0.0], [0.5], [1.0]]), "linear:original")
    np.testing.assert_allclose(router.state()["coef_"], [[0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize("spec", ["linear", "linear:original", "linear:alpha=3"])
def test_one_query_or_equal_queries_give_the_mean(spec: str) -> None:
    assert scores(fitted(LINE[1:2], np.array([[0.25]]), spec), 7) == pytest.approx([0.25])
    equal = np.ones((4, 2), dtype=np.float32)
    performance = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    assert scores(fitted(equal, performance, spec), 1, 1) == pytest.approx([0.75, 1.0])


def test_a_ridge_of_few_queries_is_that_of_the_normal_equations() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(6, 9)).astype(np.float32), rng.normal(size=(6, 2))
    centred, target = x - x.mean(axis=0, dtype=np.float64), y - y.mean(axis=0)
    for alpha, found in zip((0.5, 3.0), ridge(x, y, (0.5, 3.0))[0], strict=True):
        direct = np.linalg.solve(centred.T @ centred + alpha * np.eye(9), centred.T @ target)
        np.testing.assert_allclose(found, direct.T, rtol=1e-9, atol=1e-12)


NAN = float("nan")


def test_a_doubly_robust_estimate_by_hand() -> None:
    # model 1 was called, predicted 0.4, seen 1.0, chance 0.5: 0.4 + (1.0 - 0.4) / 0.5 = 1.6
    found = doubly_robust(np.array([[0.2, 0.4]]), np.array([[NAN, 1.0]]), np.array([[0.5, 0.5]]))
    assert found.tolist() == [[0.2, pytest.approx(1.6)]]


def test_a_fold_is_predicted_by_the_outcomes_of_the_others() -> None:
    x = np.zeros((4, 1), dtype=np.float32)  # nothing to tell them apart: means of the other fold
    observed = np.array([[0.0, NAN], [1.0, NAN], [0.2, 0.5], [0.4, NAN]])
    found = cross_fitted(x, observed, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(found[:, 0], [0.3, 0.3, 0.5, 0.5])
    np.testing.assert_array_equal(found[:, 1], [0.5, 0.5, NAN, NAN])


def test_where_predictions_are_wrong_the_chances_put_them_right() -> None:
    rng, n = np.random.default_rng(3), 40_000
    easy = rng.random(n) < 0.5
    chances = np.where(easy[:, None], [0.8, 0.2], [0.3, 0.7])
    called = (rng.random(n) > chances[:, 0]).astype(int)
    seen = (rng.random(n) < np.where(easy, 0.9, 0.1)).astype(float)  # both models alike: mean 0.5
    nothing_known = np.zeros((n, 2))
    observed = np.where(np.arange(2) == called[:, None], seen[:, None], np.nan)
    found = doubly_robust(nothing_known, observed, chances)
    assert found.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.03)
    assert seen[called == 0].mean() == pytest.approx(0.68, abs=0.02)  # 0.9 * 8/11 + 0.1 * 3/11
