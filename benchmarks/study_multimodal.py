"""Text, image, or both: what each is worth on `simulated-multimodal`, with paired intervals.

    python benchmarks/study_multimodal.py [--tables 0 2 3 4 5] [--seeds 5] [--part test]
        [--policy budget utility] [--routers linear knn equirouter mlp] [--resamples 1000]
        [--reads encoders | truth] [--image-weights random]

--tables: seeds of the data set, each of them 3,000 other queries; each is split by the seeds 42,
43, ... A router is fitted on the training part; the validation part sets its penalty or stops it
early and calibrates it, as in `bench`, and --part is measured. `encoders` reads the text with
`minilm`, the image with `vision` (parts=image), and both as `vision` joins them. `truth` reads, in
their place, what the data set was made from: the task and how much thought the question asks for
(text), the task and the picture's amount, faintness and clutter (image), and both: what there is to
gain, and it needs no encoder.

Per router: nAUC, and the cost of 98 % and 95 % of the strongest model's quality as a share of its
cost; a quality that is never reached costs 1, as the strongest is always there to be called. In
brackets 95 % intervals. Of one table: bootstrap over its queries, those of all seeds pooled, as in
`bench`. Of several: of the mean over tables (t distribution; a table counts with the mean over its
splits). Differences are between figures of the same queries. Anchors have the costs that are
predicted from text and image.
"""

import argparse
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.simulated_multimodal import SimulatedMultimodal
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders import make_encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.evaluation.bootstrap import pooled_interval
from equirouter.evaluation.curve import measure
from equirouter.evaluation.protocol import (
    Part,
    Prepared,
    embedded,
    fit_timed,
    prepare,
    scale_for,
    scores_of,
    stream,
)
from equirouter.registry import POLICIES
from equirouter.routers import Router, make_router

ANCHORS = ("random", "cheapest", "strongest", "task", "oracle")
READS = ("text", "image", "text+image")
METRICS = ("nAUC", "cost at 98 %", "cost at 95 %")
N_POINTS = 100
T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}


class Found(NamedTuple):
    """The METRICS of one router on one seed: values (3,), and draws (R, 3) of them."""

    point: FloatArray
    draws: FloatArray


def truth(outcomes: Outcomes, factors: FloatArray) -> dict[str, Float32Array]:
    """Embeddings of length 1 that say all that text and image could, by what is read."""
    known = np.unique(outcomes.tasks, return_inverse=True)[1]
    task, even = np.eye(known.max() + 1)[known], np.ones((len(known), 1))
    spread = (factors - factors.mean(axis=0)) / factors.std(axis=0) / 2
    columns = {"text": [0], "image": [1, 2, 3], "text+image": [0, 1, 2, 3]}
    rows = {name: np.hstack([task, even, spread[:, chosen]]) for name, chosen in columns.items()}
    return {
        name: (row / np.linalg.norm(row, axis=1, keepdims=True)).astype(np.float32)
        for name, row in rows.items()
    }


def encoded(outcomes: Outcomes, split: Split, image_weights: str) -> dict[str, Float32Array]:
    """Embeddings by what is read; neither encoder learns, so any split will do."""
    image = make_encoder("vision", parts="image", image_weights=image_weights)
    cache = EmbeddingCache()
    text = embedded(make_encoder("minilm"), outcomes, split, cache=cache)
    seen = embedded(image, outcomes, split, cache=cache)
    both = np.concatenate([text, seen], axis=1) / np.sqrt(np.float32(2))  # as `vision` joins them
    return {"text": text, "image": seen, "text+image": both}


def found(
    name: str, prepared: Prepared, split: Split, args: argparse.Namespace
) -> dict[str, Found]:
    """One router on one seed, fitted once and measured under every policy."""
    router = make_router(name)
    fit_timed(router, prepared, name=name, seed=split.seed)
    return {policy: measured(router, prepared, policy, split.seed, args) for policy in args.policy}


def measured(
    router: Router, prepared: Prepared, policy: str, seed: int, args: argparse.Namespace
) -> Found:
    part: Part = getattr(prepared, args.part)
    rule = POLICIES.load(policy)()
    scores = scores_of(router, part, scale_for(router, prepared.validation, rule))
    costs = part.costs(router)
    result = measure(
        rule.sweep(scores, costs, rule.points(scores, costs, N_POINTS)),
        part.performance,
        part.cost_usd,
        path=rule.path(scores, costs),
        resamples=args.resamples,
        rng=stream(seed, "bootstrap"),  # the same resamples for all: paired
    )
    draws = figures(result.draws).T if result.draws else np.empty((0, len(METRICS)))
    return Found(figures(result.point), draws)


def figures(metrics: Mapping[str, Any]) -> FloatArray:
    """The METRICS, (3,) or (3, R)."""
    costs = metrics["cost_at_quality"]
    columns = [metrics["nauc"], costs["0.98"], costs["0.95"]]
    values = np.array([np.asarray(column, dtype=np.float64) for column in columns])
    return np.where(np.isnan(values), 1.0, values)


def cells(tables: Sequence[Sequence[Found]], less: Sequence[Sequence[Found]] | None = None) -> str:
    """The three figures of a row, or their differences from another row; by table, then seed."""
    points = np.array([[run.point for run in runs] for runs in tables])  # (tables, seeds, 3)
    draws = [run.draws for runs in tables for run in runs]
    if less is not None:
        points -= np.array([[run.point for run in runs] for runs in less])
        others = [run.draws for runs in less for run in runs]
        draws = [a - b for a, b in zip(draws, others, strict=True)]
    sign, texts = "" if less is None else "+", []
    for place, mean in enumerate(points.mean(axis=(0, 1))):
        if len(tables) == 1:
            low, high = pooled_interval([draw[:, place] for draw in draws]) or (np.nan, np.nan)
        else:
            of_tables = points[:, :, place].mean(axis=1)
            half = T_95[len(tables)] * of_tables.std(ddof=1) / np.sqrt(len(tables))
            low, high = mean - half, mean + half
        texts.append(f"{mean:{sign}.4f} ({low:{sign}.4f} to {high:{sign}.4f})")
    return " | ".join(texts)


def runs_of(table: int, args: argparse.Namespace) -> dict[tuple[str, str, str], list[Found]]:
    """Policy, router and what is read -> a run per seed, of one table."""
    made = SimulatedMultimodal(seed=table)
    outcomes = made.load()
    splits = [split_outcomes(outcomes, seed=42 + i) for i in range(args.seeds)]
    if args.reads == "truth":
        embeddings = truth(outcomes, made.factors())
    else:
        embeddings = encoded(outcomes, splits[0], args.image_weights)
    runs: dict[tuple[str, str, str], list[Found]] = {}
    for split in splits:
        for reads, rows in embeddings.items():
            prepared = prepare(outcomes, rows, split)
            for name in (*args.routers, *(ANCHORS if reads == READS[-1] else ())):
                for policy, run in found(name, prepared, split, args).items():
                    runs.setdefault((policy, name, reads), []).append(run)
    return runs


def print_rows(
    tables: Sequence[Mapping[tuple[str, str, str], list[Found]]], policy: str, routers: list[str]
) -> None:
    """The table of one policy: by router and what is read."""

    def of(name: str, reads: str = READS[-1]) -> list[list[Found]]:
        return [runs[policy, name, reads] for runs in tables]

    print(f"\n### {policy}\n\n| router | reads | {' | '.join(METRICS)} |\n{'|---' * 5}|")
    for name in routers:
        for reads in READS:
            print(f"| {name} | {reads} | {cells(of(name, reads))} |")
        for reads in READS[:-1]:
            print(f"| | both less {reads} | {cells(of(name), of(name, reads))} |")
    for name in ANCHORS:
        print(f"| {name} (anchor) | | {cells(of(name))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--policy", nargs="+", default=["budget", "utility"])
    parser.add_argument("--routers", nargs="+", default=["linear", "knn", "equirouter", "mlp"])
    parser.add_argument("--part", default="test", choices=["validation", "test"])
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--reads", default="encoders", choices=["encoders", "truth"])
    parser.add_argument("--image-weights", default="random")
    args = parser.parse_args()
    if len(args.tables) > 1:
        args.resamples = 0  # the interval is over the tables
    tables = [runs_of(table, args) for table in args.tables]
    print(
        f"simulated-multimodal, tables {args.tables}, {args.part}, {args.seeds} seeds, {args.reads}"
    )
    for policy in args.policy:
        print_rows(tables, policy, args.routers)


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
