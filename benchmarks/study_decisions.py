"""Does the default decide better than the paper's baselines? The proof in benchmarks/decisions.md.

    python benchmarks/study_decisions.py DATASET [...] [--seeds 10] [--resamples 300]
        [--out runs/decisions] [--into benchmarks/decisions.md]

Every router is fitted on the training part, calibrated on the validation part and measured on the
test part of 3:1:6 splits, all on the same splits, embeddings (the windows are cut from one
encoding) and predicted costs. What is fitted and measured is kept in --out, and a run that was
interrupted goes on from there. Prints Markdown; --into replaces all below its line MARKER.

A quality that is never reached counts as the strongest model: a cost of 1, and its RCI. Figures
are means over the seeds. The interval of a difference is the 95 % percentile interval of that mean
in a paired bootstrap: one resample draws queries of the whole table, and each seed's test part
takes those that are in it, so that queries which several test parts share are drawn together.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from decisions_tables import LEVELS, Figures, report

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.evaluation.bootstrap import resample_counts
from equirouter.evaluation.collapse_score import collapse_table
from equirouter.evaluation.curve import Draws, Point, measure
from equirouter.policy import BudgetPolicy, UtilityPolicy
from equirouter.routers import make_router
from equirouter.routers.scale import fit_scale
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import Part, Prepared, embedded_descriptions, prepare, stream

DEFAULT = "factors"
PAPER = "equirouter:paper"
BASELINES = ("knn", "mlp", "embedllm", "graphrouter", "mirt", "nirt", "avengerspro", "causal")
SPECS = (DEFAULT, *BASELINES, PAPER, "equirouter", "task", "oracle")
WINDOWS = ("head", "head+tail")
POLICIES = {"budget": BudgetPolicy(), "utility": UtilityPolicy()}
RATIOS = {"10 %": (1.0, 1.0, 8.0), "30 %": (3.0, 1.0, 6.0), "80 %": (8.0, 1.0, 1.0)}
MARKER = "<!-- Below: written by benchmarks/study_decisions.py -->"


@lru_cache(maxsize=1)
def table(dataset: str) -> tuple[Outcomes, Float32Array]:
    outcomes = load_dataset(dataset)
    encoder = make_encoder("minilm", window="head+tail")
    return outcomes, encode_cached(encoder, outcomes.texts, None, cache=EmbeddingCache())


def window_of(both: Float32Array, window: str) -> Float32Array:
    """One window's embeddings, cut from those of both, each half of which has length 1/sqrt(2)."""
    if window == "head+tail":
        return both
    return np.ascontiguousarray(both[:, : both.shape[1] // 2] * np.float32(np.sqrt(2)))


@lru_cache(maxsize=1)
def prepared_split(
    dataset: str, seed: int, window: str, ratios: tuple[float, float, float] = (3.0, 1.0, 6.0)
) -> Prepared:
    outcomes, both = table(dataset)
    encoder = make_encoder("minilm", window=window)
    described = embedded_descriptions(encoder, outcomes, None, cache=EmbeddingCache())
    split = split_outcomes(outcomes, seed=seed, ratios=ratios)
    made = prepare(outcomes, window_of(both, window), split, device="cpu")
    return replace(made, descriptions=described)


def kept(file: Path, arrays: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Write a file, whole or not at all."""
    partial = file.with_suffix(".part.npz")
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(file)
    return arrays


@dataclass(frozen=True)
class Job:
    """One router on one split through one window."""

    dataset: str
    seed: int
    window: str
    spec: str
    out: Path

    @property
    def stem(self) -> str:
        """Beginning of its files' names."""
        name = table(self.dataset)[0].name
        return f"{name}-{self.seed}-{self.window}-{self.spec.replace(':', '_')}"

    def scores(self) -> dict[str, FloatArray]:
        """Scores (n, K) on validation and test; from the file if they were made before."""
        file = self.out / f"{self.stem}.npz"
        if file.exists():
            return dict(np.load(file))
        prepared = prepared_split(self.dataset, self.seed, self.window)
        fitted = fit_router(self.spec, prepared, seed=self.seed, device="cpu")
        router, seconds = fitted.router, fitted.fit_seconds
        parts = {"validation": prepared.validation, "test": prepared.test}
        scores = {
            name: router.predict(part.inputs(router)).astype(np.float64)
            for name, part in parts.items()
        }
        print(file.name, f"{seconds:.1f} s", flush=True)
        return kept(file, {"seconds": np.array(seconds), **scores})

    def figures(self, policy: str, resamples: int) -> Figures:
        """Figures of the test part; from the file if it was measured before."""
        file = self.out / f"{self.stem}-{policy}-{resamples}.npz"
        if not file.exists():
            kept(file, self._measured(policy, resamples))
        return Figures(**np.load(file))

    def _measured(self, policy: str, resamples: int) -> dict[str, FloatArray]:
        prepared = prepared_split(self.dataset, self.seed, self.window)
        router, part, rule = make_router(self.spec), prepared.test, POLICIES[policy]
        by_part = self.scores()
        scores = by_part["test"].astype(np.float64)
        if rule.needs == "expected_performance" and not router.is_anchor:
            scale = fit_scale(
                by_part["validation"].astype(np.float64),
                prepared.validation.performance,
                centred=router.scores_are == "ranking",
            )
            scores = scale.apply(scores)
        costs = part.costs(router)
        counts = table_counts(table(self.dataset)[0].n_queries, resamples)[:, part.rows]
        points = rule.points(scores, costs, 100)
        measured = measure(
            rule.sweep(scores, costs, points),
            part.performance,
            part.cost_usd,
            path=rule.path(scores, costs),
            counts=counts,
        )
        every = np.ones((1, len(part.rows)))
        whole = _at_levels(measured.point, _strongest_rci(part, every))
        drawn = _at_levels(measured.draws, _strongest_rci(part, counts))
        nauc = measured.point["nauc"]
        return {**whole, **{f"{k}_draws": v for k, v in drawn.items()}, "nauc": np.array(nauc)}


@lru_cache(maxsize=1)
def table_counts(n_queries: int, resamples: int) -> FloatArray:
    """(R, N): how often each query of a table is drawn; the same for every router and seed."""
    return np.concatenate(list(resample_counts(n_queries, resamples, stream(0, "bootstrap"))))


def _strongest_rci(part: Part, counts: FloatArray) -> FloatArray:
    """(R,): RCI of always calling the model that is strongest in a resample."""
    wasted = counts @ collapse_table(part.performance, part.cost_usd)
    best = (counts @ part.performance).argmax(axis=1)
    return np.asarray(wasted[np.arange(len(counts)), best] / counts.sum(axis=1))


def _at_levels(
    values_at: dict[str, Point] | dict[str, Draws], strongest_rci: FloatArray
) -> dict[str, FloatArray]:
    """cost and rci (L, R) at LEVELS; where one is never reached, those of the strongest model."""
    rows: dict[str, list[FloatArray]] = {"cost": [], "rci": []}
    for level in LEVELS:
        for name, instead in (("cost", np.ones_like(strongest_rci)), ("rci", strongest_rci)):
            values = values_at[f"{name}_at_quality"]
            if not isinstance(values, dict):
                raise AssertionError(f"{name} at a quality is a map")
            value = np.atleast_1d(np.asarray(values[level], dtype=np.float64))
            rows[name].append(np.where(np.isnan(value), instead, value))
    return {name: np.stack(levels) for name, levels in rows.items()}


def pooled(dataset: str, seeds: Sequence[int], size: str, out: Path) -> dict[str, FloatArray]:
    """The default on all seeds' test queries as one, fitted on a training part of this size."""
    file = out / f"{table(dataset)[0].name}-pooled-{size.split()[0]}-{len(seeds)}.npz"
    if file.exists():
        return dict(np.load(file))
    parts = []
    for seed in seeds:
        prepared = prepared_split(dataset, seed, "head+tail", RATIOS[size])
        router = fit_router(DEFAULT, prepared, seed=seed).router
        held, test = prepared.validation, prepared.test
        seen = router.predict(held.embeddings).astype(np.float64)
        scale = fit_scale(seen, held.performance, centred=False)
        scores = scale.apply(router.predict(test.embeddings))
        parts.append((scores, test.predicted_cost_usd, test.performance, test.cost_usd))
    scores, costs, performance, cost_usd = map(np.concatenate, zip(*parts, strict=True))
    rule = UtilityPolicy()
    chosen = rule.sweep(scores, costs, rule.points(scores, costs, 100))
    path = rule.path(scores, costs)
    point = measure(chosen, performance, cost_usd, path=path, resamples=0).point
    return kept(file, {"cost": _at_levels(point, np.ones(1))["cost"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("runs/decisions"))
    parser.add_argument("--into", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    seeds = range(42, 42 + args.seeds)
    lines = [MARKER]
    for dataset in args.datasets:
        figures: dict[tuple[str, str, str], list[Figures]] = {}
        for seed, window in itertools.product(seeds, WINDOWS):
            for spec, policy in itertools.product(SPECS, POLICIES):
                job = Job(dataset, seed, window, spec, args.out)
                row = figures.setdefault((spec, window, policy), [])
                row.append(job.figures(policy, args.resamples))
        sizes = {size: pooled(dataset, seeds, size, args.out)["cost"][:, 0] for size in RATIOS}
        lines += report(table(dataset)[0], figures, sizes, BASELINES, PAPER, DEFAULT)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.into:
        before = args.into.read_text().split(MARKER)[0]
        args.into.write_text(before + text)


if __name__ == "__main__":
    main()
