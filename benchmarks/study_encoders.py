"""Which encoder? Routing figures at matched quality, beside the `task` anchor, with intervals.

    python benchmarks/study_encoders.py DATASET [...] [--seeds 5] [--policy budget utility]
        [--split in-domain ood] [--part validation] [--encoders static minilm:window=tail ...]
        [--routers equirouter mlp knn]

Every encoder sees the same splits. A router is fitted on the training part (early stopping uses a
fifth of it, so that the validation part can measure) and measured on --part. Per encoder, the mean
over --routers of: nAUC, and the cost that 98 % and 95 % of the strongest model's quality need, as a
share of its cost. In brackets the 95 % interval of the mean over seeds (t distribution); the second
line of figures is the paired difference from the first encoder of the list. A router that never
reaches a quality counts with a cost of 1: the strongest model is always there to be called.
"""

import argparse
import itertools
import warnings
from typing import cast

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders import Encoder, make_encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.evaluation.curve import measure
from equirouter.registry import POLICIES
from equirouter.routers import Router, Validation, make_router
from equirouter.routers.scale import fit_scale
from equirouter.training.protocol import (
    Part,
    Prepared,
    embedded,
    prepare,
    scores_of,
    stream,
)

ENCODERS = (
    "minilm:window=head+tail",
    "minilm:window=head+tail:precision=int8",
    "static",
    "lexical+minilm:window=head+tail",
)
METRICS = ("nAUC", "cost at 98 %", "cost at 95 %")
T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}


def make(spec: str) -> Encoder:
    name, *settings = spec.split(":")
    return make_encoder(name, **dict(setting.split("=") for setting in settings))


_known: dict[tuple[str, str, str], Float32Array] = {}


def embeddings_by(spec: str, outcomes: Outcomes, split: Split) -> Float32Array:
    """The ranges of int8 are those of the first split's training part."""
    encoder = make(spec)
    key = (spec, outcomes.name, split.kind)
    if spec.startswith("static+"):  # what the encoder does, from parts that are there
        parts = [
            embeddings_by(part, outcomes, split) for part in ("static", spec[len("static+") :])
        ]
        return np.asarray(np.concatenate(parts, axis=1) / np.sqrt(np.float32(2)))
    if key not in _known:
        _known[key] = embedded(encoder, outcomes, split, cache=EmbeddingCache())
    return _known[key]


def fitted(spec: str, prepared: Prepared, seed: int) -> Router:
    router = make_router(spec)
    train = prepared.train
    x = train.inputs(router)
    stop = stream(seed, "stop").random(len(x)) < 0.2
    stops = getattr(router, "patience", None) is not None
    keep = ~stop if stops else np.ones(len(x), dtype=bool)
    return router.fit(
        x[keep],
        train.performance[keep],
        train.cost_usd[keep],
        validation=Validation(x[stop], train.performance[stop], train.cost_usd[stop]),
        rng=stream(seed, spec),
    )


def figures(router: Router, prepared: Prepared, part: Part, policy: str) -> list[float]:
    rule = POLICIES.load(policy)()
    seen = prepared.validation
    centred = router.scores_are == "ranking"
    learned = fit_scale(scores_of(router, seen, None), seen.performance, centred=centred)
    scale = None if rule.needs == "ranking" else learned
    scores = scores_of(router, part, scale)
    points = rule.points(scores, part.predicted_cost_usd, 100)
    chosen = rule.sweep(scores, part.predicted_cost_usd, points)
    point = measure(chosen, part.performance, part.cost_usd, resamples=0).point
    at_quality = cast(dict[str, float | None], point["cost_at_quality"])
    costs = (at_quality[level] for level in ("0.98", "0.95"))
    return [cast(float, point["nauc"]), *(1.0 if cost is None else cost for cost in costs)]


def one_seed(
    outcomes: Outcomes, spec: str | None, split: Split, args: argparse.Namespace
) -> FloatArray:
    """(policies, metrics) of one encoder, means over the routers; None is the `task` anchor."""
    embeddings = embeddings_by(spec or args.encoders[0], outcomes, split)
    prepared = prepare(outcomes, embeddings, split)
    part: Part = getattr(prepared, args.part)
    routers = [fitted(name, prepared, split.seed) for name in (args.routers if spec else ["task"])]
    rows = [
        [figures(router, prepared, part, policy) for policy in args.policy] for router in routers
    ]
    return np.asarray(np.mean(rows, axis=0))


def interval(rows: FloatArray) -> list[str]:
    n = len(rows)
    half = T_95[n] * rows.std(axis=0, ddof=1) / np.sqrt(n)
    return [
        f"{mean:.4f} (± {width:.4f})" for mean, width in zip(rows.mean(axis=0), half, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=5, choices=T_95)
    parser.add_argument("--policy", nargs="+", default=["budget", "utility"])
    parser.add_argument("--split", nargs="+", default=["in-domain", "ood"])
    parser.add_argument("--part", default="validation", choices=["validation", "test"])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--routers", nargs="+", default=["equirouter", "mlp", "knn"])
    args = parser.parse_args()
    for dataset, split in itertools.product(args.datasets, args.split):
        outcomes = load_dataset(dataset)
        splits = [split_outcomes(outcomes, kind=split, seed=42 + i) for i in range(args.seeds)]
        rows = {
            spec: np.array([one_seed(outcomes, spec, made, args) for made in splits])
            for spec in (None, *args.encoders)
        }
        for place, policy in enumerate(args.policy):
            print(f"\n### {outcomes.name}, {split}, {policy}, {args.part}, {args.seeds} seeds\n")
            print(f"| encoder | {' | '.join(METRICS)} |\n|---|{'---|' * len(METRICS)}")
            base = rows[args.encoders[0]][:, place]
            for spec, figures in rows.items():
                here = figures[:, place]
                print(f"| `{spec or 'task anchor'}` | {' | '.join(interval(here))} |", flush=True)
                if spec not in (None, args.encoders[0]):
                    print(f"| difference | {' | '.join(interval(here - base))} |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
