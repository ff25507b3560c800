"""A new model from few labels: the estimate, and how each router takes it in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError, DataError
from equirouter.registry import ROUTERS
from equirouter.routers import Router, make_router
from equirouter.routers.new_model import Labelled, fit_estimate
from equirouter.routers.scale import fit_scale
from equirouter.testing.problems import fit_described, make_toy

TAKES_IN = ("factors", "equirouter", "linear", "mlp", "knn", "svm", "avengerspro")


def made_up(n: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Estimates for three models (n, 3), and features (n, 5)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, (n, 3)), rng.standard_normal((n, 5))


def test_a_model_that_does_as_another_follows_it() -> None:
    predictions, features = made_up(60)
    labels = predictions[:, 1] - 0.2
    found = fit_estimate(predictions, features, labels)
    np.testing.assert_allclose(found.weights, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found.coef, 0, atol=1e-6)
    assert found.level == pytest.approx(-0.2)
    more = made_up(20, seed=1)
    np.testing.assert_allclose(found.of(*more), more[0][:, 1] - 0.2, atol=1e-6)


def test_a_model_that_costs_three_times_as_much_as_another() -> None:
    predictions, features = made_up(60)
    noise = 1e-3 * np.random.default_rng(3).standard_normal(60)
    found = fit_estimate(predictions, features, 3 * predictions[:, 2] + noise, scaled=True)
    np.testing.assert_allclose(found.weights, [0, 0, 3], atol=0.01)


def test_what_the_others_do_not_tell_is_learned_from_the_features() -> None:
    predictions, features = made_up(400)
    noise = 0.1 * np.random.default_rng(3).standard_normal(400)
    labels = 0.5 + features @ [0.5, 0, 0, 0, -0.5] + noise
    found = fit_estimate(predictions, features, labels)
    np.testing.assert_allclose(found.coef, [0.5, 0, 0, 0, -0.5], atol=0.03)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_labels_without_a_pattern_give_about_their_mean(seed: int) -> None:
    predictions, features = made_up(40, seed)
    labels = np.random.default_rng([seed, 1]).permutation(np.arange(40) % 2).astype(float)
    found = fit_estimate(predictions, features, labels)
    more = made_up(2000, seed=5)
    assert abs(found.of(*more).mean() - 0.5) < 0.25
    assert found.weights.sum() <= 1 + 1e-9


def test_more_labels_than_features_are_fitted_in_the_same_way() -> None:
    # 5 features for 12 labels, and the same 5 four times: 20, of the same length together
    predictions, features = made_up(12)
    twice = np.hstack([features, features])
    labels = features @ [1.0, 0, -1, 0, 0] + 0.1 * np.random.default_rng(3).standard_normal(12)
    more = made_up(30, seed=1)
    narrow = fit_estimate(predictions, features, labels)
    wide = fit_estimate(predictions, np.hstack([twice, twice]), labels)  # 20 features, 12 labels
    assert narrow.coef.any()
    np.testing.assert_allclose(
        wide.of(more[0], np.hstack([more[1]] * 4)), narrow.of(*more), atol=1e-6
    )


def test_labels_that_are_all_the_same() -> None:
    predictions, features = made_up(30)
    found = fit_estimate(predictions, features, np.ones(30))
    np.testing.assert_allclose(found.of(predictions, features), 1.0)


def test_what_does_not_help_on_labels_left_out_is_not_learned() -> None:
    # by chance these 15 labels have some evidence of a slope; leaving one out tells otherwise
    rng = np.random.default_rng(7)
    features, labels = rng.standard_normal((15, 4)), rng.standard_normal(15)
    found = fit_estimate(np.zeros((15, 1)), features, labels)
    assert not found.coef.any()
    assert found.level == pytest.approx(labels.mean())


def test_few_labels_are_refused() -> None:
    predictions, features = made_up(9)
    with pytest.raises(DataError, match="9 labelled queries: at least 10"):
        fit_estimate(predictions, features, np.ones(9))


def fitted(name: str) -> tuple[Router, Float32Array, FloatArray]:
    """A router of the first two models of a toy problem, its queries and all three outcomes."""
    toy = make_toy(n=600, missing=0.0)
    router = make_router(name)
    two = toy._replace(performance=toy.performance[:, :2], cost_usd=toy.cost_usd[:, :2])
    fit_described(router, two.first(300), validation=None, rng=np.random.default_rng(0))
    return router, toy.embeddings, toy.performance


def labelled(router: Router, x: Float32Array, performance: FloatArray, n: int = 150) -> Labelled:
    """The outcomes of the third model on n queries, some of them new."""
    scores = router.predict(x[:300]).astype(np.float64)
    centred = router.scores_are == "ranking"
    scale = fit_scale(scores, performance[:300, :2], centred=centred)
    others = scores[:200].astype(np.float32)
    return Labelled(x[250 : 250 + n], performance[250 : 250 + n, 2], x[:200], others, scale)


@pytest.mark.parametrize("name", TAKES_IN)
def test_a_router_takes_a_model_in(name: str) -> None:
    router, x, performance = fitted(name)
    before = router.predict(x)
    seen = labelled(router, x, performance)
    more, found, estimates = router.with_added(seen)
    assert router.predict(x).tobytes() == before.tobytes()  # the router itself is as it was
    scores = more.predict(x)
    assert scores.shape == (600, 3)
    np.testing.assert_allclose(scores[:, :2], before, atol=1e-5)
    assert estimates.shape == (200,)
    assert found.weights.shape == (2,)
    again = type(more)(**more.settings).restore(more.state())
    assert again.predict(x).tobytes() == scores.tobytes()
    # on queries that it has not seen it knows more than the mean
    unseen, truth = slice(400, 600), performance[400:, 2]
    if router.scores_are == "ranking":
        truth_of_all = np.column_stack([performance[:200, :2], estimates])
        scale = fit_scale(more.predict(x[:200]).astype(np.float64), truth_of_all, centred=True)
        guess = scale.apply(scores[unseen].astype(np.float64))[:, 2]
    else:
        guess = scores[unseen, 2].astype(np.float64)
    mean = performance[250:400, 2].mean()
    share = 0.9 if router.scores_are == "ranking" else 0.8  # two models say little of the scale
    assert ((guess - truth) ** 2).mean() < share * ((mean - truth) ** 2).mean()


@pytest.mark.parametrize("name", [name for name in ROUTERS.names() if name not in TAKES_IN])
def test_the_others_say_that_they_cannot(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot take in a model without training"):
        make_router(name).with_added(
            Labelled(
                np.ones((20, 6), np.float32),
                np.ones(20),
                np.ones((5, 6), np.float32),
                np.ones((5, 2), np.float32),
                None,
            )
        )


@pytest.mark.parametrize("name", ["svm:original", "avengerspro:original:n_clusters=8"])
def test_presets_that_only_rank_cannot(name: str) -> None:
    router, x, performance = fitted(name)
    with pytest.raises(ConfigError, match="whose scores only rank cannot"):
        router.with_added(labelled(router, x, performance))


def test_a_first_stage_cannot_take_a_model_in() -> None:
    toy = make_toy(n=60, missing=0.0)
    router = make_router("equirouter", epochs=1, first_stage=2)
    router.fit(toy.embeddings, toy.performance, toy.cost_usd, rng=np.random.default_rng(0))
    others = router.predict(toy.embeddings[20:])
    seen = Labelled(toy.embeddings[:20], toy.performance[:20, 0], toy.embeddings[20:], others, None)
    with pytest.raises(ConfigError, match="with a first stage"):
        router.with_added(seen)
