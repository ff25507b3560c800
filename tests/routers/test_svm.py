"""SVMRouter on points whose machines can be worked out by hand."""

import numpy as np
import pytest

from equirouter.arrays import FloatArray
from equirouter.errors import FitError
from equirouter.routers import Router, make_router
from equirouter.testing import make_toy

pytest.importorskip("sklearn", reason="the extra train is not installed")
NAN = float("nan")
SAME = np.zeros((4, 1), dtype=np.float32)  # nothing to see: only the intercept can learn
MOSTLY_RIGHT = np.array([[1.0], [1.0], [1.0], [0.0]])


def fitted(spec: str, performance: FloatArray, x: np.ndarray = SAME) -> Router:
    cost_usd = np.where(np.isnan(performance), NAN, 1.0)
    return make_router(spec).fit(x, performance, cost_usd, rng=np.random.default_rng(0))


def score(router: Router) -> float:
    return float(router.predict(SAME[:1])[0, 0])


def test_absolute_errors_estimate_the_median_and_squared_ones_the_mean() -> None:
    # right on 3 of 4: the median is 1, the mean 0.75; c = 1000 makes the penalty vanish
    original = fitted("svm:original:c=1000", MOSTLY_RIGHT)
    assert score(original) == pytest.approx(1.0, abs=1e-2)
    assert original.scores_are == "ranking"
    squared = fitted("svm:epsilon=0:c=1000", MOSTLY_RIGHT)
    assert score(squared) == pytest.approx(0.75, abs=1e-2)
    assert squared.scores_are == "expected_performance"


def test_the_estimate_is_within_epsilon_of_the_mean() -> None:
    # 3 (1 - f - 0.1) = 1 (f - 0.1), so f = 0.7
    assert score(fitted("svm:epsilon=0.1:c=1000", MOSTLY_RIGHT)) == pytest.approx(0.7, abs=1e-2)


def test_the_penalty_is_weighed_against_c() -> None:
    # minimise f^2 / 2 + c (3 (1 - f)^2 + f^2): f + c (8 f - 6) = 0, so f = 6 c / (1 + 8 c)
    assert score(fitted("svm:epsilon=0:c=0.5", MOSTLY_RIGHT)) == pytest.approx(0.6, abs=1e-3)


def test_a_model_learns_from_the_queries_where_it_has_an_outcome() -> None:
    performance = np.hstack([MOSTLY_RIGHT, np.array([[NAN], [0.5], [NAN], [0.5]])])
    both = fitted("svm:epsilon=0:c=1000", performance).predict(SAME[:1])[0]
    assert both.tolist() == pytest.approx([0.75, 0.5], abs=1e-2)


@pytest.mark.parametrize("spec", ["svm", "svm:original"])
def test_one_query_and_one_model_are_enough(spec: str) -> None:
    router = fitted(spec, np.array([[1.0]]), SAME[:1])
    assert router.predict(SAME).shape == (4, 1)


def test_the_original_ranks_too() -> None:
    toy = make_toy(n=600, missing=0.0)
    router = fitted("svm:original", toy.performance[:400], toy.embeddings[:400])
    picked = router.predict(toy.embeddings[400:]).argmax(axis=1)
    got = toy.performance[400:][np.arange(200), picked].mean()
    assert got > toy.performance[400:].mean(axis=0).max() + 0.1


def test_a_machine_that_does_not_converge_is_an_error() -> None:
    toy = make_toy()
    router = make_router("svm:original:max_iter=1:c=1000")
    with pytest.raises(FitError, match=r"model 0 did not converge in 1 iterations"):
        router.fit(toy.embeddings, toy.performance, toy.cost_usd, rng=np.random.default_rng(0))
