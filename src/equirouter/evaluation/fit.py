"""From an outcomes table to one saved pipeline: fit, calibrate on validation, measure on test."""

from typing import Literal

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.errors import ConfigError
from equirouter.evaluation.aggregate import metric_entries
from equirouter.evaluation.curve import measure
from equirouter.evaluation.protocol import fit_timed, prepare, stream
from equirouter.pipeline import Provenance, RoutingPipeline
from equirouter.policy import Policy, calibrate
from equirouter.policy.base import WhenNothingFits
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.routers import make_router

__all__ = ["fit_pipeline"]

N_POINTS = 100


def fit_pipeline(
    outcomes: Outcomes,
    encoder: Encoder,
    *,
    router: str = "equirouter",
    policy: Literal["budget", "utility"] | None = None,
    quality: float = 0.98,
    when_nothing_fits: WhenNothingFits = "cheapest",
    split: Literal["in-domain", "ood"] = "in-domain",
    seed: int = 42,
    resamples: int = 1000,
    embeddings: Float32Array | None = None,
    cache: EmbeddingCache | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> RoutingPipeline:
    """Fit one pipeline and measure it on the test part.

    router: a spec as make_router takes it. policy: what a quality target moves along; None is
    "utility" where the scores estimate performance and "budget" where they only rank. quality: the
    target for calls that name none; it must be within reach on the validation part.
    Errors: those of make_router, split_outcomes and Calibration.operating_point.
    """
    made = make_router(router)
    if made.reads != "embeddings":
        raise ConfigError(f"{router} does not read the query, so it cannot be served")
    if hasattr(made, "device"):
        made.device = device
    kind = policy or ("utility" if made.scores_are == "expected_performance" else "budget")
    rule: Policy = POLICIES.load(kind)()
    if rule.needs == "expected_performance" and made.scores_are != rule.needs:
        raise ConfigError(f"policy {kind} needs scores that estimate performance; {router} ranks")
    parts = split_outcomes(outcomes, kind=split, seed=seed)
    if embeddings is None:
        embeddings = encode_cached(
            encoder, outcomes.texts, outcomes.image_paths, cache=cache, progress=progress
        )
    progress("fit", 0, 1)
    prepared = prepare(outcomes, embeddings, parts)
    fit_timed(made, prepared, name=router, seed=seed)
    held_out = prepared.validation
    scores = made.predict(held_out.embeddings).astype(np.float64)
    points = rule.points(scores, held_out.predicted_cost_usd, N_POINTS)
    calibration = calibrate(
        rule.sweep(scores, held_out.predicted_cost_usd, points),
        points,
        held_out.performance,
        held_out.cost_usd,
        strongest=outcomes.take(parts.train).strongest,
        setting=rule.setting,
    )
    calibration.operating_point(quality)  # raises now, and not at the first decision
    test = prepared.test
    test_scores = made.predict(test.embeddings).astype(np.float64)
    test_points = rule.points(test_scores, test.predicted_cost_usd, N_POINTS)
    measured = measure(
        rule.sweep(test_scores, test.predicted_cost_usd, test_points),
        test.performance,
        test.cost_usd,
        resamples=resamples,
        rng=stream(seed, "bootstrap"),
    )
    progress("fit", 1, 1)
    return RoutingPipeline(
        encoder=encoder,
        router=made,
        router_name=router.partition(":")[0],
        cost_model=prepared.cost_model,
        models=outcomes.models,
        calibration=calibration,
        policy=kind,
        quality=quality,
        when_nothing_fits=when_nothing_fits,
        provenance=Provenance(
            data={
                "name": outcomes.name,
                "fingerprint": outcomes.fingerprint,
                "n_queries": outcomes.n_queries,
            },
            split={
                "kind": parts.kind,
                "seed": parts.seed,
                "ratios": list(parts.ratios),
                "hash": parts.hash,
            },
            test_metrics=metric_entries([measured], outcomes.models),
        ),
    )
