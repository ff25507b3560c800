"""Does routing pay, on real outcomes? The tables of docs/benchmarks/evidence.md.

    python benchmarks/evidence.py run TABLE [TABLE ...] --out runs/evidence [--seeds 8] [--quick]
        [--exclude-models A,B]
    python benchmarks/evidence.py page runs/evidence

TABLE: as `equirouter bench` takes it. `run` measures, per table, three results folders (the default
encoder with every lambda, `lexical` with every lambda, and the baselines under the paper's
protocol: MiniLM, even budgets, the paper's cost network) and promises.json: what a promised quality
came to, and the learning curve. `page` reads these files alone, and replaces the rows of these
tables in docs/benchmarks/data/evidence-*.csv and on the page. --quick leaves the networks out.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from pages import record, with_rows, write_csv

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

EQUIROUTERS = ("equirouter", "equirouter:original")
FACTORS = ("factors", "factors:no-tasks", "factors:no-regret")
OURS = (*FACTORS, *EQUIROUTERS, *BASELINES)
QUICK = (*FACTORS, "knn", "linear")
ALIKE = ("alpacaeval", "mathv", "routerbench_slice", "routellm_mmlu_gsm8k", "zeroeval")
"""The tables of the means. ZeroEval counts once; AlpacaEval 1, where 98 % costs 2 %, has no say."""

QUALITIES = ("0.98", "0.95", "0.90")
SHARES = (0.05, 0.1, 0.2, 0.4, 0.8)
PROMISED = 0.98


def run(table: str, out: Path, seeds: int, *, quick: bool, exclude: Sequence[str] = ()) -> None:
    outcomes = as_outcomes(table).choose_models(exclude=exclude)
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


KINDS = ("default", "lexical", "paper")


def page(folder: Path) -> None:
    """Write the figures of these tables into docs/benchmarks/data; other tables' rows stay."""
    tables = sorted(path for path in folder.iterdir() if path.is_dir())
    costs, ratios, kept, curves = [], [], [], []
    for table in tables:
        name = table.name
        results = {kind: read_results(table / kind / "results.json") for kind in KINDS}
        measured = json.loads((table / "promises.json").read_text())
        costs += [[name, *row(results[kind], router, kind)] for kind, router in rows_of(results)]
        ratios += [
            [title, name, *compared(results, kind, choose)] for title, kind, choose in OPPONENTS
        ]
        kept.append([name, *kept_of(measured["promises"])])
        curve = measured["curve"]
        curves.append([name, *(f"{np.mean(curve[str(share)]):.3f}" for share in SHARES)])
    record("evidence-cost", costs, keys=(0, 1, 2))
    record("evidence-promises", kept)
    record("evidence-curve", curves)
    write_csv("evidence-ratios", overall(with_rows("evidence-ratios", ratios, keys=(0, 1))))


def overall(ratios: Sequence[list[str]]) -> list[list[str]]:
    """By opponent, each with the geometric mean of its ratios over the tables of ALIKE."""
    lines = []
    for title, *_ in OPPONENTS:
        rows = [row for row in ratios if row[0] == title and row[1] != "all"]
        alike = [row for row in rows if row[1] in ALIKE]
        at_98, at_95 = (
            np.exp(np.mean([np.log(float(row[column])) for row in alike])) for column in (2, 5)
        )
        lines += [*rows, [title, "all", f"{at_98:.3f}", "", "", f"{at_95:.3f}", "", ""]]
    return lines


def rows_of(results: dict[str, Results]) -> list[tuple[str, str]]:
    return [
        *(("default", name) for name in results["default"].routers),
        *(("default", name) for name in results["default"].anchors),
        ("lexical", "factors"),
        *(("paper", name) for name in results["paper"].routers),
    ]


def row(results: Results, name: str, kind: str) -> list[str]:
    cells = []
    for quality in QUALITIES:
        values = at(results, name, quality)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
        cells += [f"{values.mean():.3f}", f"{error:.3f}"]
    return [kind, name, *cells]


def compared(
    results: dict[str, Results], kind: str, choose: Callable[[Results], list[str]]
) -> list[str]:
    """The default's cost over another's, and the paired difference with its standard error.

    The opponent is the one of the lowest mean cost on the test parts, which favours it.
    """
    cells = []
    for quality in QUALITIES[:2]:
        own = at(results["default"], "factors", quality)
        others = [at(results[kind], name, quality) for name in choose(results[kind])]
        other = min(others, key=lambda costs: float(costs.mean()))
        difference = own - other
        error = difference.std(ddof=1) / len(own) ** 0.5
        cells += [
            f"{own.mean() / other.mean():.3f}",
            f"{difference.mean():+.3f}",
            f"{error:.3f}",
        ]
    return cells


def by_lambda(results: Results) -> list[str]:
    return [name for name in (*EQUIROUTERS, *BASELINES) if name in results.routers]


OPPONENTS: tuple[tuple[str, str, Callable[[Results], list[str]]], ...] = (
    ("`task`, with true labels", "default", lambda _: ["task"]),
    ("means and predicted costs (`strongest`)", "default", lambda _: ["strongest"]),
    ("`lexical` alone", "lexical", lambda _: ["factors"]),
    ("the best other router, by lambda", "default", by_lambda),
    ("the best baseline, the paper's protocol", "paper", lambda results: list(results.routers)),
)


def kept_of(promises: Sequence[dict[str, float]]) -> list[str]:
    quality = np.array([each["quality"] for each in promises])
    paid = np.mean([each["cost"] for each in promises])
    n_kept = int((quality >= PROMISED).sum())
    return [f"{n_kept} of {len(promises)}", f"{quality.min():.3f}", f"{paid:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run")
    runner.add_argument("tables", nargs="+")
    runner.add_argument("--out", type=Path, required=True)
    runner.add_argument("--seeds", type=int, default=8)
    runner.add_argument("--quick", action="store_true")
    runner.add_argument("--exclude-models", default="")
    pager = commands.add_parser("page")
    pager.add_argument("folder", type=Path)
    args = parser.parse_args()
    if hasattr(args, "folder"):
        page(args.folder)
        return
    for table in args.tables:
        exclude = [name for name in args.exclude_models.split(",") if name]
        run(table, args.out, args.seeds, quick=args.quick, exclude=exclude)


if __name__ == "__main__":
    main()
