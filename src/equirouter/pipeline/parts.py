"""The parts of a pipeline: all that is saved with it, and nothing that it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from equirouter.cost.model_price import ModelPrice
from equirouter.errors import ConfigError
from equirouter.pipeline.decision import OutOfDomain
from equirouter.pipeline.record import ValidationRecord
from equirouter.pipeline.stage import Stage
from equirouter.policy import Calibration, Policy
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.baseline import Baseline
from equirouter.policy.constraints import ModelFacts, check_names
from equirouter.policy.pool_plans import PoolPlans
from equirouter.registry import POLICIES

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    learned: "NDArray[np.uint64]" = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
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
