"""The stages of a pipeline fitted on one split, and what they choose together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.cost.fit import FittedCosts
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.pipeline.scoring import Scorer
from equirouter.pipeline.stage import EarlyExit, Stage
from equirouter.policy import Certainty, InZone, Path, Policy, UtilityPolicy, fit_certainty
from equirouter.policy.control import POLICIES_ASKED_FOR
from equirouter.registry import POLICIES
from equirouter.routers import make_router
from equirouter.routers.familiar import fit_familiarity
from equirouter.training.described import embedded_descriptions
from equirouter.training.early_exit import ExitThreshold, exit_threshold
from equirouter.training.protocol import (
    Part,
    calibration_for,
    cross_fitted,
    fit_timed,
    prepare,
    scores_of,
    stream,
)
from equirouter.training.zone import zone_width

__all__ = ["FittedStage", "Stages", "certainty_of", "fit_stage", "join_stages"]

N_POINTS = 100

PartName = Literal["validation", "test"]


@dataclass(frozen=True, eq=False)
class FittedStage:
    """A stage, and the queries that were held out of its training, as its encoder shows them.

    parts: of the split; a pipeline that was loaded has no test part. costs: the cost model and
    what it says of prices. held_out (V, K): estimates of performance on the validation part, see
    cross_fitted.
    """

    stage: Stage
    parts: Mapping[PartName, Part]
    costs: FittedCosts
    held_out: FloatArray

    def part(self, name: PartName) -> Part:
        """One part of the split."""
        return self.parts[name]

    def scores(self, rule: Policy, part: Part) -> FloatArray:
        """The scores (n, K) that the policy sees; of validation queries as if they were new."""
        if rule.needs == "ranking":
            return scores_of(self.stage.router, part, None)
        if part is self.parts["validation"]:
            return self.held_out
        return scores_of(self.stage.router, part, self.stage.scale)

    def points(self, rule: Policy, part: Part) -> FloatArray:
        """The operating points (T,) of a sweep over a part."""
        return rule.points(self.scores(rule, part), part.predicted_cost_usd, N_POINTS)

    def sweep(self, rule: Policy, part: Part, points: FloatArray) -> IntArray:
        """The choices (n, T) on a part at the operating points (T,)."""
        return rule.sweep(self.scores(rule, part), part.predicted_cost_usd, points)

    def margins(self, rule: Policy, part: Part, points: FloatArray) -> FloatArray:
        """How sure it is (n, T) of its choices at the operating points (T,)."""
        scores = self.scores(rule, part)
        costs = part.predicted_cost_usd
        return np.stack([rule.at(point).margin(scores, costs) for point in points.tolist()], axis=1)


@dataclass(frozen=True, eq=False)
class Stages:
    """The full stage, and a cheap one that decides where it is sure enough, if there is one.

    zones: by setting, how wide the indifference zone of its policy is; None for none.
    """

    full: FittedStage
    cheap: FittedStage | None
    exits: Mapping[str, ExitThreshold]
    zones: Mapping[str, float] | None = None

    @property
    def early_exit(self) -> EarlyExit | None:
        """The cheap stage as a pipeline holds it."""
        if self.cheap is None:
            return None
        return EarlyExit(
            self.cheap.stage,
            {setting: found.threshold for setting, found in self.exits.items()},
            {setting: found.share for setting, found in self.exits.items()},
        )

    def rule(self, policy: str) -> Policy:
        """A policy by its registered name, with its indifference zone if there is one."""
        return _in_zone(POLICIES.load(policy)(), self.zones)

    def choices(self, rule: Policy, name: PartName) -> tuple[IntArray, FloatArray]:
        """What the pipeline chooses (n, T) on a part at the operating points (T,)."""
        points = self.full.points(rule, self.full.part(name))
        return self.choices_at(rule, name, points), points

    def choices_at(self, rule: Policy, name: PartName, points: FloatArray) -> IntArray:
        """The same at operating points (T,) of one's own."""
        chosen = self.full.sweep(rule, self.full.part(name), points)
        if self.cheap is None:
            return chosen
        seen = self.cheap.part(name)
        leaves = self.exits[rule.setting].leaves(self.cheap.margins(rule, seen, points))
        return np.where(leaves, self.cheap.sweep(rule, seen, points), chosen)

    def path(self, rule: Policy, name: PartName) -> Path | None:
        """Every change of a decision on a part; None where two stages decide together."""
        if self.cheap is not None:
            return None
        part = self.full.part(name)
        return rule.path(self.full.scores(rule, part), part.predicted_cost_usd)


def fit_stage(
    outcomes: Outcomes,
    encoder: Encoder,
    embeddings: Float32Array,
    split: Split,
    router: str,
    *,
    device: str,
    cache: EmbeddingCache | None = None,
) -> FittedStage:
    """Fit a router, given as make_router takes it, and a cost model on embeddings (N, d).

    cache: for the embeddings of the models' descriptions, where the router reads them.
    """
    made = make_router(router)
    if hasattr(made, "device"):
        made.device = device
    descriptions = embedded_descriptions(encoder, outcomes, [router], cache=cache)
    prepared = prepare(outcomes, embeddings, split, descriptions=descriptions, device=device)
    fit_timed(made, prepared, name=router, seed=split.seed)
    parts: dict[PartName, Part] = {"validation": prepared.validation, "test": prepared.test}
    held_out = cross_fitted(made, prepared.validation, split.seed)
    train, seen = prepared.train.embeddings, prepared.validation.embeddings
    stage = Stage(
        encoder=encoder,
        router=made,
        router_name=router.partition(":")[0],
        cost_model=prepared.cost_model,
        scale=calibration_for(made, prepared.validation),
        scorer=Scorer.of(made, prepared.cost_model),
        certainty=certainty_of(held_out, prepared.validation),
        familiar=fit_familiarity(train, seen, stream(split.seed, "familiar")),
    )
    return FittedStage(stage, parts, prepared.costs, held_out)


def certainty_of(held_out: FloatArray, validation: Part) -> Certainty:
    """How sure a stage's choices are, learned along lambda.

    held_out (V, K): estimates of performance on the validation part, see cross_fitted.
    """
    rule, costs = UtilityPolicy(), validation.predicted_cost_usd
    chosen = rule.sweep(held_out, costs, rule.points(held_out, costs, N_POINTS))
    return fit_certainty(held_out, chosen, validation.performance)


def join_stages(fitted: Sequence[FittedStage], policy: str, *, zone: bool = False) -> Stages:
    """Find when the cheap stage may decide alone, for every policy that a call may ask for.

    fitted: the full stage, and the cheap one if there is one. policy: the name of the one that a
    quality moves along. zone: find an indifference zone for each of them too.
    """
    full, cheap = fitted[0], fitted[1] if len(fitted) > 1 else None
    exits: dict[str, ExitThreshold] = {}
    names = dict.fromkeys((*POLICIES_ASKED_FOR, policy))
    zones = _zones(full, [POLICIES.load(name)() for name in names]) if zone else None
    if cheap is None:
        return Stages(full, cheap, exits, zones)
    for name in names:
        rule = _in_zone(POLICIES.load(name)(), zones)
        part, seen = full.part("validation"), cheap.part("validation")
        points = full.points(rule, part)
        exits[rule.setting] = exit_threshold(
            cheap.sweep(rule, seen, points),
            cheap.margins(rule, seen, points),
            full.sweep(rule, part, points),
            part.performance,
            part.cost_usd,
        )
    return Stages(full, cheap, exits, zones)


def _zones(full: FittedStage, rules: Sequence[Policy]) -> dict[str, float]:
    part = full.part("validation")
    return {
        rule.setting: zone_width(
            rule,
            full.scores(rule, part),
            part.predicted_cost_usd,
            part.performance,
            part.cost_usd,
        )
        for rule in rules
    }


def _in_zone(rule: Policy, zones: Mapping[str, float] | None) -> Policy:
    return rule if zones is None else InZone(rule, zones[rule.setting])
