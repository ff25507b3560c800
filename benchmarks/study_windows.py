"""Which window of a long prompt? Every window of `minilm` in routing figures.

    python benchmarks/study_windows.py DATASET [--seeds 5] [--windows head tail ...]
        [--routers task equirouter mlp knn] [--resamples 1000]

Every window sees the same splits. Two measurements are made and kept apart:

validation  fitted on four fifths of the training part; the last fifth stops early and makes scores
            comparable for the utility policy; the validation part measures.
test        the protocol of `equirouter bench`: fitted on the training part, stopped on validation,
            measured on the test part.

"a&b" joins the embeddings of two windows. An encoder that learns is fitted on each seed's training
part. Prints Markdown: nAUC, and the cost that 98 % of the strongest model's quality needs, as a
share of its cost; a quality that is never reached counts as a cost of 1, because the strongest
model can always be called. "difference" is from the first window, on the same splits and the same
resamples. In brackets the 95 % interval for one run: resamples of the queries, pooled over seeds.
"""

import argparse
import itertools
import warnings
from dataclasses import replace
from typing import Any, cast

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import Split, split_outcomes
from equirouter.encoders import EmbeddingCache, duplicate_share
from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.evaluation.bootstrap import pooled_interval
from equirouter.evaluation.curve import Measurement, measure
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
from equirouter.policy import BudgetPolicy, UtilityPolicy
from equirouter.routers import make_router

WINDOWS = ("head+tail", "head", "tail", "windows", "dedup", "head&dedup", "dedup&tail")
ROUTERS = ("task", "equirouter", "mlp", "knn")
POLICIES = {"budget": BudgetPolicy(), "utility": UtilityPolicy()}
Figures = tuple[float, FloatArray]  # of one seed: the figure, and that of each resample

Found = dict[tuple[str, str, str, str], list[dict[str, Figures]]]
"""Part, policy, router and window -> the figures of every seed."""


def embeddings_of(
    window: str, outcomes: Outcomes, split: Split, prefixes: dict[int, str]
) -> Float32Array:
    parts = []
    for name in window.split("&"):
        encoder = MiniLMEncoder(window=name)
        parts.append(embedded(encoder, outcomes, split, cache=EmbeddingCache()))
        if encoder.learns:
            lengths = " and ".join(f"{len(prefix):,}" for prefix in encoder.prefixes_.texts)
            prefixes[split.seed] = lengths or "none"
    return np.hstack(parts) / np.float32(np.sqrt(len(parts)))


def without_validation(prepared: Prepared, seed: int) -> Prepared:
    """The training part cut in two, for fitting and stopping; the validation part measures."""
    stop = stream(seed, "stop").random(len(prepared.train.rows)) < 0.2
    complete = ~np.isnan(prepared.train.performance).any(axis=1)
    return replace(
        prepared,
        train=_rows(prepared.train, ~stop),
        validation=_rows(prepared.train, stop & complete),
        test=prepared.validation,
    )


def _rows(part: Part, keep: np.ndarray) -> Part:
    return Part(
        part.rows[keep],
        part.embeddings[keep],
        part.tasks[keep],
        part.noise[keep],
        part.performance[keep],
        part.cost_usd[keep],
        part.predicted_cost_usd[keep],
    )


def measured(spec: str, prepared: Prepared, seed: int, resamples: int) -> dict[str, Measurement]:
    """One router, fitted once, on prepared.test under both policies."""
    router = make_router(spec)
    fit_timed(router, prepared, name=spec, seed=seed)
    test, found = prepared.test, {}
    for name, rule in POLICIES.items():
        scores = scores_of(router, test, scale_for(router, prepared.validation, rule))
        costs = test.costs(router)
        chosen = rule.sweep(scores, costs, rule.points(scores, costs, 100))
        rng = stream(seed, "bootstrap")  # the same resamples for every window and router
        found[name] = measure(chosen, test.performance, test.cost_usd, resamples=resamples, rng=rng)
    return found


def figures(measurement: Measurement) -> dict[str, Figures]:
    point = cast(dict[str, Any], measurement.point)
    draws = cast(dict[str, Any], measurement.draws)
    at, drawn = (found["cost_at_quality"]["0.98"] for found in (point, draws))
    cost = 1.0 if at is None else float(at)
    return {
        "nauc": (float(point["nauc"]), draws["nauc"]),
        "cost": (cost, np.where(np.isnan(drawn), 1.0, drawn)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--windows", nargs="*", default=list(WINDOWS))
    parser.add_argument("--routers", nargs="*", default=list(ROUTERS))
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    outcomes = load_dataset(args.dataset)
    seeds = range(42, 42 + args.seeds)
    found: Found = {}
    prefixes: dict[int, str] = {}
    print("| window | d | queries that look like another one |\n|---|---|---|")
    for window in args.windows:
        for seed in seeds:
            split = split_outcomes(outcomes, seed=seed)
            embeddings = embeddings_of(window, outcomes, split, prefixes)
            if seed == seeds[0]:
                alike = duplicate_share(embeddings, outcomes.texts)
                share = f"{alike.n_duplicates:,} ({alike.share:.1%})"
                print(f"| `{window}` | {embeddings.shape[1]} | {share} |", flush=True)
            whole = prepare(outcomes, embeddings, split, device="cpu")
            parts = {"validation": without_validation(whole, seed), "test": whole}
            for (part, prepared), router in itertools.product(parts.items(), args.routers):
                for policy, one in measured(router, prepared, seed, args.resamples).items():
                    row = found.setdefault((part, policy, router, window), [])
                    row.append(figures(one))
    for seed, lengths in prefixes.items():
        print(f"\nSeed {seed}: dedup found prefixes of these lengths in characters: {lengths}")
    for part, policy in itertools.product(("validation", "test"), POLICIES):
        print(f"\n### {outcomes.name}, {part} part, {policy} policy, {args.seeds} seeds\n")
        print_table(found, part, policy, args.routers, args.windows)
    print(f"\n### {outcomes.name}, means over the routers that read the query\n")
    print_means(found, [router for router in args.routers if router != "task"], args.windows)


def print_table(
    found: Found, part: str, policy: str, routers: list[str], windows: list[str]
) -> None:
    print("| router | window | nAUC | difference | cost at 98 % | difference |")
    print("|---|---|---|---|---|---|")
    for router, window in itertools.product(routers, windows):
        rows = found[part, policy, router, window]
        base = found[part, policy, router, windows[0]]
        cells = [f"| `{router}` | `{window}` "]
        for name in ("nauc", "cost"):
            cells.append(f"| {_cell([row[name] for row in rows], '')} ")
            pairs = [(a[name], b[name]) for a, b in zip(rows, base, strict=True)]
            gaps = [(a[0] - b[0], a[1] - b[1]) for a, b in pairs]
            cells.append(f"| {'–' if rows is base else _cell(gaps, '+')} ")
        print("".join(cells) + "|")


def print_means(found: Found, routers: list[str], windows: list[str]) -> None:
    print("| part | policy | window | nAUC | cost at 98 % |\n|---|---|---|---|---|")
    for part, policy, window in itertools.product(("validation", "test"), POLICIES, windows):
        rows = [row for router in routers for row in found[part, policy, router, window]]
        means = " | ".join(f"{np.mean([row[n][0] for row in rows]):.3f}" for n in ("nauc", "cost"))
        print(f"| {part} | {policy} | `{window}` | {means} |")


def _cell(seeds: list[Figures], sign: str) -> str:
    mean = float(np.mean([value for value, _ in seeds]))
    interval = pooled_interval([draws for _, draws in seeds])
    low, high = (np.nan, np.nan) if interval is None else interval
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
