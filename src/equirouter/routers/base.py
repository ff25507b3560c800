"""The contract of a router: scores for every model on every query, learned from outcomes."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import ConfigError, DataError, PipelineError
from equirouter.onnxgraph import OnnxGraph
from equirouter.registry import ROUTERS
from equirouter.routers.new_model import Labelled, LinearEstimate
from equirouter.routers.settings import check_settings

ScoresAre = Literal["expected_performance", "ranking"]


class Validation(NamedTuple):
    """A part of the data: embeddings (V, d), performance and cost_usd (V, K), NaN = not known."""

    embeddings: Float32Array
    performance: FloatArray
    cost_usd: FloatArray


class Training(NamedTuple):
    """The arguments of a router's `fit`, once they are checked."""

    outcomes: Validation
    validation: Validation | None
    rng: np.random.Generator
    descriptions: Float32Array = np.empty((0, 0), dtype=np.float32)
    """Of the models (K, d), where the router reads any."""
    tasks: Float32Array | None = None
    """Of the queries (N, n_tasks), where the router reads any and they are known."""


class LearnedState:
    """An object of settings, the keyword arguments that make it, and of learned arrays.

    A learned attribute ends in an underscore and is a NumPy array or a dict of them. Saving and
    loading follow from that.
    """

    held_out: FloatArray | None = None
    """What it would say of each row that it learned from, had it not seen that row, where it knows
    that; None before `fit`, and in one that was loaded."""

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that make an equal, unfitted one."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def state(self) -> dict[str, NDArray[Any]]:
        """The learned arrays by name; `restore` takes them back."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, value in vars(self).items():
            if not name.endswith("_"):
                continue
            if isinstance(value, dict):
                arrays |= {f"{name}.{key}": array for key, array in value.items()}
            else:
                arrays[name] = value
        if not arrays:
            raise DataError(f"{type(self).__name__} is not fitted: call fit first")
        return arrays

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave, on one with the same settings. Returns self."""
        for name, array in state.items():
            attribute, _, key = name.partition(".")
            if not attribute.endswith("_"):
                raise PipelineError(f"{type(self).__name__} has no learned array {name!r}")
            if key:
                vars(self).setdefault(attribute, {})[key] = array
            else:
                setattr(self, attribute, array)
        return self


class Router(LearnedState, ABC):
    """Scores K models for a query from its embedding; a policy turns the scores into a choice.

    A subclass follows three rules, which the conformance suite checks. Its settings are the fields
    of a dataclass, `@dataclass(kw_only=True, eq=False)`, whose types are checked when a router is
    made; a router without settings needs no dataclass. `fit` learns attributes that end in an
    underscore, each a NumPy array or a dict of them. `predict` only reads. Saving and loading
    follow from that.
    """

    reads: ClassVar[Literal["embeddings", "tasks", "outcomes", "noise"]] = "embeddings"
    """Input of `predict`: query embeddings; for anchors one-hot tasks, the truth, or noise."""

    is_anchor: ClassVar[bool] = False
    """Anchors stand beside the routers in every table; a run always measures them."""

    fitted_with: ClassVar[tuple[str, ...]] = ()
    """Import names of the packages beside the core that `fit` needs; `predict` needs none."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"default": {}})
    """Named sets of keyword arguments, written NAME:PRESET on the command line."""

    needs_no_graph: ClassVar[bool] = False
    """Whether `predict` gives a query the same bits alone and in any batch, and takes no longer
    than a graph: then it is what decides."""

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType({})
    """The axis along which learned arrays have the models, by their names in `state`; arrays that
    are not named have none. Empty: which models a router has cannot be changed after training."""

    def __post_init__(self) -> None:
        """Check the settings; raises ConfigError. A subclass that checks more calls this first."""
        check_settings(type(self), vars(self))

    @property
    @abstractmethod
    def scores_are(self) -> ScoresAre:
        """Whether scores estimate performance, or only order the models of a query."""

    @abstractmethod
    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from embeddings (N, d), performance (N, K) and cost_usd (N, K), NaN = not known.

        Returns self. The same arguments and the same state of rng give the same router, bit for
        bit. Raises DataError on shapes that do not fit together, FitError when training diverges.
        """

    @abstractmethod
    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Scores (N, K) float32 for embeddings (N, d); within a row, higher is better."""

    def add_to_graph(
        self,
        graph: OnnxGraph,  # noqa: ARG002
        embeddings: str,  # noqa: ARG002
    ) -> str | None:
        """Add nodes that compute the scores of `predict`, up to rounding; for serving and export.

        embeddings: the name of an input (N, d) float32. Returns the name of the scores (N, K), or
        None where a router has no such form; it is run by `predict` then.
        """
        return None

    def with_models(self, columns: IntArray) -> Self:
        """A router of these of its models only, columns (M,), in this order; nothing is trained.

        Raises ConfigError for a router whose models cannot be taken apart.
        """
        if not self.model_axes:
            raise ConfigError(
                f"{type(self).__name__} cannot go on without one of its models: train again"
            )
        state = {
            name: np.ascontiguousarray(np.take(array, columns, axis=self.model_axes[name]))
            if name in self.model_axes
            else array
            for name, array in self.state().items()
        }
        return type(self)(**self.settings).restore(state)

    def with_added(self, labelled: Labelled) -> tuple[Self, LinearEstimate, FloatArray]:
        """A router with one more model, as its last column, from labelled queries of that model.

        Only what belongs to that model is learned. Returns the router, what it follows (see
        new_model.py), and estimates of its performance (V,) on the unlabelled queries.
        Raises ConfigError for a router that cannot, DataError for too few labels.
        """
        del labelled
        ranks = " whose scores only rank" if self.scores_are == "ranking" else ""
        raise ConfigError(
            f"{type(self).__name__}{ranks} cannot take in a model without training: train on "
            "a table with the new model's outcomes. Routers that can: factors, equirouter, linear, "
            "mlp, knn, svm, avengerspro"
        )

    def _appended(self, arrays: Mapping[str, npt.ArrayLike]) -> Self:
        """A copy with one more model; arrays: of that model, by the names of model_axes."""
        state = self.state()
        for name, axis in self.model_axes.items():
            if name not in state:
                continue
            own = np.expand_dims(np.asarray(arrays[name], dtype=state[name].dtype), axis)
            state[name] = np.concatenate([state[name], own], axis=axis)
        return type(self)(**self.settings).restore(state)

    @property
    def n_parameters(self) -> int:
        """How many numbers the fitted router holds."""
        return sum(array.size for array in self.state().values())


class CheckedRouter(Router):
    """A router whose `fit` checks the training part and leaves the learning to `_learn`."""

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn from the known cells of the training part. Errors: see Router.fit."""
        outcomes = Validation(embeddings, performance, cost_usd)
        # where a router reads outcomes, these may have gaps; embeddings may not
        x = np.nan_to_num(embeddings) if self.reads == "outcomes" else embeddings
        check_training(x, performance, cost_usd)
        self._learn(Training(outcomes, validation, rng))
        return self

    @abstractmethod
    def _learn(self, training: Training) -> None:
        """Set the learned attributes."""


class DescriptionRouter(CheckedRouter):
    """A router that reads what the models are, beside what they did.

    The descriptions are read by `fit` only: what `predict` needs of them is part of what is
    learned, so serving embeds none.
    """

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        descriptions: Float32Array | None = None,
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn as Router.fit does, and from descriptions (K, d), by the encoder of the queries.

        Raises ConfigError without descriptions, DataError where they do not fit the models.
        """
        _, width, n_models = check_training(embeddings, performance, cost_usd)
        name = ROUTERS.name_of(type(self))
        described = check_descriptions(descriptions, width, n_models, router=name)
        outcomes = Validation(embeddings, performance, cost_usd)
        self._learn(Training(outcomes, validation, rng, described))
        return self


class LeaveOneOutRouter(CheckedRouter):
    """A router that knows what it would say of each training query, had it not seen that query.

    It learns from training and validation part together: what others find out on validation
    queries (the calibration, the operating points) is found on the scores `held_out` (N, K).
    """

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        tasks: Float32Array | None = None,
        validation: Validation | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Learn as Router.fit does, and from tasks (N, n_tasks), one-hot, where they are known.

        `predict` reads embeddings alone. Raises DataError where the tasks do not fit the queries.
        """
        check_training(embeddings, performance, cost_usd)
        if tasks is not None and len(tasks) != len(embeddings):
            raise DataError(f"tasks of {len(tasks)} queries, embeddings of {len(embeddings)}")
        outcomes = Validation(embeddings, performance, cost_usd)
        self._learn(Training(outcomes, validation, rng, tasks=tasks))
        return self


def check_descriptions(
    descriptions: Float32Array | None, width: int, n_models: int, *, router: str
) -> Float32Array:
    """The descriptions (K, d), float32. Raises ConfigError if none, DataError if they do not fit.

    width, n_models: d and K of the training part. router: its name, for the message.
    """
    if descriptions is None:
        raise ConfigError(
            f"{router} reads descriptions of the models: give fit descriptions=, an embedding "
            "(n_models, d) of what each model is, by the encoder of the queries"
        )
    if descriptions.shape != (n_models, width):
        raise DataError(
            f"descriptions {descriptions.shape}: expected ({n_models}, {width}), one row per "
            "model, as wide as the embeddings of the queries"
        )
    if not np.isfinite(descriptions).all():
        row = int(np.argwhere(~np.isfinite(descriptions).all(axis=1))[0, 0])
        raise DataError(f"the embedding of the description of model {row} is not finite")
    return np.ascontiguousarray(descriptions, dtype=np.float32)


def check_probabilities(performance: FloatArray, *, router: str) -> None:
    """Raise DataError unless performance can be the probability of a right answer: 0 to 1.

    router: its name, for the message.
    """
    lowest, highest = np.nanmin(performance), np.nanmax(performance)
    if lowest < 0 or highest > 1:
        raise DataError(
            f"performance goes from {lowest:g} to {highest:g}: {router} takes it for a probability "
            "and needs 0 to 1; scale the column, or use a router with a squared error such as mlp"
        )


def check_training(
    embeddings: Float32Array, performance: FloatArray, cost_usd: FloatArray
) -> tuple[int, int, int]:
    """Raise DataError unless the three arrays belong together; return (N, d, K)."""
    if embeddings.ndim != 2 or performance.ndim != 2:
        raise DataError(
            f"embeddings {embeddings.shape} and performance {performance.shape} must have "
            "two axes each: (n_queries, d) and (n_queries, n_models)"
        )
    (n, d), (rows, k) = embeddings.shape, performance.shape
    if rows != n or cost_usd.shape != (rows, k):
        raise DataError(
            f"embeddings {embeddings.shape}, performance {performance.shape} and cost_usd "
            f"{cost_usd.shape} must agree in queries and models"
        )
    if n == 0:
        raise DataError("no training queries: at least one is needed")
    if not np.isfinite(embeddings).all():
        row = int(np.argwhere(~np.isfinite(embeddings).all(axis=1))[0, 0])
        raise DataError(f"the embedding of training query {row} is not finite")
    for name, array in (("performance", performance), ("cost_usd", cost_usd)):
        unknown = np.isnan(array).all(axis=0)
        if unknown.any():
            raise DataError(
                f"model {int(unknown.argmax())} has no {name} in the training part; "
                "every model needs at least one known value there"
            )
    return n, d, k
