"""Does a decision know how sure it is, and does the rule for far queries help?

    python benchmarks/study_ood.py DATASET [...] [--seeds 10]

A pipeline of the default router is trained with the quality 0.98 and asked for decisions on

in-domain   the test part of the ordinary split: queries like those of training;
new tasks   the test part of the split by whole tasks, after training on the queries of all other
            tasks (train and validate 3:1): what reaches a pipeline when its traffic changes.

Prints Markdown, means over seeds: the share of queries marked as far; quality and cost as shares of
the strongest model's, under the rules `policy` and `strongest`, and in how many seeds 0.98 was
kept; of the stated confidence the mean, how often the decisions were in fact as good as the best
within 0.02, the calibration error in ten bins, and the squared error as a share of the constant's.
"""

import argparse

import numpy as np

from equirouter.arrays import BoolArray, Float32Array, FloatArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.errors import ConfigError
from equirouter.policy import UtilityPolicy
from equirouter.policy.certainty import WITHIN
from equirouter.training.calibrating import calibrated
from equirouter.training.fitted import fit_stage
from equirouter.training.protocol import stream

QUALITY = 0.98


def new_tasks(outcomes: Outcomes, seed: int) -> Split:
    """Train and validation of the same tasks, test of others."""
    made = split_outcomes(outcomes, kind="ood", seed=seed)
    seen = np.concatenate([made.train, made.validation])
    seen = stream(seed, "seen").permutation(seen)
    cut = round(0.75 * len(seen))
    train, validation = np.sort(seen[:cut]), np.sort(seen[cut:])
    return Split("ood", seed, made.ratios, train, validation, made.test, outcomes.query_ids)


def figures(outcomes: Outcomes, embeddings: Float32Array, split: Split) -> list[float]:
    encoder = make_encoder("minilm", window="head+tail")
    fitted = fit_stage(outcomes, encoder, embeddings, split, "factors", device="cpu")
    best = outcomes.take(split.train).strongest
    calibration, _, _ = calibrated(fitted, "utility", outcomes.models, best)
    try:
        lambda_ = calibration.operating_point(QUALITY, 0.5).value
    except ConfigError:
        lambda_ = 0.0  # validation does not reach it: the best there is
    stage, part = fitted.stage, fitted.parts["test"]
    certainty, familiar = stage.certainty, stage.familiar
    rule = UtilityPolicy(lambda_)
    estimates = fitted.scores(rule, part)
    chosen = rule.choose(estimates, part.predicted_cost_usd)
    far: BoolArray = familiar.far(part.embeddings)
    rows = np.arange(len(chosen))
    figures = [far.mean()]
    for columns in (chosen, np.where(far, best, chosen)):
        quality = part.performance[rows, columns].mean() / part.performance[:, best].mean()
        cost = part.cost_usd[rows, columns].mean() / part.cost_usd[:, best].mean()
        figures += [quality, cost, float(quality >= QUALITY)]
    stated = certainty.of(estimates, chosen)
    good = part.performance[rows, chosen] >= part.performance.max(axis=1) - WITHIN
    return [*map(float, figures), *_reliability(stated, good)]


def _reliability(stated: FloatArray, good: BoolArray) -> list[float]:
    bins = np.array_split(np.argsort(stated, kind="stable"), 10)
    error = np.mean([abs(stated[b].mean() - good[b].mean()) for b in bins])
    squared = ((stated - good) ** 2).mean() / max(float(good.var()), 1e-9)
    return [float(stated.mean()), float(good.mean()), float(error), float(squared)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    print(
        "| data | queries | far | `policy`: quality | cost | kept | `strongest`: quality | cost "
        "| kept | confidence stated | observed | calibration error | squared error |"
    )
    print(f"|---|---|{'---|' * 11}")
    for dataset in args.datasets:
        outcomes = load_dataset(dataset)
        encoder = make_encoder("minilm", window="head+tail")
        embeddings = encode_cached(encoder, outcomes.texts, None, cache=EmbeddingCache())
        for name in ("in-domain", "new tasks"):
            rows = []
            for seed in range(42, 42 + args.seeds):
                split = split_outcomes(outcomes, seed=seed)
                split = split if name == "in-domain" else new_tasks(outcomes, seed)
                rows.append(figures(outcomes, embeddings, split))
            far, *means = np.mean(rows, axis=0)
            cells = [f"{far:.1%}"]
            for quality, cost, share in (means[:3], means[3:6]):
                kept = f"{share * args.seeds:.0f} of {args.seeds}"
                cells += [f"{quality:.3f}", f"{cost:.3f}", kept]
            cells += [f"{value:.3f}" for value in means[6:]]
            print(f"| {outcomes.name} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
