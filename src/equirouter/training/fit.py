"""From an outcomes table to one pipeline: fit on train, calibrate on validation."""

from collections.abc import Mapping

from equirouter.arrays import Float32Array
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, SplitKind, split_outcomes
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.errors import ConfigError
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
from equirouter.training.protocol import embedded

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
    split: SplitKind = "in-domain",
    seed: int = 42,
    embeddings: Float32Array | None = None,
    model_facts: Mapping[str, ModelFacts] | None = None,
    cache: EmbeddingCache | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> tuple[RoutingPipeline, FittedStage]:
    """Fit one pipeline; returns it, and its stage with the parts that were held out.

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
    calibration.operating_point(quality, confidence)  # a quality that cannot be promised raises
    progress("fit", 1, 1)
    pipeline = RoutingPipeline(
        stage=fitted.stage,
        models=outcomes.models,
        calibration=calibration,
        policy=kind,
        quality=quality,
        confidence=confidence,
        when_nothing_fits=when_nothing_fits,
        ood=ood,
        provenance=_provenance(outcomes, parts, router, notes),
        model_facts=model_facts or {},
        baseline=baseline,
        prices=fitted.costs.prices,
        record=record_of(fitted, outcomes.tokens),
    )
    return pipeline, fitted


def _check(
    outcomes: Outcomes,
    quality: float,
    confidence: float | None,
    model_facts: Mapping[str, ModelFacts] | None,
) -> None:
    """Refuse settings that would fail after the training before it starts."""
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


def _provenance(
    outcomes: Outcomes,
    split: Split,
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
    )
