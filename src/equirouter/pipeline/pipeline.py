"""A routing pipeline: encoder, router, cost model and policy together; it decides, saves, loads."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from equirouter import __version__
from equirouter.cost.model_price import ModelPrice
from equirouter.cost.price_table import price_to
from equirouter.errors import ConfigError
from equirouter.output import atomic_write, make_folder
from equirouter.pipeline.deciding import Order, choose_embeddings, decide_orders, pace_orders
from equirouter.pipeline.decision import Ask, Choices, Decision, OutOfDomain
from equirouter.policy import (
    BudgetPolicy,
    Calibration,
    OperatingPoint,
    Paced,
    Pacer,
    Policy,
    UtilityPolicy,
)
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.baseline import Baseline
from equirouter.policy.constraints import (
    ModelFacts,
    Needs,
    check_names,
    facts_to,
    not_checked,
    removed_by,
)
from equirouter.policy.control import NO_CONTROL, Control
from equirouter.registry import POLICIES

if TYPE_CHECKING:
    from equirouter.arrays import Float32Array, IntArray
    from equirouter.encoders.base import Encoder
    from equirouter.pipeline.record import ValidationRecord
    from equirouter.pipeline.stage import Stage

__all__ = ["Ask", "Choices", "Decision", "Provenance", "RoutingPipeline"]

SCHEMA = 1
DESCRIPTION_FILE = "pipeline.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class Provenance:
    """Where a pipeline comes from: data set, split and its metrics on the test part."""

    data: Mapping[str, Any]
    split: Mapping[str, Any]
    test_metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False, repr=False)
class RoutingPipeline:
    """Text in, model out.

    stage: encoder, router and cost model. models: names in the order of the router's columns.
    policy: the registered name of the one that `quality` moves along. calibration: that policy's
    operating points on validation data; ConfigError if they are another's. quality: the target that
    counts when a call names none. ood: what decides a query that is far from the training queries,
    see OutOfDomain. confidence: with which a quality is promised; None: see Calibration.surest.
    model_facts: by name, what constraints are checked against; it may lack models. baseline: what
    it did when it was made. prices: of every model, or none; the cost model takes them. record:
    validation queries, with which it is calibrated again when its pool changes.
    """

    stage: "Stage"
    models: tuple[str, ...]
    calibration: Calibration
    baseline: Baseline
    record: "ValidationRecord"
    policy: str = "budget"
    quality: float = 0.98
    confidence: float | None = None
    when_nothing_fits: WhenNothingFits = "cheapest"
    ood: OutOfDomain = "policy"
    provenance: Provenance = field(default_factory=lambda: Provenance({}, {}))
    model_facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    prices: Sequence[ModelPrice] = ()

    def __post_init__(self) -> None:
        self.models = tuple(self.models)
        self.prices = tuple(self.prices) or tuple(ModelPrice(model) for model in self.models)
        self.by_strength = self._strength_order()
        if tuple(price.model for price in self.prices) != self.models:
            raise ConfigError(
                f"prices are of {[price.model for price in self.prices]}, and the models are "
                f"{list(self.models)}: one price per model is expected, in this order"
            )
        self.stage.cost_model.set_prices(self.prices)
        kind: type[Policy] = POLICIES.load(self.policy)
        if kind.setting != self.calibration.setting:
            raise ConfigError(
                f"policy {self.policy} moves along {kind.setting}, but its calibration is one of "
                f"{self.calibration.setting}: give the two of one policy"
            )
        check_names(self.model_facts, self.models, what="model_facts")

    def decide(
        self,
        query: str,
        *,
        image: str | None = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> Decision:
        """Decide one query, with the path of its image if it has one: see decide_many."""
        control = Control(budget_usd, quality, performance, lambda_, confidence)
        return self.decide_each([Ask(query, image, control, needs)])[0]

    def decide_each(self, asks: Sequence[Ask]) -> list[Decision]:
        """Decide queries that differ in control and constraints, all encoded in one batch.

        A query's decision is the same, whichever others stand beside it. Errors: those of
        decide_many; ConfigError for a removed model that the pipeline does not have.
        """
        policies: dict[Control, tuple[Policy, float]] = {}
        for ask in asks:
            if ask.control not in policies:
                policies[ask.control] = self.policy_for(ask.control)
        orders = self._orders(asks, [policies[ask.control] for ask in asks])
        return decide_orders(orders, self.models, self.stage, self.by_strength)

    def pacer(self, spend_usd: float, *, cap_usd: float = math.inf) -> Pacer:
        """A pacer for this pipeline's `pace`: a mean spend per query, and a limit on the total.

        It starts at the price at which validation queries cost that much, where the pipeline was
        calibrated along lambda. Raises ConfigError.
        """
        start = self.calibration.lambda_at(spend_usd)
        return Pacer(spend_usd, cap_usd=cap_usd, start=start)

    def pace(
        self,
        asks: Sequence[Ask],
        pacer: Pacer,
        *,
        most_usd: Sequence[Mapping[str, float] | None] | None = None,
        settled: bool = False,
    ) -> list[tuple[Decision, Paced]]:
        """Decide the next queries of a stream, in their order, by a pacer that goes on with it.

        Each decision comes with what `pacer.settle` takes once the call's cost is known. most_usd:
        what a call of each model can cost at most, per query, for the cap (see Pacer.decide); one
        that is left out may cost anything, so that a cap rules it out. settled: each call is
        settled as predicted before the next is decided, so that a cap holds nothing back for it.
        Errors: those of decide_each; ConfigError for an ask with a control.
        """
        for ask in asks:
            if ask.control != NO_CONTROL:
                raise ConfigError(f"the pacer decides by its spend, so {ask.control} has no place")
        policy = UtilityPolicy(pacer.lambda_)
        orders = [
            replace(order, setting="spend_usd")
            for order in self._orders(asks, [(policy, pacer.spend_usd)] * len(asks))
        ]
        limits = most_usd or [None] * len(asks)
        return pace_orders(orders, self.models, self.stage, pacer, limits, settled=settled)

    def _orders(self, asks: Sequence[Ask], policies: Sequence[tuple[Policy, float]]) -> list[Order]:
        constraints: dict[Needs | None, dict[str, str]] = {None: {}}
        orders = []
        for ask, policy in zip(asks, policies, strict=True):
            if ask.needs is not None and ask.needs not in constraints:
                constraints[ask.needs] = removed_by(ask.needs, self.models, self.model_facts)
            removed = constraints[ask.needs]
            if ask.removed:
                check_names(ask.removed, self.models, what="removed")
                removed = {**ask.removed, **removed}
            unknown = self._not_checked(ask.needs, removed)
            orders.append(Order(ask, *policy, removed, unknown))
        return orders

    @overload
    def decide_many(
        self,
        queries: Sequence[str],
        *,
        images: Sequence[str | None] | None = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> list[Decision]: ...

    @overload
    def decide_many(
        self,
        *,
        embeddings: "Float32Array",
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> Choices: ...

    def decide_many(
        self,
        queries: Sequence[str] | None = None,
        *,
        images: Sequence[str | None] | None = None,
        embeddings: "Float32Array | None" = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        performance: float | None = None,
        lambda_: float | None = None,
        confidence: float | None = None,
        needs: Needs | None = None,
    ) -> list[Decision] | Choices:
        """Decide each query under one control (see Control) and the same constraints.

        queries: texts. images: a path or None per text; beside one a text may be empty. embeddings:
        (N, d) of queries that were encoded before, by the pipeline's encoder; they may be
        memory-mapped, and any number of them is decided in blocks. Give texts or embeddings: texts
        give a list of Decision, embeddings Choices; a query's choice is the same, whichever way and
        beside whichever others it is decided.
        needs: a model that violates one is neither chosen nor a fallback, whatever the policy.
        Raises ConfigError for a control that makes no sense, for an excluded model that the
        pipeline does not have, and for images where the encoder reads none; DataError for a query
        that is empty or not valid Unicode, and for an image that cannot be read, with its path.
        """
        control = Control(budget_usd, quality, performance, lambda_, confidence)
        if (queries is None) == (embeddings is None):
            raise ConfigError("decide_many takes either queries or embeddings=")
        if embeddings is not None and images is not None:
            raise ConfigError("decide_many takes images beside queries, not beside embeddings=")
        if embeddings is not None:
            order = self._orders([Ask("", None, control, needs)], [self.policy_for(control)])[0]
            return choose_embeddings(embeddings, order, self.models, self.stage, self.by_strength)
        from equirouter.encoders.base import check_images

        self.policy_for(control)  # a wrong control is said of no queries too
        texts = list(queries or ())
        paths = check_images(images, len(texts), encoder=self.stage.encoder)
        return self.decide_each(
            [Ask(text, path, control, needs) for text, path in zip(texts, paths, strict=True)]
        )

    def _strength_order(self) -> "IntArray | None":
        """Columns of the models, the strongest first, where far queries are to go by that."""
        if self.ood == "policy":
            return None
        if self.ood != "strongest":
            raise ConfigError(f"ood is {self.ood!r}: expected policy or strongest")
        order = np.argsort(-self.record.performance.mean(axis=0), kind="stable")
        first = self.models.index(self.baseline.strongest)
        return np.append(first, order[order != first])

    def _not_checked(self, needs: Needs | None, removed: Mapping[str, str]) -> dict[str, str]:
        if needs is None:
            return {}
        left = [model for model in self.models if model not in removed]
        return not_checked(needs, left, self.model_facts)

    def policy_for(self, control: Control = NO_CONTROL) -> tuple[Policy, float]:
        """The policy that a control means, and its setting's value."""
        if control.budget_usd is not None:
            policy = BudgetPolicy(control.budget_usd, when_nothing_fits=self.when_nothing_fits)
            return policy, control.budget_usd
        if control.lambda_ is not None:
            return UtilityPolicy(control.lambda_), control.lambda_
        point = self.operating_point(control)
        kind: type[Policy] = POLICIES.load(self.policy)
        return kind.at(point.value, self.when_nothing_fits), point.value

    def operating_point(self, control: Control = NO_CONTROL) -> OperatingPoint:
        """That of a quality or a performance, with the confidence that it is promised with.

        Without either, of the pipeline's quality.
        """
        quality, performance = control.quality, control.performance
        if quality is None and performance is None:
            quality = self.quality
        confidence = self.confidence if control.confidence is None else control.confidence
        return self.calibration.operating_point(quality, confidence, performance=performance)

    def save(self, folder: str | Path) -> Path:
        """Write pipeline.json and weights.safetensors into a folder, which is made if needed.

        A pipeline that is there already is replaced only when the new one is completely written.
        Raises OutputError.
        """
        from safetensors.numpy import save

        arrays = self.stage.arrays()
        kept = self.record.arrays()
        arrays |= {f"validation.{name}": array for name, array in kept.items()}
        weights = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
        folder = make_folder(folder)
        with atomic_write(folder / WEIGHTS_FILE, "wb") as binary:
            binary.write(weights)
            binary.flush()  # a full disk is known of before the description is replaced
            with atomic_write(folder / DESCRIPTION_FILE) as text:
                description = self._description(hashlib.sha256(weights).hexdigest())
                text.write(json.dumps(description, indent=2, allow_nan=False) + "\n")
        return folder

    def _description(self, weights_sha256: str) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "package_version": __version__,
            "models": [
                {
                    "name": price.model,
                    "price": None if price.now is None else price_to(price.now),
                    "trained_price": None if price.trained is None else price_to(price.trained),
                    "input_cost_share": price.input_share,
                    "facts": facts_to(self.model_facts.get(price.model)),
                }
                for price in self.prices
            ],
            **self.stage.description(),
            "policy": {
                "name": self.policy,
                "quality": self.quality,
                "confidence": self.confidence,
                "when_nothing_fits": self.when_nothing_fits,
                "ood": self.ood,
                "calibration": asdict(self.calibration),
            },
            "baseline": asdict(self.baseline),
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
        from equirouter.pipeline.stored import restore_pipeline

        return restore_pipeline(Path(folder), encoder, weights)
