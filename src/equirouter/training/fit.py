"""From an outcomes table to one saved pipeline: fit, calibrate on validation, measure on test."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from equirouter.arrays import Float32Array, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.errors import ConfigError
from equirouter.evaluation.aggregate import metric_entries
from equirouter.evaluation.curve import measure
from equirouter.extras import require
from equirouter.pipeline.decision import OutOfDomain
from equirouter.pipeline.pipeline import Provenance, RoutingPipeline
from equirouter.policy import Policy, check_confidence, check_quality
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.constraints import ModelFacts, check_names
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.routers import Router, make_router
from equirouter.training.calibrating import calibrated, record_of
from equirouter.training.described import description_notes
from equirouter.training.protocol import Part, embedded, stream
from equirouter.training.stages import Stages, fit_stage, join_stages

__all__ = ["fit_pipeline"]


def fit_pipeline(
    outcomes: Outcomes,
    encoder: Encoder,
    *,
    router: str = "factors",
    policy: str | None = None,
    quality: float = 0.98,
    confidence: float | None = None,
    when_nothing_fits: WhenNothingFits = "cheapest",
    zone: bool = False,
    ood: OutOfDomain = "policy",
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

    router: a spec for make_router. policy: a registered name, what a quality moves along; None is
    "utility" where the scores estimate performance, else "budget". quality: for calls that name
    none. confidence: see Calibration. zone: see zone_width. early_exit: a cheaper encoder that is
    asked first. embeddings: of encoder. ood, model_facts: see RoutingPipeline. Errors: of
    make_router, split_outcomes and Calibration.operating_point.
    """
    _check(outcomes, quality, confidence, model_facts)
    kind = _policy(make_router(router), router, policy)
    parts = split_outcomes(outcomes, kind=split, seed=seed)
    read = partial(embedded, outcomes=outcomes, split=parts, cache=cache, progress=progress)
    encoded = [(encoder, read(encoder) if embeddings is None else embeddings)]
    encoded += [] if early_exit is None else [(early_exit, read(early_exit))]
    progress("fit", 0, 1)
    fit = partial(fit_stage, outcomes, split=parts, router=router, device=device, cache=cache)
    stages = join_stages([fit(*each) for each in encoded], kind, zone=zone)
    best = outcomes.take(parts.train).strongest
    calibration, baseline, notes = calibrated(stages, kind, outcomes.models, best)
    kept = _kept(stages, kind, calibration.operating_point(quality, confidence).value, best)
    tested = _tested(stages, kind, outcomes.models, resamples, seed) | {"at_quality": kept}
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
        ood=ood,
        provenance=_provenance(outcomes, parts, tested, router, notes),
        model_facts=model_facts,
        baseline=baseline,
        prices=stages.full.costs.prices,
        record=record_of(stages, outcomes.tokens),
        zones=stages.zones,
    )


def _check(
    outcomes: Outcomes,
    quality: float,
    confidence: float | None,
    model_facts: Mapping[str, ModelFacts] | None,
) -> None:
    """What would be wrong after the training as well is said before it."""
    check_quality(quality)
    if confidence is not None:
        check_confidence(confidence)
    check_names(model_facts or {}, outcomes.models, what="model_facts")
    require("torch", extra="train", purpose="fit routers and cost models")


def _policy(router: Router, spec: str, policy: str | None) -> str:
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
    return kind


def _tested(
    stages: Stages, policy: str, models: Sequence[str], resamples: int, seed: int
) -> dict[str, Any]:
    rule = stages.rule(policy)
    chosen, _ = stages.choices(rule, "test")
    part = stages.full.part("test")
    measured = measure(
        chosen,
        part.performance,
        part.cost_usd,
        path=stages.path(rule, "test"),
        resamples=resamples,
        rng=stream(seed, "bootstrap"),
    )
    return metric_entries([measured], models)


def _kept(stages: Stages, policy: str, point: float, strongest: int) -> dict[str, Any]:
    chosen = stages.choices_at(stages.rule(policy), "test", np.array([point]))[:, 0]
    return at_quality(chosen, stages.full.part("test"), strongest)


def at_quality(chosen: IntArray, part: Part, strongest: int) -> dict[str, Any]:
    """What choices (N,) on a part came to, as shares of always choosing the strongest model.

    `interval`: of the performance, 95 %, by the normal approximation of a ratio of paired means
    (the delta method); None where it cannot be told from this part.
    """
    row = np.arange(len(chosen))
    answered, best = part.performance[row, chosen], part.performance[:, strongest]
    found: dict[str, Any] = {"n_queries": len(row), "performance": None, "interval": None}
    if best.mean() > 0:
        share = float(answered.mean() / best.mean())
        found["performance"] = share
        if len(row) > 1:
            half = 1.96 * (answered - share * best).std(ddof=1) / len(row) ** 0.5 / best.mean()
            found["interval"] = [share - float(half), share + float(half)]
    paid, most = part.cost_usd[row, chosen].mean(), part.cost_usd[:, strongest].mean()
    return found | {"cost": float(paid / most) if most > 0 else None}


def _provenance(
    outcomes: Outcomes,
    split: Split,
    test_metrics: dict[str, Any],
    router: str,
    notes: tuple[str, ...],
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
        test_metrics=test_metrics,
    )
