"""From an outcomes table to one saved pipeline: fit, calibrate on validation, measure on test."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from equirouter.arrays import Float32Array, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.errors import ConfigError
from equirouter.evaluation.aggregate import metrics_over_seeds
from equirouter.evaluation.curve import measure
from equirouter.extras import require
from equirouter.pipeline import Provenance, RoutingPipeline
from equirouter.pipeline.decision import OutOfDomain
from equirouter.policy import Policy, check_confidence, check_quality
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.constraints import ModelFacts, check_names
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.routers import Router, make_router
from equirouter.routers.make import check_registered
from equirouter.training.calibrating import calibrated, record_of
from equirouter.training.described import description_notes
from equirouter.training.fitted import FittedStage, fit_stage
from equirouter.training.protocol import Part, embedded, stream

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
    ood: OutOfDomain = "policy",
    split: Literal["in-domain", "ood"] = "in-domain",
    seed: int = 42,
    resamples: int = 1000,
    embeddings: Float32Array | None = None,
    model_facts: Mapping[str, ModelFacts] | None = None,
    cache: EmbeddingCache | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> RoutingPipeline:
    """Fit one pipeline and measure it on the test part.

    router: a spec for make_router. policy: a registered name, what a quality moves along; None is
    "utility" where the scores estimate performance, else "budget". quality: for calls that name
    none. confidence: see Calibration. embeddings (N, d): of the table's queries by encoder; made
    here when not given. ood, model_facts: see RoutingPipeline. Errors: of make_router,
    split_outcomes and Calibration.operating_point.
    """
    check_registered(router)
    _check(outcomes, quality, confidence, model_facts)
    kind = _policy(make_router(router), router, policy)
    parts = split_outcomes(outcomes, kind=split, seed=seed)
    if embeddings is None:
        embeddings = embedded(encoder, outcomes, parts, cache=cache, progress=progress)
    progress("fit", 0, 1)
    fitted = fit_stage(outcomes, encoder, embeddings, parts, router, device=device, cache=cache)
    best = outcomes.take(parts.train).strongest
    calibration, baseline, notes = calibrated(fitted, kind, outcomes.models, best)
    kept = _kept(fitted, kind, calibration.operating_point(quality, confidence).value, best)
    tested = _tested(fitted, kind, outcomes.models, resamples, seed) | {"at_quality": kept}
    progress("fit", 1, 1)
    return RoutingPipeline(
        stage=fitted.stage,
        models=outcomes.models,
        calibration=calibration,
        policy=kind,
        quality=quality,
        confidence=confidence,
        when_nothing_fits=when_nothing_fits,
        ood=ood,
        provenance=_provenance(outcomes, parts, tested, router, notes),
        model_facts=model_facts or {},
        baseline=baseline,
        prices=fitted.costs.prices,
        record=record_of(fitted, outcomes.tokens),
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
    fitted: FittedStage, policy: str, models: Sequence[str], resamples: int, seed: int
) -> dict[str, Any]:
    rule: Policy = POLICIES.load(policy)()
    chosen, _ = fitted.choices(rule, "test")
    part = fitted.part("test")
    measured = measure(
        chosen,
        part.performance,
        part.cost_usd,
        path=fitted.path(rule, "test"),
        resamples=resamples,
        rng=stream(seed, "bootstrap"),
    )
    return metrics_over_seeds([measured], models).model_dump(mode="json")


def _kept(fitted: FittedStage, policy: str, point: float, strongest: int) -> dict[str, Any]:
    chosen = fitted.choices_at(POLICIES.load(policy)(), "test", np.array([point]))[:, 0]
    return at_quality(chosen, fitted.part("test"), strongest)


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
