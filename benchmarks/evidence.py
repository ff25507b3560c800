"""Does routing pay, on real outcomes? All of docs/benchmarks/evidence.md comes from this script.

    python benchmarks/evidence.py run TABLE [TABLE ...] --out runs/evidence [--seeds 8] [--quick]
    python benchmarks/evidence.py page runs/evidence > page.md

TABLE: as `equirouter bench` takes it. `run` measures, per table, three results folders (the default
encoder with every lambda, `lexical` with every lambda, and the baselines under the paper's
protocol: MiniLM, even budgets, the paper's cost network) and promises.json: what a promised quality
came to, and the learning curve. `page` reads these files alone. --quick leaves the networks out.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from equirouter import benchmark
from equirouter.data import as_outcomes
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import EmbeddingCache, encode_cached, make_encoder
from equirouter.evaluation.benchmark import FIRST_SEED
from equirouter.evaluation.curve import measure
from equirouter.evaluation.results import Results, read_results
from equirouter.evaluation.train import train
from equirouter.policy import UtilityPolicy
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import prepare

BASELINES = ("mlp", "knn", "avengerspro", "embedllm", "routerdc", "graphrouter", "mirt", "causal")
"""The eight of the paper's Table 1."""

OURS = ("factors", "factors:no-tasks", "factors:no-regret", "equirouter", "mlp", "knn")
QUICK = ("factors", "factors:no-tasks", "factors:no-regret", "knn", "linear")
QUALITIES = ("0.98", "0.95", "0.90")
SHARES = (0.05, 0.1, 0.2, 0.4, 0.8)
PROMISED = 0.98


def run(table: str, out: Path, seeds: int, *, quick: bool) -> None:
    outcomes = as_outcomes(table)
    folder = out / Path(table).stem
    shared: dict[str, Any] = {"n_seeds": seeds, "cache": EmbeddingCache(), "resamples": 1000}
    specs = QUICK if quick else OURS
    ours = benchmark(outcomes, routers=specs, policy="utility", out=folder / "default", **shared)
    print(f"{table}: {cost(ours, 'factors', '0.98')} of the strongest's cost at 98 %", flush=True)
    parts = ("factors", "knn")
    without: dict[str, Any] = {"routers": parts, "policy": "utility", "out": folder / "lexical"}
    benchmark(outcomes, "lexical", **without, **shared)
    authors = ("equirouter:original", "equirouter:paper")
    paper = ("knn", "avengerspro") if quick else (*BASELINES, *authors)
    benchmark(
        outcomes,
        "minilm",
        routers=paper,
        policy="budget-grid",
        cost_network=True,
        out=folder / "paper",
        **shared,
    )
    document = {"promises": promises(outcomes, seeds), "curve": learning_curve(outcomes, seeds)}
    (folder / "promises.json").write_text(json.dumps(document, indent=1))


def promises(outcomes: Outcomes, seeds: int) -> list[dict[str, float]]:
    """For each seed, what a promise of 98 % came to on the test part."""
    encoder = make_encoder("lexical+minilm")
    embeddings = encode_cached(encoder, outcomes.texts, cache=EmbeddingCache())
    rows = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        made = train(
            outcomes,
            "lexical+minilm",
            quality=PROMISED,
            seed=seed,
            refit=False,
            resamples=0,
            embeddings=embeddings,
        )
        kept = made.provenance.test_metrics["at_quality"]
        rows.append({"quality": kept["performance"], "cost": kept["cost"]})
    return rows


def learning_curve(outcomes: Outcomes, seeds: int) -> dict[str, list[float]]:
    """Share of the rows that is learned from -> cost at 95 % for each seed."""
    encoder = make_encoder("lexical+minilm")
    embeddings = encode_cached(encoder, outcomes.texts, cache=EmbeddingCache())
    rule = UtilityPolicy()
    curve: dict[str, list[float]] = {}
    for share in SHARES:
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            ratios = (0.75 * share, 0.25 * share, 1 - share)
            split = split_outcomes(outcomes, seed=seed, ratios=ratios)
            prepared = prepare(outcomes, embeddings, split)
            fitted = fit_router("factors", prepared, seed=seed)
            test = prepared.test
            scores = fitted.scores(test, rule)
            path = rule.path(scores, test.predicted_cost_usd)
            last = scores.argmax(axis=1)[:, None]
            point = measure(last, test.performance, test.cost_usd, path=path, resamples=0).point
            known = cast(dict[str, float | None], point["cost_at_quality"])["0.95"]
            curve.setdefault(str(share), []).append(1.0 if known is None else min(known, 1.0))
    return curve


def cost(results: Results, name: str, quality: str) -> str:
    known = results[name].cost_at_quality[quality]
    return "never" if known.mean is None else f"{known.mean:.3f}"


def at(results: Results, name: str, quality: str) -> np.ndarray:
    """Per seed; a quality that is not reached costs what the strongest model costs."""
    per_seed = results[name].cost_at_quality[quality].per_seed
    return np.array([1.0 if value is None else min(value, 1.0) for value in per_seed])


def page(folder: Path) -> str:
    tables = sorted(path for path in folder.iterdir() if path.is_dir())
    read = {
        table.name: {kind: read_results(table / kind / "results.json") for kind in KINDS}
        for table in tables
    }
    lines = ["## Cost for a quality", "", HEAD, "|---|---|---|---|---|"]
    for name, results in read.items():
        ours = results["default"]
        n = ours.dataset
        lines.append(f"| **{name}**, {n.n_queries} x {n.n_models} | | | | |")
        lines += [row(results[kind], router, kind) for kind, router in rows_of(results)]
    lines += ["", "## Ratios", "", *ratios(read), "", "## Promises", "", *kept(tables)]
    return "\n".join([*lines, "", "## Learning curve", "", *curves(tables)])


KINDS = ("default", "lexical", "paper")
HEAD = "| | router | 98 % | 95 % | 90 % |"


def rows_of(results: dict[str, Results]) -> list[tuple[str, str]]:
    return [
        *(("default", name) for name in results["default"].routers),
        ("lexical", "factors"),
        *(("paper", name) for name in results["paper"].routers),
        *(("default", name) for name in results["default"].anchors),
    ]


def row(results: Results, name: str, kind: str) -> str:
    cells = []
    for quality in QUALITIES:
        values = at(results, name, quality)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        cells.append(f"{values.mean():.3f} ± {error:.3f}")
    return f"| {kind} | `{name}` | {' | '.join(cells)} |"


def ratios(read: dict[str, dict[str, Results]]) -> Sequence[str]:
    """The default's cost over another's, and the paired difference with its standard error.

    The last column is the geometric mean of the ratios. The opponent is the one of the lowest mean
    cost on the test parts, which favours it.
    """
    lines = ["| the default against | quality | " + " | ".join(read) + " | all |"]
    lines.append("|---|---|" + "---|" * (len(read) + 1))
    for title, kind, choose in OPPONENTS:
        for quality in QUALITIES[:2]:
            values, cells = [], []
            for results in read.values():
                own = at(results["default"], "factors", quality)
                others = [at(results[kind], name, quality) for name in choose(results[kind])]
                other = min(others, key=lambda costs: float(costs.mean()))
                values.append(own.mean() / other.mean())
                difference = own - other
                error = difference.std(ddof=1) / len(own) ** 0.5
                cells.append(f"{values[-1]:.2f} ({difference.mean():+.3f} ± {error:.3f})")
            mean = float(np.exp(np.mean(np.log(values))))
            lines.append(f"| {title} | {float(quality):.0%} | {' | '.join(cells)} | {mean:.2f} |")
    return lines


OPPONENTS: tuple[tuple[str, str, Callable[[Results], list[str]]], ...] = (
    ("`task`, with true labels", "default", lambda _: ["task"]),
    ("means and predicted costs (`strongest`)", "default", lambda _: ["strongest"]),
    ("`lexical` alone", "lexical", lambda _: ["factors"]),
    ("the best other router, by lambda", "default", lambda _: ["equirouter", "mlp", "knn"]),
    ("the best baseline, the paper's protocol", "paper", lambda results: list(results.routers)),
)


def kept(tables: Sequence[Path]) -> Sequence[str]:
    lines = [f"| table | kept {PROMISED:.0%} | worst | cost |", "|---|---|---|---|"]
    for table in tables:
        rows = json.loads((table / "promises.json").read_text())["promises"]
        quality = np.array([each["quality"] for each in rows])
        paid = np.mean([each["cost"] for each in rows])
        n_kept = int((quality >= PROMISED).sum())
        n = f"{n_kept} of {len(rows)}"
        lines.append(f"| {table.name} | {n} | {quality.min():.3f} | {paid:.3f} |")
    return lines


def curves(tables: Sequence[Path]) -> Sequence[str]:
    lines = ["| table | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |"]
    lines.append("|---|" + "---|" * len(SHARES))
    for table in tables:
        curve = json.loads((table / "promises.json").read_text())["curve"]
        cells = " | ".join(f"{np.mean(curve[str(share)]):.3f}" for share in SHARES)
        lines.append(f"| {table.name} | {cells} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("tables", nargs="+")
    runner.add_argument("--out", type=Path, required=True)
    runner.add_argument("--seeds", type=int, default=8)
    runner.add_argument("--quick", action="store_true")
    pager = commands.add_parser("page")
    pager.add_argument("folder", type=Path)
    args = parser.parse_args()
    if hasattr(args, "folder"):
        print(page(args.folder))
        return
    for table in args.tables:
        run(table, args.out, args.seeds, quick=args.quick)


if __name__ == "__main__":
    main()
