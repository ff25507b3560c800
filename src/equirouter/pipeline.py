"""A routing pipeline: encoder, router, cost model and policy together; it decides, saves, loads."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from equirouter import __version__
from equirouter.errors import ConfigError
from equirouter.output import atomic_write, make_folder
from equirouter.policy import NOTHING_FITS, BudgetPolicy, Calibration, Policy, UtilityPolicy
from equirouter.policy.base import WhenNothingFits

if TYPE_CHECKING:
    from equirouter.arrays import FloatArray
    from equirouter.cost import CostModel
    from equirouter.encoders.base import Encoder
    from equirouter.routers.base import Router
    from equirouter.routers.scale import ScoreScale

__all__ = ["Decision", "Provenance", "RoutingPipeline"]

SCHEMA = 1
DESCRIPTION_FILE = "pipeline.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class Decision:
    """Which model answers a query, and why.

    model: None when when_nothing_fits is "refuse" and nothing fits. fallbacks: what to try next, in
    order, all within the budget. setting, value: the operating point, for example budget_usd 0.002.
    fits: whether the model's predicted cost is within the budget.
    """

    model: str | None
    predicted_cost_usd: float | None
    setting: str
    value: float
    fits: bool
    fallbacks: tuple[str, ...]
    scores: dict[str, float]
    predicted_costs_usd: dict[str, float]


@dataclass(frozen=True)
class Provenance:
    """Where a pipeline comes from: data set, split and its metrics on the test part."""

    data: Mapping[str, Any]
    split: Mapping[str, Any]
    test_metrics: Mapping[str, Any] = field(default_factory=dict)


class RoutingPipeline:
    """Text in, model out.

    encoder, router (fitted), router_name, cost_model (fitted), models: names in the order of the
    router's columns. policy: the kind that `quality` moves along, "budget" or "utility".
    calibration: that policy's operating points on validation data. quality: the target that counts
    when a call names none. confidence: with which a quality is promised, see Calibration.
    scale: makes scores that only rank into estimates of performance, for lambda; None where they
    are such already.
    """

    def __init__(
        self,
        *,
        encoder: "Encoder",
        router: "Router",
        router_name: str,
        cost_model: "CostModel",
        models: Sequence[str],
        calibration: Calibration,
        scale: "ScoreScale | None" = None,
        policy: Literal["budget", "utility"] = "budget",
        quality: float = 0.98,
        confidence: float = 0.5,
        when_nothing_fits: WhenNothingFits = "cheapest",
        provenance: Provenance | None = None,
    ) -> None:
        self.encoder = encoder
        self.router = router
        self.router_name = router_name
        self.cost_model = cost_model
        self.models = tuple(models)
        self.calibration = calibration
        self.scale = scale
        self.policy = policy
        self.quality = quality
        self.confidence = confidence
        self.when_nothing_fits = when_nothing_fits
        self.provenance = provenance or Provenance({}, {})

    def decide(
        self,
        query: str,
        *,
        budget_usd: float | None = None,
        quality: float | None = None,
        lambda_: float | None = None,
    ) -> Decision:
        """Decide one query: see decide_many."""
        return self.decide_many([query], budget_usd=budget_usd, quality=quality, lambda_=lambda_)[0]

    def decide_many(
        self,
        queries: Sequence[str],
        *,
        budget_usd: float | None = None,
        quality: float | None = None,
        lambda_: float | None = None,
    ) -> list[Decision]:
        """Decide each query under at most one control; without one, under the pipeline's quality.

        budget_usd: limit for one call. quality: share of the strongest model's performance.
        lambda_: performance that one USD must buy. Raises ConfigError for a control that makes no
        sense and DataError for a query that is empty or not valid Unicode.
        """
        policy, value = self.policy_for(budget_usd=budget_usd, quality=quality, lambda_=lambda_)
        embeddings = self.encoder.encode(list(queries))
        scores = self.router.predict(embeddings).astype(np.float64)
        if self.scale is not None and policy.needs == "expected_performance":
            scores = self.scale.apply(scores)
        costs = self.cost_model.predict(embeddings)
        ranked = policy.rank(scores, costs)
        return [
            self._decision(policy, value, scores[row], costs[row], ranked[row].tolist())
            for row in range(len(queries))
        ]

    def policy_for(
        self,
        *,
        budget_usd: float | None = None,
        quality: float | None = None,
        lambda_: float | None = None,
    ) -> tuple[Policy, float]:
        """The policy that a control means, and its setting's value."""
        given = {"budget_usd": budget_usd, "quality": quality, "lambda": lambda_}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise ConfigError(f"{' and '.join(named)} exclude each other: give one")
        if budget_usd is not None:
            return BudgetPolicy(budget_usd, when_nothing_fits=self.when_nothing_fits), budget_usd
        if lambda_ is not None:
            return UtilityPolicy(lambda_), lambda_
        wanted = self.quality if quality is None else quality
        point = self.calibration.operating_point(wanted, self.confidence)
        if self.calibration.setting == BudgetPolicy.setting:  # a budget of 0 fits models for free
            return self.policy_for(budget_usd=max(point.value, math.ulp(0.0)))
        return self.policy_for(lambda_=point.value)

    def _decision(
        self,
        policy: Policy,
        value: float,
        scores: "FloatArray",
        costs: "FloatArray",
        ranked: list[int],
    ) -> Decision:
        chosen, *rest = ranked
        limit = value if isinstance(policy, BudgetPolicy) else np.inf
        return Decision(
            model=None if chosen == NOTHING_FITS else self.models[chosen],
            predicted_cost_usd=None if chosen == NOTHING_FITS else float(costs[chosen]),
            setting=policy.setting,
            value=value,
            fits=chosen != NOTHING_FITS and bool(costs[chosen] <= limit),
            fallbacks=tuple(self.models[column] for column in rest if column != NOTHING_FITS),
            scores=dict(zip(self.models, scores.tolist(), strict=True)),
            predicted_costs_usd=dict(zip(self.models, costs.tolist(), strict=True)),
        )

    def save(self, folder: str | Path) -> Path:
        """Write pipeline.json and weights.safetensors into a folder, which is made if needed.

        A pipeline that is there already is replaced only when the new one is completely written.
        Raises OutputError.
        """
        from safetensors.numpy import save

        arrays = {f"router.{name}": array for name, array in self.router.state().items()}
        arrays |= {f"cost.{name}": array for name, array in self.cost_model.state().items()}
        weights = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        folder = make_folder(folder)
        with atomic_write(folder / WEIGHTS_FILE, "wb") as binary:
            binary.write(weights)
            binary.flush()  # a full disk is known of before the description is replaced
            with atomic_write(folder / DESCRIPTION_FILE) as text:
                description = self._description(hashlib.sha256(weights).hexdigest())
                text.write(json.dumps(description, indent=2, allow_nan=False) + "\n")
        return folder

    def _description(self, weights_sha256: str) -> dict[str, Any]:
        from equirouter.prices import price_of

        prices = {model: price_of(model) for model in self.models}
        return {
            "schema": SCHEMA,
            "package_version": __version__,
            "models": [
                {"name": model, "price": None if price is None else asdict(price)}
                for model, price in prices.items()
            ],
            "encoder": {
                "name": self.encoder.name,
                "settings": self.encoder.settings,
                "fingerprint": self.encoder.fingerprint,
                "dimension": self.encoder.dimension,
            },
            "router": {
                "name": self.router_name,
                "settings": self.router.settings,
                "scores_are": self.router.scores_are,
            },
            "cost_model": {"settings": self.cost_model.settings},
            "policy": {
                "name": self.policy,
                "quality": self.quality,
                "confidence": self.confidence,
                "when_nothing_fits": self.when_nothing_fits,
                "calibration": asdict(self.calibration),
                "scale": None if self.scale is None else asdict(self.scale),
            },
            "data": dict(self.provenance.data),
            "split": dict(self.provenance.split),
            "test_metrics": dict(self.provenance.test_metrics),
            "weights_sha256": weights_sha256,
        }

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        encoder: "Encoder | None" = None,
        weights: str | Path | None = None,
    ) -> "RoutingPipeline":
        """Read what `save` wrote; the decisions are the same, bit for bit. Needs no torch.

        encoder: to be used in place of the one that the folder names; it must have the same
        fingerprint. weights: a folder with the encoder's weights.
        Raises PipelineError when the folder is not a pipeline, is damaged, is newer than this
        package, or belongs to another encoder.
        """
        from equirouter.stored import restore_pipeline

        return restore_pipeline(Path(folder), encoder, weights)
