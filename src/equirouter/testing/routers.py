"""The contract of a router, check by check; the docstring of the folder says how to run them.

A check takes a factory, a callable without arguments that makes an unfitted router, such as its
class. They fit it on problems of at most 400 queries, 3 models and embeddings of width 6.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial
from typing import Any

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.errors import ConfigError, DataError, EquiRouterError
from equirouter.routers import Router, Validation
from equirouter.routers.settings import check_plain
from equirouter.testing.expect import (
    copied,
    expect,
    expect_close,
    expect_error,
    expect_same_bits,
    expect_unchanged,
    global_randomness,
    without,
)
from equirouter.testing.problems import Toy, fit_described, make_toy

RouterFactory = Callable[[], Router]
RouterCheck = Callable[[RouterFactory], None]

N_VALIDATION = 40
N_LEARNED, N_JUDGED = 400, 200


def check_router(make: RouterFactory) -> int:
    """Run ROUTER_CHECKS one after another and return how many there are.

    Raises AssertionError at the first that fails.
    """
    for check in ROUTER_CHECKS:
        check(make)
    return len(ROUTER_CHECKS)


def init_only_stores_its_arguments(make: RouterFactory) -> None:
    """A new router has its settings as attributes, the very objects, and nothing else."""
    router = make()
    kind, arguments = type(router), inspect.signature(type(router)).parameters
    expect(
        vars(router).keys() == arguments.keys(),
        f"after __init__ the attributes are {sorted(vars(router))}: "
        f"expected the keyword arguments {sorted(arguments)}",
    )
    given: dict[str, Any] = {name: object() for name in arguments}  # computing with one would fail
    try:
        stored = vars(kind(**given))
    except ConfigError:  # the router checks the types of its settings
        given = router.settings
        stored = vars(kind(**given))
    except Exception as error:  # whatever it computed
        raise AssertionError(f"__init__ computes: {error}; it only stores, fit learns") from error
    changed = [name for name, value in given.items() if stored.get(name) is not value]
    expect(not changed, f"__init__ stores another object than its argument: {changed}")


def a_setting_of_the_wrong_type_is_refused(make: RouterFactory) -> None:
    """Each field of a dataclass has a type, and a value of another one raises ConfigError.

    A class with an `__init__` of its own need not check.
    """
    kind, settings = type(make()), make().settings
    for name in settings if _has_generated_init(kind) else ():
        wrong = partial(kind, **(settings | {name: object()}))
        expect_error(
            wrong, ConfigError, name, f"the setting {name}, of a type that it does not take"
        )


def presets_can_be_made(make: RouterFactory) -> None:
    """`presets` has "default", and a router can be made from each."""
    kind = type(make())
    arguments = set(inspect.signature(kind).parameters)
    expect("default" in kind.presets, f"presets {sorted(kind.presets)}: expected a default")
    for name, preset in kind.presets.items():
        unknown = sorted(set(preset) - arguments)
        expect(not unknown, f"preset {name!r} sets {unknown}: the router has no such arguments")
        try:
            kind(**preset)
        except ConfigError as error:
            raise AssertionError(f"preset {name!r} has a value that is refused: {error}") from error


def fit_returns_self_and_predict_one_float32_score_per_model(make: RouterFactory) -> None:
    """Scores (N, K) float32, finite although some outcomes are not known."""
    router, toy = make(), make_toy()
    expect(_fit(router, toy) is router, "fit must return self")
    scores = router.predict(_inputs(router, toy))
    shape = toy.performance.shape
    expect(isinstance(scores, np.ndarray), f"predict gave a {type(scores).__name__}")
    expect(scores.shape == shape, f"predict gave scores {scores.shape}: expected {shape}")
    expect(scores.dtype == np.float32, f"predict gave {scores.dtype}: expected float32")
    if router.reads != "outcomes":
        expect(bool(np.isfinite(scores).all()), "scores must be finite; NaN is an unknown outcome")
    expect(
        router.scores_are in ("expected_performance", "ranking"),
        f"scores_are is {router.scores_are!r}: expected expected_performance or ranking",
    )
    expect(router.n_parameters > 0, "n_parameters must be above 0 after fit")


def fit_changes_none_of_its_arguments(make: RouterFactory) -> None:
    """Embeddings, performance and cost_usd of both parts are as they were."""
    router, toy = make(), make_toy()
    before = copied(toy._asdict())
    _fit(router, toy, validated=True)
    expect_unchanged(toy._asdict(), before, "fit changed its argument")


def fit_twice_is_fit_once(make: RouterFactory) -> None:
    """An earlier fit leaves no trace."""
    router, toy = make(), make_toy()
    other = make_toy(n=90, seed=5)
    scores = _fit(_fit(router, other), toy).predict(_inputs(router, toy))
    once = _fit(make(), toy).predict(_inputs(router, toy))
    expect_same_bits(scores, once, "a second fit, beside a new router's fit on the same data")


def the_same_seed_gives_the_same_bits(make: RouterFactory) -> None:
    """All randomness comes from rng, with a validation part and without."""
    toy = make_toy()
    for validated in (False, True):
        routers = [_fit(make(), toy, seed=3, validated=validated) for _ in range(2)]
        first, second = (router.predict(_inputs(router, toy)) for router in routers)
        expect_same_bits(first, second, f"two fits with the same seed, validation: {validated}")


def global_randomness_is_left_alone(make: RouterFactory) -> None:
    """The generators of numpy.random, random and torch are neither seeded nor drawn from."""
    toy = make_toy()
    before = global_randomness()
    router = _fit(make(), toy)
    router.predict(_inputs(router, toy))
    after = global_randomness()
    moved = [name for name, state in before.items() if after[name] != state]
    expect(not moved, f"fit or predict uses the global generator of {moved}: use rng")


def predict_changes_nothing(make: RouterFactory) -> None:
    """Neither what was learned, nor the settings, nor the queries; twice gives the same bits."""
    toy = make_toy()
    router = _fit(make(), toy)
    x = _inputs(router, toy)
    before = copied(router.state() | {"the queries": x})
    settings = dict(router.settings)
    scores = router.predict(x)
    expect_unchanged(router.state() | {"the queries": x}, before, "predict changed")
    expect(router.settings == settings, "predict changed the settings")
    expect_same_bits(router.predict(x), scores, "a second predict")


def a_router_can_be_saved(make: RouterFactory) -> None:
    """Settings go through JSON, learned arrays through safetensors; the scores stay bit for bit."""
    from safetensors.numpy import load, save

    toy = make_toy()
    router = _fit(make(), toy)
    x = _inputs(router, toy)
    state, settings = router.state(), router.settings
    learned: dict[str, object] = dict(state)  # the types may promise too much
    for name, value in learned.items():
        numbers = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
        expect(numbers, f"learned {name!r} is a {type(value).__name__}: expected array of numbers")
    try:
        read = json.loads(json.dumps(settings))
    except TypeError as error:
        raise AssertionError(f"settings {settings} cannot be written: {error}") from error
    try:
        check_plain(type(router), settings)
    except ConfigError as error:
        raise AssertionError(f"settings {settings} cannot be saved: {error}") from error
    arrays = load(save({name: np.asarray(array, order="C") for name, array in state.items()}))
    again = type(router)(**read).restore(arrays)
    expect_same_bits(again.predict(x), router.predict(x), "scores of a restored router")


def saving_before_fitting_is_refused(make: RouterFactory) -> None:
    """`state` says that nothing was learned."""
    expect_error(lambda: make().state(), EquiRouterError, "not fitted", "state() before fit")


def predict_needs_no_torch(make: RouterFactory) -> None:
    """Serving a router does not take the packages that trained it."""
    toy = make_toy()
    router = _fit(make(), toy)
    again = type(router)(**router.settings).restore(router.state())
    with without("torch"):
        try:
            again.predict(_inputs(again, toy))
        except ImportError as error:
            raise AssertionError(f"predict imports torch: {error}; only fit may") from error


def a_query_scores_the_same_alone_and_in_any_batch(make: RouterFactory) -> None:
    """No score depends on the other queries, or on their order."""
    toy = make_toy()
    router = _fit(make(), toy)
    x = _inputs(router, toy)
    together = router.predict(x)
    tolerance = 1e-5 * max(1.0, float(np.nanmax(np.abs(together))))
    alone = np.concatenate([router.predict(x[row : row + 1]) for row in range(20)])
    expect_close(alone, together[:20], tolerance, "scores of queries alone and in a batch")
    backwards = router.predict(np.ascontiguousarray(x[::-1]))[::-1]
    expect_close(backwards, together, tolerance, "scores of queries in the opposite order")


def no_queries_give_no_scores(make: RouterFactory) -> None:
    """(0, d) in, (0, K) out."""
    toy = make_toy()
    router = _fit(make(), toy)
    shape = router.predict(_inputs(router, toy)[:0]).shape
    expect(shape == (0, 3), f"no queries gave scores {shape}: expected (0, 3)")


def bad_training_data_is_refused(make: RouterFactory) -> None:
    """Shapes that do not belong together, and a model without outcomes; see check_training."""
    toy = make_toy()
    short = _inputs(make(), toy)[:-1]
    expect_error(lambda: _fit(make(), toy, x=short), DataError, "must agree", "a query too few")
    unknown = toy.performance.copy()
    unknown[:, 1] = np.nan
    hollow = toy._replace(performance=unknown)
    words = "model 1 has no performance"
    expect_error(lambda: _fit(make(), hollow), DataError, words, "a model without outcomes")


def the_graph_is_what_predict_does(make: RouterFactory) -> None:
    """Where `add_to_graph` gives a graph, running it gives the scores of `predict`."""
    import onnxruntime

    from equirouter.onnxgraph import OnnxGraph

    toy = make_toy()
    router = _fit(make(), toy)
    x = _inputs(router, toy)
    graph = OnnxGraph()
    scores = router.add_to_graph(graph, "embeddings")
    if scores is None:
        return
    graph.rename(scores, "scores")
    model = graph.serialized("router", {"embeddings": ["n", x.shape[1]]}, {"scores": ["n", 3]})
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    computed = session.run(["scores"], {"embeddings": x})[0]
    expected = router.predict(x)
    tolerance = 1e-5 * max(1.0, float(np.abs(expected).max()))
    expect_close(computed, expected, tolerance, "scores of the graph and of predict")


def it_learns_what_can_be_learned(make: RouterFactory) -> None:
    """On unseen queries it picks better than the strongest model alone does, by 0.1 at least.

    Anchors are left out: they learn nothing of the queries.
    """
    if make().is_anchor:
        return
    scores, judged = _unseen(make())
    got = judged.performance[np.arange(N_JUDGED), scores.argmax(axis=1)].mean()
    strongest = judged.performance.mean(axis=0).max()
    expect(
        bool(got > strongest + 0.1),
        f"the best scores get {got:.3f}, the strongest model alone {strongest:.3f}: "
        "expected 0.1 more",
    )


def scores_are_what_they_say(make: RouterFactory) -> None:
    """Scores that estimate performance have its mean, per model, within 0.15."""
    if make().is_anchor or make().scores_are == "ranking":
        return
    scores, judged = _unseen(make())
    expect_close(
        scores.mean(axis=0, dtype=np.float64),
        judged.performance.mean(axis=0),
        0.15,
        "mean score and mean performance per model, as scores_are is expected_performance",
    )


def fewer_models_score_as_before(make: RouterFactory) -> None:
    """Without one of its models a router scores the others as it did, or refuses to go on."""
    toy = make_toy()
    router = _fit(make(), toy)
    x, columns = _inputs(router, toy), np.array([2, 0])
    if not router.model_axes:
        expect_error(lambda: router.with_models(columns), ConfigError, "train again", "no axes")
        return
    before = router.predict(x)
    fewer = router.with_models(columns).predict(x)
    expect_same_bits(router.predict(x), before, "with_models changed the router itself")
    expect(fewer.shape == (len(x), 2), f"scores of two models are {fewer.shape}")
    if router.scores_are == "expected_performance":  # others may rank among all that are there
        expect_close(fewer, before[:, columns], 1e-5, "scores of the models that are left")


ROUTER_CHECKS: tuple[RouterCheck, ...] = (
    init_only_stores_its_arguments,
    a_setting_of_the_wrong_type_is_refused,
    presets_can_be_made,
    fit_returns_self_and_predict_one_float32_score_per_model,
    fit_changes_none_of_its_arguments,
    fit_twice_is_fit_once,
    the_same_seed_gives_the_same_bits,
    global_randomness_is_left_alone,
    predict_changes_nothing,
    a_router_can_be_saved,
    saving_before_fitting_is_refused,
    predict_needs_no_torch,
    a_query_scores_the_same_alone_and_in_any_batch,
    no_queries_give_no_scores,
    bad_training_data_is_refused,
    the_graph_is_what_predict_does,
    it_learns_what_can_be_learned,
    scores_are_what_they_say,
    fewer_models_score_as_before,
)


def _inputs(router: Router, toy: Toy) -> Float32Array:
    """Input of the router: embeddings, one-hot tasks, or the outcomes themselves."""
    if router.reads == "tasks":
        return np.eye(3, dtype=np.float32)[np.arange(len(toy.embeddings)) % 3]
    if router.reads == "outcomes":
        return toy.performance.astype(np.float32)
    return toy.embeddings


def _fit(
    router: Router,
    toy: Toy,
    seed: int = 0,
    *,
    validated: bool = False,
    x: Float32Array | None = None,
) -> Router:
    """The only place where a check fits; validated: the first queries are the validation part.

    x: to give in place of the input that the router reads.
    """
    x, rows = _inputs(router, toy) if x is None else x, slice(N_VALIDATION)
    held_out = Validation(x[rows], toy.performance[rows], toy.cost_usd[rows])
    return fit_described(
        router,
        toy._replace(embeddings=x),
        validation=held_out if validated else None,
        rng=np.random.default_rng(seed),
    )


def _unseen(router: Router) -> tuple[Float32Array, Toy]:
    """Scores of N_JUDGED queries outside the training part, and those queries."""
    toy = make_toy(n=N_LEARNED + N_JUDGED, seed=1, missing=0.0)
    judged = toy.after(N_LEARNED)
    _fit(router, toy.first(N_LEARNED))
    return router.predict(judged.embeddings), judged


def _has_generated_init(kind: type) -> bool:
    owner = next(base for base in kind.__mro__ if "__init__" in vars(base))
    return is_dataclass(owner) and "__dataclass_fields__" in vars(owner)
