"""Does an indifference zone help: of what validation cannot tell from the best, the cheapest?

    python benchmarks/study_zone.py DATASET [DATASET ...] [--seeds 8]
        [--routers factors equirouter mlp knn]

For each seed and router the width is found on the validation part (evaluation/zone.py), under
budgets and along lambda, and the test part is measured with the zone and without, at 100 operating
points. Prints Markdown: how many seeds have a zone and the share of the test decisions that it
changes, and the paired differences with the zone less without, means over the seeds with the half
width of their 95 % interval (t): cost at 98 and 95 % of the strongest model's performance, as a
share of its cost, and the highest performance on the curve, as a share of the strongest's. Seeds
in which a quality is not reached with and without the zone are left out of that column; `lost`
counts those in which it is reached without the zone only.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.evaluation.protocol import Part, cross_fitted, prepare, scale_for, scores_of
from equirouter.evaluation.sweeps import fit_router
from equirouter.evaluation.zone import zone_width
from equirouter.policy import BudgetPolicy, InZone, Policy, UtilityPolicy

QUALITIES = (0.98, 0.95)
POINTS = 100
T_975 = {5: 2.776, 8: 2.365, 10: 2.262}


@dataclass(frozen=True)
class Row:
    """One seed: the width, the share of decisions that it changes, and the measures."""

    width: float
    changed: float
    without: list[float]
    with_zone: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--routers", nargs="+", default=["factors", "equirouter", "mlp", "knn"])
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    print("| data | router | policy | seeds with a zone | changed | 98 % | 95 % | lost | highest |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for name in args.datasets:
        found: dict[tuple[str, str], list[Row]] = {}
        outcomes = load_dataset(name)
        for seed in range(42, 42 + args.seeds):
            for key, row in measured(outcomes, args.routers, seed):
                found.setdefault(key, []).append(row)
        for (router, policy), rows in found.items():
            print(f"| {outcomes.name} | {router} | {policy} | {shown(rows)} |", flush=True)


def measured(
    outcomes: Outcomes, routers: list[str], seed: int
) -> list[tuple[tuple[str, str], Row]]:
    encoder = make_encoder("minilm")
    embeddings = encode_cached(encoder, outcomes.texts, cache=EmbeddingCache())
    split = split_outcomes(outcomes, seed=seed)
    prepared = prepare(outcomes, embeddings, split)
    strongest = outcomes.take(split.train).strongest
    validation, test = prepared.validation, prepared.test
    found = []
    for spec in routers:
        router = fit_router(spec, prepared, seed=seed)
        scale = scale_for(router, validation, UtilityPolicy())
        own = [scores_of(router, part, None) for part in (validation, test)]
        estimates = [cross_fitted(router, validation, seed), scores_of(router, test, scale)]
        for rule, (held_out, scores) in ((BudgetPolicy(), own), (UtilityPolicy(), estimates)):
            width = zone_width(
                rule,
                held_out,
                validation.predicted_cost_usd,
                validation.performance,
                validation.cost_usd,
            )
            key = (spec, type(rule).__name__.removesuffix("Policy").lower())
            found.append((key, compared(rule, width, scores, test, strongest)))
    return found


def compared(rule: Policy, width: float, scores: FloatArray, test: Part, strongest: int) -> Row:
    costs = test.predicted_cost_usd
    points = rule.points(scores, costs, POINTS)
    without = rule.sweep(scores, costs, points)
    zoned = InZone(rule, width).sweep(scores, costs, points)
    changed = float((zoned != without).mean())
    return Row(width, changed, *(measures(chosen, test, strongest) for chosen in (without, zoned)))


def measures(chosen: IntArray, test: Part, strongest: int) -> list[float]:
    performance, paid = (
        np.take_along_axis(table, chosen, axis=1).mean(axis=0) / table[:, strongest].mean()
        for table in (test.performance, test.cost_usd)
    )
    at = [paid[performance >= quality - 1e-12] for quality in QUALITIES]
    return [*(float(each.min()) if each.size else np.nan for each in at), float(performance.max())]


def shown(rows: list[Row]) -> str:
    before, after = (
        np.array([getattr(row, name) for row in rows]) for name in ("without", "with_zone")
    )
    lost = int((np.isnan(after[:, 0]) & ~np.isnan(before[:, 0])).sum())
    cells = [difference(column) for column in (after - before).T]
    zones = sum(row.width > 0 for row in rows)
    changed = np.mean([row.changed for row in rows])
    return f"{zones} of {len(rows)} | {changed:.1%} | {cells[0]} | {cells[1]} | {lost} | {cells[2]}"


def difference(values: FloatArray) -> str:
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return ""
    half = T_975.get(len(known), 2.5) * known.std(ddof=1) / np.sqrt(len(known))
    return f"{known.mean():+.4f} ± {half:.4f}"


if __name__ == "__main__":
    main()
