"""A routing pipeline: encoder, router, cost model and policy together; it decides, saves, loads."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from equirouter import __version__
from equirouter.errors import ConfigError, DataError
from equirouter.output import atomic_write, make_folder
from equirouter.policy import NOTHING_FITS, BudgetPolicy, Calibration, Policy, UtilityPolicy
from equirouter.policy.base import WhenNothingFits

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, Float32Array, IntArray
    from equirouter.encoders.base import Encoder
    from equirouter.stage import EarlyExit, Stage

__all__ = ["Choices", "Decision", "Provenance", "RoutingPipeline"]

SCHEMA = 3  # 2: early exit, and what encoders learned. 3: calibrated scores, any policy
DESCRIPTION_FILE = "pipeline.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class Decision:
    """Which model answers a query, and why.

    model: None when when_nothing_fits is "refuse" and nothing fits. fallbacks: what to try next, in
    order, all within the budget. setting, value: the operating point, for example budget_usd 0.002.
    fits: whether the model's predicted cost is within the budget. left_early: whether the first,
    cheap stage was sure enough (see EarlyExit); scores and costs are those of the stage that
    decided.
    """

    model: str | None
    predicted_cost_usd: float | None
    setting: str
    value: float
    fits: bool
    fallbacks: tuple[str, ...]
    scores: dict[str, float]
    predicted_costs_usd: dict[str, float]
    left_early: bool = False


@dataclass(frozen=True, eq=False)
class Choices:
    """Decisions on many embeddings, as arrays.

    chosen (N,): columns of models, -1 where nothing fits and that is refused. predicted_cost_usd
    (N,): of the chosen model, NaN where there is none. fits (N,): whether it is within the budget.
    """

    models: tuple[str, ...]
    chosen: "IntArray"
    predicted_cost_usd: "Float32Array"
    fits: "BoolArray"
    setting: str
    value: float


@dataclass(frozen=True)
class Provenance:
    """Where a pipeline comes from: data set, split and its metrics on the test part."""

    data: Mapping[str, Any]
    split: Mapping[str, Any]
    test_metrics: Mapping[str, Any] = field(default_factory=dict)


class RoutingPipeline:
    """Text in, model out.

    stage: encoder, router and cost model. models: names in the order of the router's columns.
    policy: the kind that `quality` moves along, "budget" or "utility". calibration: that policy's
    operating points on validation data. quality: the target that counts when a call names none.
    confidence: with which a quality is promised, see Calibration. early_exit: a cheap stage that is
    asked first.
    """

    def __init__(
        self,
        *,
        stage: "Stage",
        models: Sequence[str],
        calibration: Calibration,
        early_exit: "EarlyExit | None" = None,
        policy: Literal["budget", "utility"] = "budget",
        quality: float = 0.98,
        confidence: float = 0.5,
        when_nothing_fits: WhenNothingFits = "cheapest",
        provenance: Provenance | None = None,
    ) -> None:
        self.stage = stage
        self.models = tuple(models)
        self.calibration = calibration
        self.early_exit = early_exit
        self.policy = policy
        self.quality = quality
        self.confidence = confidence
        self.when_nothing_fits = when_nothing_fits
        self.provenance = provenance or Provenance({}, {})

    def decide(
        self,
        query: str,
        *,
        image: str | None = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        lambda_: float | None = None,
    ) -> Decision:
        """Decide one query, with the path of its image if it has one: see decide_many."""
        images = None if image is None else [image]
        return self.decide_many(
            [query], images=images, budget_usd=budget_usd, quality=quality, lambda_=lambda_
        )[0]

    @overload
    def decide_many(
        self,
        queries: Sequence[str],
        *,
        images: Sequence[str | None] | None = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        lambda_: float | None = None,
    ) -> list[Decision]: ...

    @overload
    def decide_many(
        self,
        *,
        embeddings: "Float32Array",
        budget_usd: float | None = None,
        quality: float | None = None,
        lambda_: float | None = None,
    ) -> Choices: ...

    def decide_many(
        self,
        queries: Sequence[str] | None = None,
        *,
        images: Sequence[str | None] | None = None,
        embeddings: "Float32Array | None" = None,
        budget_usd: float | None = None,
        quality: float | None = None,
        lambda_: float | None = None,
    ) -> list[Decision] | Choices:
        """Decide each query under at most one control; without one, under the pipeline's quality.

        queries: texts. images: a path or None per text; beside one a text may be empty. embeddings:
        (N, d) of queries that were encoded before, by the pipeline's encoder; they may be
        memory-mapped, and any number of them is decided in blocks. No stage is left out then. Give
        texts or embeddings: texts give a list of Decision, embeddings Choices; a query's choice is
        the same, whichever way and beside whichever others it is decided.
        budget_usd: limit for one call. quality: share of the strongest model's performance.
        lambda_: performance that one USD must buy. Raises ConfigError for a control that makes no
        sense, and for images where the encoder reads none; DataError for a query that is empty or
        not valid Unicode, and for an image that cannot be read, with its path.
        """
        policy, value = self.policy_for(budget_usd=budget_usd, quality=quality, lambda_=lambda_)
        if (queries is None) == (embeddings is None):
            raise ConfigError("decide_many takes either queries or embeddings=")
        if embeddings is not None and images is not None:
            raise ConfigError("decide_many takes images beside queries, not beside embeddings=")
        if embeddings is not None:
            return self._choices(embeddings, policy, value)
        return self._decisions(list(queries or ()), images, policy, value)

    def _decisions(
        self,
        queries: list[str],
        images: Sequence[str | None] | None,
        policy: Policy,
        value: float,
    ) -> list[Decision]:
        from equirouter.encoders.base import check_images

        images = check_images(images, len(queries), encoder=self.stage.encoder)
        early = self._left_early(queries, images, policy)
        rest = [row for row, known in enumerate(early) if known is None]
        if rest:
            embeddings = self.stage.encode(
                [queries[row] for row in rest], [images[row] for row in rest]
            )
            scores, costs = self.stage.numbers(embeddings, policy)
            for place, row in enumerate(rest):
                early[row] = (scores[place], costs[place])
        left = set(range(len(queries))).difference(rest)
        return [
            self._decision(policy, value, *numbers, left_early=row in left)
            for row, numbers in enumerate(early)
            if numbers is not None
        ]

    def _left_early(
        self, queries: list[str], images: Sequence[str | None], policy: Policy
    ) -> "list[tuple[Float32Array, Float32Array] | None]":
        """Scores and costs (K,) of the queries that the first stage is sure of, None for others."""
        found: list[tuple[Float32Array, Float32Array] | None] = [None] * len(queries)
        if self.early_exit is None or not queries:
            return found
        threshold = self.early_exit.thresholds[policy.setting]
        if threshold is None:
            return found
        stage = self.early_exit.stage
        asked = [
            row
            for row, query in enumerate(queries)
            if stage.encoder.accepts_images or images[row] is None or query.strip()
        ]  # not those that it sees nothing of
        if not asked:
            return found
        encoded = stage.encode([queries[row] for row in asked], [images[row] for row in asked])
        scores, costs = stage.numbers(encoded, policy)
        for place in np.flatnonzero(policy.margin(scores, costs) >= threshold).tolist():
            found[asked[place]] = (scores[place], costs[place])
        return found

    def _choices(self, embeddings: "Float32Array", policy: Policy, value: float) -> Choices:
        width = self.stage.encoder.dimension
        if embeddings.ndim != 2 or embeddings.shape[1] != width:
            raise DataError(
                f"embeddings have the shape {embeddings.shape}: expected (n_queries, {width}), as "
                f"the encoder {self.stage.encoder.name} makes them"
            )
        n = len(embeddings)
        chosen = np.empty(n, dtype=np.int64)
        paid = np.empty(n, dtype=np.float32)

        def choose(rows: slice, scores: "Float32Array", costs: "Float32Array") -> None:
            columns = policy.choose(scores, costs)
            chosen[rows] = columns
            paid[rows] = costs[np.arange(len(columns)), columns]

        self.stage.each(embeddings, policy, choose)
        refused = chosen == NOTHING_FITS
        paid[refused] = np.nan
        return Choices(
            models=self.models,
            chosen=chosen,
            predicted_cost_usd=paid,
            fits=~refused & policy.within(paid),
            setting=policy.setting,
            value=value,
        )

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
        scores: "Float32Array",
        costs: "Float32Array",
        *,
        left_early: bool,
    ) -> Decision:
        chosen, *rest = policy.rank(scores[None], costs[None])[0].tolist()
        cost = costs[chosen]
        return Decision(
            model=None if chosen == NOTHING_FITS else self.models[chosen],
            predicted_cost_usd=None if chosen == NOTHING_FITS else float(cost),
            setting=policy.setting,
            value=value,
            fits=chosen != NOTHING_FITS and bool(policy.within(cost)),
            fallbacks=tuple(self.models[column] for column in rest if column != NOTHING_FITS),
            scores=dict(zip(self.models, scores.tolist(), strict=True)),
            predicted_costs_usd=dict(zip(self.models, costs.tolist(), strict=True)),
            left_early=left_early,
        )

    def save(self, folder: str | Path) -> Path:
        """Write pipeline.json and weights.safetensors into a folder, which is made if needed.

        A pipeline that is there already is replaced only when the new one is completely written.
        Raises OutputError.
        """
        from safetensors.numpy import save

        arrays = self.stage.arrays()
        if self.early_exit is not None:
            first = self.early_exit.stage.arrays()
            arrays |= {f"early_exit.{name}": array for name, array in first.items()}
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
        from equirouter.prices import price_of

        prices = {model: price_of(model) for model in self.models}
        return {
            "schema": SCHEMA,
            "package_version": __version__,
            "models": [
                {"name": model, "price": None if price is None else asdict(price)}
                for model, price in prices.items()
            ],
            **self.stage.description(),
            "early_exit": None if self.early_exit is None else self.early_exit.description(),
            "policy": {
                "name": self.policy,
                "quality": self.quality,
                "confidence": self.confidence,
                "when_nothing_fits": self.when_nothing_fits,
                "calibration": asdict(self.calibration),
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
