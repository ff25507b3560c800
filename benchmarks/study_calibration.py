"""Which calibration makes a router's scores the best estimates of performance: a study.

    python benchmarks/study_calibration.py DATASET [DATASET ...] [--seeds 5] [--routers A,B]

For each seed a router is fitted on the training part and its scores on the VALIDATION part are
calibrated by cross-fitting: each fifth by what the other four fifths say. The test part is not
looked at. Prints a Markdown table, means over seeds: the squared error, the expected calibration
error, and the cost at 98 %, 95 % and 90 % of the strongest model's quality along lambda.
"""

import argparse
import warnings
from collections.abc import Callable
from typing import cast

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data import load_dataset
from equirouter.data.split import split_outcomes
from equirouter.encoders import make_encoder
from equirouter.encoders.cache import EmbeddingCache, encode_cached
from equirouter.evaluation.curve import measure
from equirouter.policy import UtilityPolicy
from equirouter.routers import Router, Validation, make_router, scale
from equirouter.training.protocol import Part, Prepared, prepare, stream

ROUTERS = "equirouter,mlp,knn,linear,routerdc"
FOLDS = 5
BINS = 10
LEVELS = ("0.98", "0.95", "0.90")

Calibrate = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
"""Scores (V, K) and performance (V, K) to learn from, scores (n, K): estimates (n, K)."""


def raw(_scores: FloatArray, _performance: FloatArray, new: FloatArray) -> FloatArray:
    return new


def line(scores: FloatArray, performance: FloatArray, new: FloatArray) -> FloatArray:
    """Least squares per model on the centred score, the slope shrunk towards 0."""
    x = centred(scores)
    centre, level, variance = x.mean(axis=0), performance.mean(axis=0), x.var(axis=0)
    covariance = ((x - centre) * (performance - level)).mean(axis=0)
    prior = 10.0 / len(x) * variance.mean()
    slope = np.maximum(covariance, 0.0) / np.maximum(variance + prior, np.finfo(float).tiny)
    estimates = level + slope * (centred(new) - centre)
    return np.asarray(np.clip(estimates, performance.min(), performance.max()))


def centred(scores: FloatArray) -> FloatArray:
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))


def isotonic(scores: FloatArray, performance: FloatArray, new: FloatArray) -> FloatArray:
    """Per model, mixed with the pooled curve as if that were worth 50 queries."""
    from sklearn.isotonic import IsotonicRegression

    pooled = IsotonicRegression(out_of_bounds="clip").fit(scores.ravel(), performance.ravel())
    weight = len(scores) / (len(scores) + 50)
    calibrated = np.empty_like(new)
    for model in range(new.shape[1]):
        own = IsotonicRegression(out_of_bounds="clip").fit(scores[:, model], performance[:, model])
        calibrated[:, model] = weight * own.predict(new[:, model])
        calibrated[:, model] += (1 - weight) * pooled.predict(new[:, model])
    return calibrated


def logistic(prior: float, *, centred: bool = False) -> Calibrate:
    """Per model 1 / (1 + exp(-(a + b x))), shrunk to the one of all models: fit_scale."""

    def fit(scores: FloatArray, performance: FloatArray, new: FloatArray) -> FloatArray:
        scale.PRIOR_QUERIES = prior
        return scale.fit_scale(scores, performance, centred=centred).apply(new)

    return fit


def on(view: Callable[[FloatArray], FloatArray], fit: Calibrate) -> Calibrate:
    return lambda scores, performance, new: fit(view(scores), performance, view(new))


def logit(scores: FloatArray) -> FloatArray:
    p = np.clip(scores, 0.01, 0.99)
    return np.asarray(np.log(p / (1 - p)))


CANDIDATES: dict[str, Calibrate] = {
    "as they are": raw,
    "line, centred": line,
    "isotonic": isotonic,
    "isotonic, centred": on(centred, isotonic),
    "logistic 10": logistic(10),
    "logistic 50": logistic(50),
    "logistic 10, logit": on(logit, logistic(10)),
    "logistic 10, centred": logistic(10, centred=True),
    "logistic 50, centred": logistic(50, centred=True),
}


def cross_fitted(fit: Calibrate, scores: FloatArray, performance: FloatArray) -> FloatArray:
    fold = np.random.default_rng(0).permutation(len(scores)) % FOLDS
    calibrated = np.empty_like(scores)
    for number in range(FOLDS):
        out = fold == number
        calibrated[out] = fit(scores[~out], performance[~out], scores[out])
    return calibrated


def ece(estimate: FloatArray, performance: FloatArray) -> float:
    """Mean over models, in bins of equal mass."""
    errors = []
    for model in range(estimate.shape[1]):
        order = np.argsort(estimate[:, model], kind="stable")
        for rows in np.array_split(order, BINS):
            gap = abs(estimate[rows, model].mean() - performance[rows, model].mean())
            errors.append(gap * len(rows) / len(order))
    return float(sum(errors) / estimate.shape[1])


def measured(estimate: FloatArray, part: Part) -> list[float]:
    rule = UtilityPolicy()
    points = rule.points(estimate, part.predicted_cost_usd, 300)
    chosen = rule.sweep(estimate, part.predicted_cost_usd, points)
    point = measure(chosen, part.performance, part.cost_usd, resamples=0).point
    at_quality = cast(dict[str, float | None], point["cost_at_quality"])
    costs = [at_quality[level] for level in LEVELS]
    error = float(((estimate - part.performance) ** 2).mean())
    return [error, ece(estimate, part.performance), *(np.nan if c is None else c for c in costs)]


def scores_of(spec: str, prepared: Prepared, seed: int) -> tuple[Router, FloatArray]:
    """Scores (V, K) of the validation part; early stopping takes a fifth of the training part."""
    router = make_router(spec)
    train = prepared.train
    x = train.inputs(router)
    stop = stream(seed, "stop").random(len(x)) < 0.2
    inner = Validation(x[stop], train.performance[stop], train.cost_usd[stop])
    keep = ~stop if getattr(router, "patience", None) is not None else np.ones(len(x), bool)
    router.fit(
        x[keep],
        train.performance[keep],
        train.cost_usd[keep],
        validation=inner,
        rng=stream(seed, spec),
    )
    return router, router.predict(prepared.validation.inputs(router)).astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--routers", default=ROUTERS)
    parser.add_argument("--encoder", default="minilm")
    args = parser.parse_args()
    for dataset in args.datasets:
        outcomes = load_dataset(dataset)
        encoder = make_encoder(args.encoder)
        embeddings = encode_cached(
            encoder, outcomes.texts, outcomes.image_paths, cache=EmbeddingCache()
        )
        parts = {
            seed: prepare(outcomes, embeddings, split_outcomes(outcomes, seed=seed))
            for seed in range(42, 42 + args.seeds)
        }
        print(f"\n### {outcomes.name}, {encoder.name}, validation, {args.seeds} seeds\n")
        print("| router | calibration | squared error | ECE | cost at 98 % | at 95 % | at 90 % |")
        print("|---|---|---|---|---|---|---|")
        for spec in args.routers.split(","):
            made = {seed: scores_of(spec, part, seed) for seed, part in parts.items()}
            ranks = made[42][0].scores_are == "ranking"
            for name, fit in CANDIDATES.items():
                if ranks and name in ("as they are", "logistic 10, logit"):
                    continue
                rows = np.array(
                    [
                        measured(
                            cross_fitted(fit, scores, parts[seed].validation.performance),
                            parts[seed].validation,
                        )
                        for seed, (_, scores) in made.items()
                    ]
                )
                print(f"| `{spec}` | {name} | {' | '.join(map(_cell, rows.T))} |", flush=True)


def _cell(values: FloatArray) -> str:
    reached = values[~np.isnan(values)]
    missed = f" ({len(values) - reached.size} never)" if reached.size < len(values) else ""
    return f"{reached.mean():.4f}{missed}" if reached.size else "/"


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
