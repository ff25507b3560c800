"""Time the measures on arrays of RouterBench's size: python benchmarks/bench_evaluation.py

22,000 queries x 11 models x 100 budgets, random outcomes with RouterBench's ties and costs that
differ between models by a factor of 70. The time does not depend on the values.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.evaluation.bootstrap import resample_counts, weighted_means
from equirouter.evaluation.curve import measure
from equirouter.policy.collapse_score import call_shares, collapse_table, pick

REPEATS = 5


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--queries", type=int, default=22_000)
    options.add_argument("--models", type=int, default=11)
    options.add_argument("--budgets", type=int, default=100)
    options.add_argument("--resamples", type=int, default=1_000)
    args = options.parse_args()
    performance, cost_usd = simulate(args.queries, args.models)
    chosen = choose(performance, cost_usd, args.budgets)
    print(
        f"{args.queries:,} queries x {args.models} models x {args.budgets} budgets; "
        f"{os.cpu_count()} cores, OPENBLAS_NUM_THREADS="
        f"{os.environ.get('OPENBLAS_NUM_THREADS', 'unset (all cores)')}, "
        f"numpy {np.__version__}, load {os.getloadavg()[0]:.1f}, median of {REPEATS}"
    )

    def with_intervals() -> object:
        rng = np.random.default_rng(0)
        return measure(chosen, performance, cost_usd, resamples=args.resamples, rng=rng)

    def draw_only() -> None:
        for _ in resample_counts(args.queries, args.resamples, np.random.default_rng(0)):
            pass

    def sweep_outcomes() -> list[FloatArray]:
        return pick(chosen, performance, cost_usd, collapse_table(performance, cost_usd))

    values = np.concatenate(sweep_outcomes(), axis=1)
    counts = next(resample_counts(args.queries, 250, np.random.default_rng(0)))
    report("all metrics, no intervals", lambda: measure(chosen, performance, cost_usd, resamples=0))
    report(f"all metrics, {args.resamples:,} resamples", with_intervals)
    report("  collapse table (N, K)", lambda: collapse_table(performance, cost_usd))
    report("  table and three gathers", sweep_outcomes)
    report("  call shares (T, K)", lambda: call_shares(chosen, args.models))
    report(f"  drawing {args.resamples:,} resamples", draw_only)
    report(
        f"  means of {len(counts)} of them (3 x T columns)", lambda: weighted_means(counts, values)
    )


def simulate(n_queries: int, n_models: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    accuracy = np.linspace(0.3, 0.8, n_models)
    performance = (rng.random((n_queries, n_models)) < accuracy).astype(np.float64)
    price = np.geomspace(5e-5, 3.5e-3, n_models)
    return performance, price * rng.lognormal(0.0, 0.5, (n_queries, n_models))


def choose(performance: FloatArray, cost_usd: FloatArray, n_budgets: int) -> IntArray:
    """A noisy oracle per budget, the cheapest model where nothing fits."""
    noisy = performance + np.random.default_rng(1).normal(0.0, 0.7, performance.shape)
    budgets = np.linspace(cost_usd.min(), cost_usd.max(), n_budgets)
    choices = [
        np.where(
            (cost_usd <= budget).any(axis=1),
            np.where(cost_usd <= budget, noisy, -np.inf).argmax(axis=1),
            cost_usd.argmin(axis=1),
        )
        for budget in budgets
    ]
    return np.stack(choices, axis=1)


def report(name: str, work: Callable[[], object]) -> None:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    print(f"{name:<42} {statistics.median(times):8.3f} s   fastest {min(times):.3f} s")


if __name__ == "__main__":
    main()
