"""The parts of a pipeline: all that is saved with it, and nothing that it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray
from equirouter.cost.model_price import ModelPrice
from equirouter.errors import ConfigError, PipelineError
from equirouter.pipeline.decision import OutOfDomain
from equirouter.pipeline.stage import Stage
from equirouter.policy import Calibration, Policy
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.baseline import Baseline
from equirouter.policy.constraints import ModelFacts, check_names
from equirouter.policy.pool_plans import PoolPlans
from equirouter.registry import POLICIES

MOST_QUERIES = 5000
MOST_CELLS = 2**21
"""Queries times models: 16 MB of performance, and as much of costs."""


@dataclass(frozen=True, eq=False)
class ValidationRecord:
    """Validation queries and their outcomes, without the texts.

    vectors (V, d): embeddings by the pipeline's encoder, to 16 bits, as they are saved. scores
    (V, K), amounts (V, A): what router and cost model say of them, had they not learned from them.
    performance, cost_usd (V, K): the truth, costs as they were paid. tokens: input and output
    (V, K) each, or None where they are not known. estimated (K,): True for a model that joined
    later, whose outcomes are known on other queries than those of the rest. log (V, 3, K): where
    performance and cost_usd are estimates, what is known of both, and the weights, see
    training/off_policy.py; else None.
    """

    vectors: NDArray[np.float16 | np.float32]
    scores: Float32Array
    amounts: FloatArray
    performance: FloatArray
    cost_usd: FloatArray
    tokens: tuple[FloatArray, FloatArray] | None
    estimated: BoolArray
    log: FloatArray | None = None

    @property
    def embeddings(self) -> Float32Array:
        """The vectors as routers read them: a pipeline that only decides never makes these."""
        return self.vectors.astype(np.float32, copy=False)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest performance that is known."""
        known = self.performance if self.log is None else self.log[:, 0]
        return float(np.nanmin(known)), float(np.nanmax(known))

    def with_models(self, columns: IntArray, amounts: IntArray) -> Self:
        """The queries with these models only; amounts: the columns of theirs."""
        tokens = self.tokens
        return replace(
            self,
            scores=self.scores[:, columns],
            amounts=self.amounts[:, amounts],
            performance=self.performance[:, columns],
            cost_usd=self.cost_usd[:, columns],
            tokens=None if tokens is None else (tokens[0][:, columns], tokens[1][:, columns]),
            estimated=self.estimated[columns],
            log=None if self.log is None else self.log[:, :, columns],
        )

    def without_estimates(self) -> Self:
        """The rows of which all is known, where the others know nothing: as before a model joined.

        Anything else is returned as it is.
        """
        if self.log is None:
            return self
        rows = self.log[:, 2].any(axis=1)
        known = self.log[rows, 0]
        if rows.all() or np.isnan(known).any():
            return self
        each = {name: getattr(self, name)[rows] for name in ("vectors", "scores", "amounts")}
        tokens = None if self.tokens is None else (self.tokens[0][rows], self.tokens[1][rows])
        paid = self.cost_usd[rows]
        return replace(self, **each, performance=known, cost_usd=paid, tokens=tokens, log=None)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name; `restore` takes it back."""
        given, output = self.tokens or (None, None)
        named: dict[str, NDArray[Any] | None] = {
            "embeddings": self.vectors.astype(np.float16, copy=False),
            "scores": self.scores,
            "amounts": self.amounts,
            "performance": self.performance,
            "cost_usd": self.cost_usd,
            "input_tokens": given,
            "output_tokens": output,
            "estimated": self.estimated,
            "log": self.log,
        }
        return {name: array for name, array in named.items() if array is not None}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From what `arrays` gave. Raises PipelineError if it does not fit."""
        try:
            record = cls(
                arrays["embeddings"],
                arrays["scores"],
                arrays["amounts"],
                arrays["performance"],
                arrays["cost_usd"],
                (arrays["input_tokens"], arrays["output_tokens"])
                if "input_tokens" in arrays
                else None,
                arrays["estimated"],
                arrays.get("log"),
            )
        except KeyError as error:
            raise PipelineError(f"the validation queries lack the array {error}") from error
        shapes = {name: array.shape for name, array in arrays.items()}
        n, k = record.performance.shape
        tables = {name: shape for name, shape in shapes.items() if name not in _OTHERS}
        if (
            any(shape != (n, k) for shape in tables.values())
            or len(record.vectors) != n
            or len(record.amounts) != n
            or record.estimated.shape != (k,)
            or (record.log is not None and record.log.shape != (n, 3, k))
        ):
            raise PipelineError(f"the arrays of the validation queries do not agree: {shapes}")
        return record


_OTHERS = ("embeddings", "amounts", "estimated", "log")


def kept_rows(n_queries: int, n_models: int) -> IntArray:
    """Which of V validation queries are kept: all, or as many as is sensible, evenly spaced."""
    n = min(n_queries, MOST_QUERIES, max(1, MOST_CELLS // n_models))
    return np.linspace(0, n_queries - 1, n).round().astype(np.int64)


@dataclass(frozen=True)
class Provenance:
    """Where a pipeline comes from: data set, split and its metrics on the test part."""

    data: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    test_metrics: Mapping[str, Any] = field(default_factory=dict)

    def measured(self, metrics: Mapping[str, Any], *, refit: bool) -> "Provenance":
        """With metrics on the test part; refit: whether the pipeline then learned from it too."""
        return Provenance(self.data, {**self.split, "refit": refit}, metrics)


@dataclass(kw_only=True, eq=False, repr=False)
class PipelineParts:
    """The fields of a RoutingPipeline. Raises ConfigError for parts that do not fit together."""

    stage: Stage
    """Encoder, router and cost model."""
    models: tuple[str, ...]
    """Names, in the order of the router's columns."""
    calibration: Calibration
    """The operating points of `policy` on validation data."""
    baseline: Baseline
    """The behaviour of the pipeline when it was made."""
    record: ValidationRecord
    """Validation queries, to calibrate the pipeline again when its pool changes."""
    policy: str = "budget"
    """The registered name of the policy that `quality` moves along."""
    quality: float = 0.98
    """The target for calls that name none, as a share of the strongest model's performance."""
    confidence: float | None = None
    """With which a quality is promised; None is the highest that can be, see Calibration.surest."""
    when_nothing_fits: WhenNothingFits = "cheapest"
    """Whether a budget that no model fits takes the cheapest model or none."""
    ood: OutOfDomain = "policy"
    """How a query that is far from the training queries is decided."""
    provenance: Provenance = field(default_factory=Provenance)
    """Data set, split and test metrics."""
    model_facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    """By name, what constraints are checked against; it may lack models."""
    prices: Sequence[ModelPrice] = ()
    """Of every model in the order of `models`, or none; the cost model takes them."""
    learned: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    """The queries that router, cost model and operating points come from, by query_prints."""
    plans: PoolPlans | None = None
    """How more than one model is asked; None where that is not known to pay."""

    def __post_init__(self) -> None:
        self.models = tuple(self.models)
        self.prices = tuple(self.prices) or tuple(ModelPrice(model) for model in self.models)
        if tuple(price.model for price in self.prices) != self.models:
            raise ConfigError(
                f"prices are of {[price.model for price in self.prices]}, and the models are "
                f"{list(self.models)}: one price per model is expected, in this order"
            )
        self.stage.cost_model.set_prices(self.prices)
        if self.ood not in ("policy", "strongest"):
            raise ConfigError(f"ood is {self.ood!r}: expected policy or strongest")
        kind: type[Policy] = POLICIES.load(self.policy)
        if kind.setting != self.calibration.setting:
            raise ConfigError(
                f"policy {self.policy} moves along {kind.setting}, but its calibration is one of "
                f"{self.calibration.setting}: give the two of one policy"
            )
        if kind.priced_by == "collapse" and self.stage.collapse is None:
            raise ConfigError(
                f"policy {self.policy} is priced by collapse, and the stage predicts no collapse "
                "scores: train again"
            )
        check_names(self.model_facts, self.models, what="model_facts")
        if self.plans is not None:
            self.plans.check_pool(len(self.models))
