"""Questions about the paper that its tables do not answer: tie weight, window, loss, policy.

    python benchmarks/study_reproduction.py DATASET [...] [--seeds 5] [--policy budget-grid utility]
        [--questions ties window loss] [--out runs/reproduction]
    python benchmarks/study_reproduction.py --table-1 RUN [...]

ties    Eq. 8 as written (tie_weight=1) against smaller weights of the pairs that only cost orders.
window  `head`, what the paper's set-up reads of a prompt, against `tail` and `head+tail`.
loss    the ranking loss against a squared error on the same network, by the same policy.

The protocol is that of `equirouter bench`: fitted on the training part, stopped on validation,
measured on the test part; nothing is chosen here. Prints Markdown. Means over the seeds; behind ±
the half width of the 95 % interval of a mean over seeds (t distribution). A quality that is never
reached counts as a cost of 1, because the strongest model can always be called; RCI at a quality is
over the seeds that reach it. A difference is from the first row of its table, seed by seed.

--table-1: folders of `equirouter paper`, whose Table 1 go side by side into the page.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pages import write_csv

from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.evaluation.benchmark import benchmark
from equirouter.evaluation.measured import Measured
from equirouter.evaluation.results import RouterResults, read_results

T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}
WINDOWS = ("head", "tail", "head+tail")
TIES = ("1", "0.5", "0.1", "0.05", "0.01", "0")
QUESTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ties": (("head+tail",), tuple(f"equirouter:paper:tie_weight={weight}" for weight in TIES)),
    "window": (WINDOWS, ("equirouter", "equirouter:paper:tie_weight=0", "mlp", "knn")),
    "loss": (
        ("head+tail",),
        (
            "equirouter:paper:loss=mse",
            "equirouter:paper:tie_weight=0",
            "equirouter:paper:tie_weight=0.01",
            "equirouter:loss=mse",
            "equirouter:tie_weight=0",
            "equirouter",
            "mlp",
        ),
    ),
}
METRICS = ("nAUC", "P_s", "RCI", "cost at 98 %", "RCI at 98 %", "cost at 95 %", "RCI at 95 %")
ANCHORS = ("random", "strongest", "task")


def values_of(router: RouterResults) -> dict[str, list[float]]:
    """Metric -> one value per seed; NaN where an RCI has no operating point to be read at."""
    values = {
        "nAUC": per_seed(router.nauc, np.nan),
        "P_s": per_seed(router.peak_score, np.nan),
        "RCI": per_seed(router.rci, np.nan),
    }
    for quality in (0.98, 0.95):
        name = f"{100 * quality:.0f} %"
        values[f"cost at {name}"] = per_seed(router.cost_at_quality[quality], 1.0)
        values[f"RCI at {name}"] = per_seed(router.rci_at_quality[quality], np.nan)
    return values


def per_seed(estimate: Measured, missing: float) -> list[float]:
    return [missing if value is None else value for value in estimate.per_seed]


def cell(values: Sequence[float]) -> str:
    """Mean and half width of its interval over the seeds that have a value."""
    known = np.array(values)[np.isfinite(values)]
    if not known.size:
        return "/"
    count = "" if known.size == len(values) else f" ({known.size}/{len(values)})"
    if known.size == 1:
        return f"{known[0]:.4f}{count}"
    half = T_95[known.size] * known.std(ddof=1) / np.sqrt(known.size)
    return f"{known.mean():.4f} ± {half:.4f}{count}"


def table(rows: Mapping[str, dict[str, list[float]]], anchors: Sequence[str]) -> str:
    """Every row, and below it its differences from the first that is no anchor."""
    lines = [f"| | {' | '.join(METRICS)} |", f"|---|{'---|' * len(METRICS)}"]
    first = next(name for name in rows if name not in anchors)
    for name, values in rows.items():
        shown = f"*{name}*" if name in anchors else f"`{name}`"
        lines.append(f"| {shown} | {' | '.join(cell(values[metric]) for metric in METRICS)} |")
        if name in anchors or name == first:
            continue
        gaps = [np.subtract(values[metric], rows[first][metric]).tolist() for metric in METRICS]
        lines.append(f"| difference | {' | '.join(cell(gap) for gap in gaps)} |")
    return "\n".join(lines)


def ask(
    question: str, outcomes: Outcomes, policy: str, n_seeds: int, out: Path, cache: EmbeddingCache
) -> str:
    """The table of one question on one data set by one policy."""
    windows, specs = QUESTIONS[question]
    rows: dict[str, dict[str, list[float]]] = {}
    for window in windows:
        results = benchmark(
            outcomes,
            make_encoder("minilm", window=window),
            cache=cache,
            routers=specs,
            policy=policy,
            n_seeds=n_seeds,
            resamples=0,
            out=out / f"{outcomes.name}-{question}-{policy}-{window.replace('+', '-')}",
        )
        mark = f", {window}" if len(windows) > 1 else ""
        if not rows:
            rows |= {name: values_of(results[name]) for name in ANCHORS}
        rows |= {f"{name}{mark}": values_of(results[name]) for name in specs}
    if len(windows) > 1:  # a router's windows below each other, so that differences are its own
        return "\n\n".join(
            table(
                {n: v for n, v in rows.items() if n in ANCHORS or n.startswith(f"{spec}, ")},
                ANCHORS,
            )
            for spec in specs
        )
    return table(rows, ANCHORS)


def table_1(folders: Sequence[Path]) -> list[list[str]]:
    """A row per router: nAUC, cost at 98 % and calls to the strongest model of each run."""
    runs = [read_results(folder / "results-in-domain" / "results.json") for folder in folders]
    first = runs[0]
    ranked = sorted(first.routers, key=lambda name: -(first[name].nauc.mean or 0.0))
    return [
        [name, *(cell for run in runs for cell in cells_of(run[name]))]
        for name in (*first.anchors, *ranked)
    ]


def cells_of(router: RouterResults) -> list[str]:
    """A quality that is never reached costs what the strongest model costs."""
    at = np.mean(per_seed(router.cost_at_quality[0.98], 1.0))
    return [f"{router.nauc.mean:.3f}", f"{at:.3f}", f"{router.strongest_share.mean:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="*")
    parser.add_argument("--table-1", nargs="+", type=Path, default=[])
    parser.add_argument("--seeds", type=int, default=5, choices=list(T_95))
    parser.add_argument("--policy", nargs="+", default=["budget-grid", "utility"])
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS), choices=list(QUESTIONS))
    parser.add_argument("--out", type=Path, default=Path("runs/reproduction"))
    args = parser.parse_args()
    if args.table_1:
        write_csv("table-1", table_1(args.table_1))
    cache = EmbeddingCache()
    for dataset in args.datasets:
        outcomes = load_dataset(dataset)
        for question in args.questions:
            for policy in args.policy:
                found = ask(question, outcomes, policy, args.seeds, args.out, cache)
                title = f"{question}: {outcomes.name}, {policy}, {args.seeds} seeds"
                print(f"\n### {title}\n\n{found}", flush=True)


if __name__ == "__main__":
    main()
