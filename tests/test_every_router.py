"""What every registered router must do, so that a new one is tested by being registered."""

import numpy as np
import pytest

from equirouter.errors import DataError, EquiRouterError
from equirouter.registry import ROUTERS
from equirouter.routers import Router, Validation, make_router
from tests.toys import Toy, fit_described, make_toy

NAMES = ROUTERS.names()
FAST = {"epochs": 3}


def made(name: str) -> Router:
    router = make_router(name)
    for key, value in FAST.items():
        if key in router.settings:
            setattr(router, key, value)
    return router


def inputs(router: Router, toy: Toy) -> np.ndarray:
    """What the router reads: embeddings, one-hot tasks, or the outcomes themselves."""
    if router.reads == "tasks":
        return np.eye(3, dtype=np.float32)[np.arange(len(toy.embeddings)) % 3]
    if router.reads == "outcomes":
        return toy.performance.astype(np.float32)
    return toy.embeddings


def fitted(name: str, toy: Toy, seed: int = 0, *, validated: bool = False) -> Router:
    router = made(name)
    x = inputs(router, toy)
    held_out = Validation(x[:40], toy.performance[:40], toy.cost_usd[:40]) if validated else None
    rng = np.random.default_rng(seed)
    return fit_described(router, toy._replace(embeddings=x), validation=held_out, rng=rng)


@pytest.fixture(scope="module")
def toy() -> Toy:
    return make_toy()


@pytest.mark.parametrize("name", NAMES)
def test_init_only_stores_its_arguments(name: str) -> None:
    router = make_router(name)
    assert vars(router) == router.settings


@pytest.mark.parametrize("name", NAMES)
def test_fit_returns_self_and_predict_gives_one_float32_score_per_model(
    name: str, toy: Toy
) -> None:
    router = made(name)
    x = inputs(router, toy)
    assert fit_described(router, toy._replace(embeddings=x)) is router
    scores = router.predict(x)
    assert scores.shape == toy.performance.shape
    assert scores.dtype == np.float32
    if router.reads != "outcomes":
        assert np.isfinite(scores).all()
    assert router.scores_are in ("expected_performance", "ranking")
    assert router.n_parameters > 0


@pytest.mark.parametrize("name", NAMES)
def test_predict_changes_nothing(name: str, toy: Toy) -> None:
    router = fitted(name, toy)
    before = {key: array.copy() for key, array in router.state().items()}
    settings = dict(router.settings)
    router.predict(inputs(router, toy))
    after = router.state()
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[key], before[key], equal_nan=True) for key in before)
    assert router.settings == settings


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_scores_bit_for_bit(
    name: str, toy: Toy, validated: bool
) -> None:
    first = fitted(name, toy, seed=3, validated=validated)
    second = fitted(name, toy, seed=3, validated=validated)
    x = inputs(first, toy)
    assert first.predict(x).tobytes() == second.predict(x).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_router_predicts_the_same_bit_for_bit(name: str, toy: Toy) -> None:
    router = fitted(name, toy)
    x = inputs(router, toy)
    again = type(router)(**router.settings).restore(router.state())
    assert again.predict(x).tobytes() == router.predict(x).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_query_scores_the_same_alone_and_in_a_batch(name: str, toy: Toy) -> None:
    router = fitted(name, toy)
    x = inputs(router, toy)
    together = router.predict(x)
    alone = np.concatenate([router.predict(x[row : row + 1]) for row in range(20)])
    np.testing.assert_allclose(alone, together[:20], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_no_queries_give_no_scores(name: str, toy: Toy) -> None:
    router = fitted(name, toy)
    assert router.predict(inputs(router, toy)[:0]).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_that_do_not_belong_together_are_refused(name: str, toy: Toy) -> None:
    router = made(name)
    x = inputs(router, toy)
    with pytest.raises(DataError, match="must agree"):
        fit_described(router, toy._replace(embeddings=x[:-1]))
    unknown = toy.performance.copy()
    unknown[:, 1] = np.nan
    with pytest.raises(DataError, match="model 1 has no performance"):
        fit_described(router, Toy(x, unknown, toy.cost_usd))


@pytest.mark.parametrize("name", NAMES)
def test_saving_before_fitting_says_so(name: str) -> None:
    with pytest.raises(EquiRouterError, match="not fitted"):
        make_router(name).state()


@pytest.mark.parametrize("name", [n for n in NAMES if not ROUTERS.load(n).is_anchor])
def test_learned_routers_beat_random_on_a_problem_that_can_be_learned(name: str) -> None:
    train, test = make_toy(seed=1, n=600, missing=0.0), make_toy(seed=1, n=600, missing=0.0)
    router = make_router(name)
    fit_described(router, train.first(400))
    picked = router.predict(test.embeddings[400:]).argmax(axis=1)
    got = test.performance[400:][np.arange(200), picked].mean()
    # at random: the mean over models; always the best model: the largest column mean
    assert got > test.performance[400:].mean(axis=0).max() + 0.1
