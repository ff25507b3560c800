"""From an outcomes table to one saved pipeline: fit, calibrate on validation, measure on test."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.errors import ConfigError, DataError, EquiRouterError
from equirouter.evaluation.aggregate import metric_entries
from equirouter.evaluation.curve import Measurement, measure
from equirouter.evaluation.described import description_notes
from equirouter.evaluation.protocol import embedded, stream
from equirouter.evaluation.stages import Stages, fit_stage, join_stages
from equirouter.extras import require
from equirouter.pipeline import Provenance, RoutingPipeline
from equirouter.policy import (
    PROBES,
    Baseline,
    Calibration,
    Policy,
    Probe,
    ShareCurve,
    calibrate,
    check_confidence,
    check_quality,
    share_curve,
)
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.constraints import ModelFacts, check_names
from equirouter.policy.control import POLICIES_ASKED_FOR
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.routers import Router, make_router
from equirouter.stage import Stage

__all__ = ["fit_pipeline"]


def fit_pipeline(
    outcomes: Outcomes,
    encoder: Encoder,
    *,
    router: str = "equirouter",
    policy: str | None = None,
    quality: float = 0.98,
    confidence: float = 0.5,
    when_nothing_fits: WhenNothingFits = "cheapest",
    split: Literal["in-domain", "ood"] = "in-domain",
    seed: int = 42,
    resamples: int = 1000,
    early_exit: Encoder | None = None,
    embeddings: Float32Array | None = None,
    model_facts: Mapping[str, ModelFacts] | None = None,
    cache: EmbeddingCache | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> RoutingPipeline:
    """Fit one pipeline and measure it on the test part.

    router: a spec as make_router takes it. policy: a registered name, what a quality moves along;
    None is "utility" where the scores estimate performance and "budget" where they only rank.
    quality: the target for calls that name none; it must be within reach on the validation part.
    confidence: that the target is kept, see Calibration.operating_point; 0.5 takes validation at
    its word. early_exit: a cheaper encoder; a router of the same kind on it is asked first, and
    decides where it is sure (see exit_threshold). embeddings: of encoder, when they were made
    before. model_facts: by name, for the constraints of a call.
    Errors: those of make_router, split_outcomes and Calibration.operating_point.
    """
    _check(outcomes, quality, confidence, model_facts)
    kind, rule = _policy(make_router(router), router, policy)
    parts = split_outcomes(outcomes, kind=split, seed=seed)
    if embeddings is None:
        embeddings = embedded(encoder, outcomes, parts, cache=cache, progress=progress)
    progress("fit", 0, 1)
    fit = partial(fit_stage, outcomes, split=parts, router=router, device=device, cache=cache)
    stages = join_stages(fit(encoder, embeddings), None, kind)
    if early_exit is not None:
        first = embedded(early_exit, outcomes, parts, cache=cache, progress=progress)
        stages = join_stages(stages.full, fit(early_exit, first), kind)
    strongest = outcomes.take(parts.train).strongest
    calibration = _calibrated(stages, rule, strongest)
    calibration.operating_point(quality, confidence)  # raises now, and not at the first decision
    measured = _measured(stages, rule, resamples, stream(seed, "bootstrap"))
    baseline, notes = _baseline(stages, kind, outcomes.models, strongest)
    progress("fit", 1, 1)
    return RoutingPipeline(
        stage=stages.full.stage,
        early_exit=stages.early_exit,
        models=outcomes.models,
        calibration=calibration,
        policy=kind,
        quality=quality,
        confidence=confidence,
        when_nothing_fits=when_nothing_fits,
        provenance=_provenance(outcomes, parts, measured, router, notes),
        model_facts=model_facts,
        baseline=baseline,
    )


def _check(
    outcomes: Outcomes,
    quality: float,
    confidence: float,
    model_facts: Mapping[str, ModelFacts] | None,
) -> None:
    """What would be wrong after the training as well is said before it."""
    check_quality(quality)
    check_confidence(confidence)
    check_names(model_facts or {}, outcomes.models, what="model_facts")
    require("torch", extra="train", purpose="fit routers and cost models")


def _policy(router: Router, spec: str, policy: str | None) -> tuple[str, Policy]:
    """The policy that a quality target moves along: the one asked for, or the router's best."""
    if router.reads != "embeddings":
        raise ConfigError(f"{spec} does not read the query, so it cannot be served")
    kind = policy or ("utility" if router.scores_are == "expected_performance" else "budget")
    rule: Policy = POLICIES.load(kind)()
    if rule.in_order:
        raise ConfigError(
            f"policy {kind} decides a stream of queries, each after those before it, so a quality "
            "cannot be found along it; leave --policy out and give the pipeline's decisions to it"
        )
    return kind, rule


def _measured(
    stages: Stages, rule: Policy, resamples: int, rng: np.random.Generator
) -> Measurement:
    chosen, _ = stages.choices(rule, "test")
    part = stages.full.part("test")
    return measure(
        chosen,
        part.performance,
        part.cost_usd,
        path=stages.path(rule, "test"),
        resamples=resamples,
        rng=rng,
    )


def _calibrated(stages: Stages, rule: Policy, strongest: int) -> Calibration:
    """What each operating point did on the validation part, in shares of the strongest model."""
    part = stages.full.part("validation")
    for what, table in (("performance", part.performance), ("cost_usd", part.cost_usd)):
        mean = float(table[:, strongest].mean())
        if mean <= 0:
            raise DataError(
                f"the strongest model has a mean {what} of {mean:g} on the {len(part.rows)} "
                "validation queries, so no share of it can be promised; more rows are needed"
            )
    chosen, points = stages.choices(rule, "validation")
    return calibrate(
        chosen,
        points,
        part.performance,
        part.cost_usd,
        strongest=strongest,
        setting=rule.setting,
    )


def _baseline(
    stages: Stages, policy: str, models: Sequence[str], strongest: int
) -> tuple[Baseline, tuple[str, ...]]:
    """What the pipeline does now, at every setting that a call may name; and notes on it."""
    shares: dict[str, ShareCurve] = {}
    for name in dict.fromkeys((*POLICIES_ASKED_FOR, policy)):
        rule: Policy = POLICIES.load(name)()
        chosen, points = stages.choices(rule, "validation")
        shares[rule.setting] = share_curve(chosen, points, strongest)
    probes, notes = _probes(stages.full.stage)
    n_queries = len(stages.full.part("validation").rows)
    return Baseline(models[strongest], n_queries, shares, probes), notes


def _probes(stage: Stage) -> tuple[tuple[Probe, ...], tuple[str, ...]]:
    """What the stage says of PROBES; none where its encoder cannot be asked now, and a note."""
    try:
        scores, costs = stage.scorer(stage.encode(PROBES))
    except EquiRouterError as error:
        return (), (f"kept without probes, as the encoder could not be asked: {error}",)
    rows = zip(PROBES, scores.tolist(), costs.tolist(), strict=True)
    return tuple(Probe(query, tuple(said), tuple(cost)) for query, said, cost in rows), ()


def _provenance(
    outcomes: Outcomes, split: Split, measured: Measurement, router: str, notes: tuple[str, ...]
) -> Provenance:
    return Provenance(
        data={
            "name": outcomes.name,
            "fingerprint": outcomes.fingerprint,
            "n_queries": outcomes.n_queries,
            "notes": [*outcomes.notes, *description_notes(outcomes, [router]), *notes],
        },
        split={
            "kind": split.kind,
            "seed": split.seed,
            "ratios": list(split.ratios),
            "hash": split.hash,
        },
        test_metrics=metric_entries([measured], outcomes.models),
    )
