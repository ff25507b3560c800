"""Train: one pipeline from an outcomes table, fitted, calibrated, and measured on the test part."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from equirouter.arrays import Float32Array, IntArray
from equirouter.data import as_outcomes
from equirouter.data.split import SplitKind
from equirouter.encoders import encoder_options, make_encoder
from equirouter.encoders.base import Encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.evaluation.aggregate import metrics_over_seeds
from equirouter.evaluation.curve import measure
from equirouter.pipeline import RoutingPipeline
from equirouter.pipeline.decision import OutOfDomain
from equirouter.policy import Policy
from equirouter.policy.base import WhenNothingFits
from equirouter.policy.constraints import ModelFacts
from equirouter.progress import Progress, silent
from equirouter.registry import POLICIES
from equirouter.training.fit import fit_pipeline
from equirouter.training.fitted import FittedStage
from equirouter.training.protocol import Part, stream

__all__ = ["serving_options", "share_of_strongest", "train"]


def train(
    table: object,
    encoder: Encoder | str = "minilm",
    *,
    router: str = "factors",
    policy: str | None = None,
    quality: float = 0.98,
    confidence: float | None = None,
    when_nothing_fits: WhenNothingFits = "cheapest",
    ood: OutOfDomain = "policy",
    split: SplitKind = "in-domain",
    seed: int = 42,
    resamples: int = 1000,
    embeddings: Float32Array | None = None,
    model_facts: Mapping[str, ModelFacts] | None = None,
    cache: EmbeddingCache | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> RoutingPipeline:
    """Fit one pipeline on a table of outcomes, and measure it on the test part.

    table: Outcomes, a path, a name of `data list`, or a pandas, polars or pyarrow table. encoder:
    one, or its name; by name it is the one to serve with, in int8 where it has that. The rest as
    fit_pipeline. resamples: of the test queries, for the intervals of `test_metrics`.
    Errors: of as_outcomes and fit_pipeline.

    >>> from equirouter import train
    >>> pipeline = train("simulated:n_queries=300", "static", resamples=0)
    >>> pipeline.decide("What is 2 + 2?", budget_usd=0.001).fits
    True
    """
    outcomes = as_outcomes(table)
    if isinstance(encoder, str):
        encoder = make_encoder(encoder, **serving_options(encoder))
    pipeline, fitted = fit_pipeline(
        outcomes,
        encoder,
        router=router,
        policy=policy,
        quality=quality,
        confidence=confidence,
        when_nothing_fits=when_nothing_fits,
        ood=ood,
        split=split,
        seed=seed,
        embeddings=embeddings,
        model_facts=model_facts,
        cache=cache,
        device=device,
        progress=progress,
    )
    metrics = _test_metrics(pipeline, fitted, resamples, seed)
    pipeline.provenance = replace(pipeline.provenance, test_metrics=metrics)
    return pipeline


def serving_options(encoder: str) -> dict[str, str]:
    """The settings of an encoder that is to serve: int8, which routes as well and is faster."""
    return {"precision": "int8"} if "precision" in encoder_options(encoder) else {}


def _test_metrics(
    pipeline: RoutingPipeline, fitted: FittedStage, resamples: int, seed: int
) -> dict[str, Any]:
    """Every metric on the test part, and what the operating point of its quality came to there."""
    rule: Policy = POLICIES.load(pipeline.policy)()
    part = fitted.part("test")
    chosen, _ = fitted.choices(rule, "test")
    measured = measure(
        chosen,
        part.performance,
        part.cost_usd,
        path=fitted.path(rule, "test"),
        resamples=resamples,
        rng=stream(seed, "bootstrap"),
    )
    point = np.array([pipeline.operating_point().value])
    promised = fitted.choices_at(rule, "test", point)[:, 0]
    strongest = pipeline.models.index(pipeline.baseline.strongest)
    return metrics_over_seeds([measured], pipeline.models).model_dump(mode="json") | {
        "at_quality": share_of_strongest(promised, part, strongest)
    }


def share_of_strongest(chosen: IntArray, part: Part, strongest: int) -> dict[str, Any]:
    """Performance and cost of choices (N,) on a part, as shares of always choosing the strongest.

    `interval`: of the performance, 95 %, by the normal approximation of a ratio of paired means
    (the delta method); None where it cannot be told from this part.
    """
    row = np.arange(len(chosen))
    answered, best = part.performance[row, chosen], part.performance[:, strongest]
    share, interval = None, None
    if best.mean() > 0:
        share = float(answered.mean() / best.mean())
        if len(row) > 1:
            error = (answered - share * best).std(ddof=1) / len(row) ** 0.5 / best.mean()
            interval = [share - 1.96 * float(error), share + 1.96 * float(error)]
    paid, most = part.cost_usd[row, chosen].mean(), part.cost_usd[:, strongest].mean()
    return {
        "n_queries": len(row),
        "performance": share,
        "interval": interval,
        "cost": float(paid / most) if most > 0 else None,
    }
