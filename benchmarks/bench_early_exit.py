"""Early exit: how many queries the static stage decides alone, and what that saves and costs.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/bench_early_exit.py DATASET [...]
        [--seeds 5] [--router equirouter] [--timed 200]

Per seed, three pipelines are fitted on the same split: contextual alone, static alone, and static
with the contextual one behind it. Their metrics on the test part are printed as means over seeds
with 95 % intervals (t distribution), the differences paired; then, at the pipeline's own quality
target, the share of test queries that leave early, and the mean and median time of `decide` on
--timed test queries, all three in turn, one thread.
"""

import argparse
import warnings
from time import perf_counter

import numpy as np

from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import make_encoder
from equirouter.encoders.cache import EmbeddingCache
from equirouter.evaluation.fit import fit_pipeline
from equirouter.pipeline import RoutingPipeline

METRICS = ("nauc", "peak_score", "rci")
LEVELS = ("0.98", "0.95")
T_95 = {2: 12.71, 3: 4.30, 5: 2.78, 10: 2.26}


def fit(outcomes: Outcomes, name: str, seed: int, router: str) -> RoutingPipeline:
    contextual = make_encoder("minilm", threads=1)
    static = make_encoder("static")
    return fit_pipeline(
        outcomes,
        static if name == "static" else contextual,
        early_exit=static if name == "early exit" else None,
        router=router,
        quality=0.9,
        seed=seed,
        resamples=0,
        cache=EmbeddingCache(),
    )


def metrics(pipeline: RoutingPipeline) -> list[float]:
    found = pipeline.provenance.test_metrics
    at = found["cost_at_quality"]["mean"]
    costs = [1.0 if at[level] is None else at[level] for level in LEVELS]
    return [*(found[name]["mean"] for name in METRICS), *costs]


def timed(pipeline: RoutingPipeline, queries: list[str]) -> tuple[float, float, float]:
    """Mean and median milliseconds of decide, and the share that left early."""
    pipeline.decide(queries[0])
    times, left = [], []
    for query in queries:
        start = perf_counter()
        decision = pipeline.decide(query)
        times.append(perf_counter() - start)
        left.append(decision.left_early)
    return float(np.mean(times) * 1e3), float(np.median(times) * 1e3), float(np.mean(left))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=5, choices=T_95)
    parser.add_argument("--router", default="equirouter")
    parser.add_argument("--timed", type=int, default=200)
    args = parser.parse_args()
    names = ("contextual", "static", "early exit")
    for dataset in args.datasets:
        outcomes = load_dataset(dataset)
        rows: dict[str, list[list[float]]] = {name: [] for name in names}
        times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
        for seed in range(42, 42 + args.seeds):
            test = split_outcomes(outcomes, seed=seed).test[: args.timed]
            for name in names:
                pipeline = fit(outcomes, name, seed, args.router)
                rows[name].append(metrics(pipeline))
                times[name].append(timed(pipeline, [outcomes.texts[row] for row in test]))
        print(f"\n### {outcomes.name}, {args.router}, {args.seeds} seeds\n")
        heads = ("nAUC", "P_s", "RCI", "cost at 98 %", "cost at 95 %")
        print(f"| stages | {' | '.join(heads)} | leave early | mean ms | median ms |")
        print(f"|---|{'---|' * (len(heads) + 3)}")
        reference = np.array(rows["contextual"])
        for name in names:
            mean_ms, median_ms, left = np.mean(times[name], axis=0)
            cells = _cells(np.array(rows[name]))
            print(f"| {name} | {cells} | {left:.0%} | {mean_ms:.2f} | {median_ms:.2f} |")
            if name != "contextual":
                print(f"| difference | {_cells(np.array(rows[name]) - reference)} | | | |")


def _cells(values: np.ndarray) -> str:
    half = T_95[len(values)] * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return " | ".join(
        f"{m:.4f} (± {h:.4f})" for m, h in zip(values.mean(axis=0), half, strict=True)
    )


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
