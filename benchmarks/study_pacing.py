"""Price of a mean spend kept along a stream, against the best fixed lambda in hindsight: a study.

    python benchmarks/study_pacing.py DATASET [DATASET ...] [--routers mlp knn] [--seeds 5]

The test part is a stream, shuffled and in the table's order (in which tasks may come one after
another), and each call's true cost becomes known before the next query. The pacer starts without
knowing anything of the stream. Targets are shares of the way from what the cheapest choices cost
to what the best ones do. Prints Markdown, over routers and seeds: the mean spend as a share of the
target and its range; the performance of the fixed lambda that spends the same on this very stream,
less the pacer's, in points of the strongest model's performance (the price of not knowing the
stream); the same for the per-query budget that spends as much; and the spend of the lambda that
cost the target on the validation part. Nothing is chosen from these figures.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from pages import record

from equirouter.arrays import FloatArray
from equirouter.data import load_dataset
from equirouter.data.outcomes import Outcomes
from equirouter.data.split import split_outcomes
from equirouter.encoders import EmbeddingCache, make_encoder
from equirouter.encoders.cache import encode_cached
from equirouter.policy import BudgetPolicy, PacingPolicy, UtilityPolicy, utility_path
from equirouter.training.fitted import cross_fitted, fit_router
from equirouter.training.protocol import Part, prepare, stream

SHARES = np.array([0.1, 0.3, 0.5, 0.7, 0.9])


@dataclass(frozen=True)
class Case:
    """Estimates (n, K) of a part, its outcomes, and those of the validation part."""

    scores: FloatArray
    part: Part
    held_out: FloatArray
    validation: Part

    def reordered(self, order: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        part = self.part
        tables = (self.scores, part.predicted_cost_usd, part.performance, part.cost_usd)
        return tuple(np.asarray(table)[order] for table in tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--routers", nargs="+", default=["mlp", "knn"])
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    for name in args.datasets:
        outcomes = load_dataset(name)
        cases = [
            made
            for seed in range(42, 42 + args.seeds)
            for made in fitted(outcomes, args.routers, seed)
        ]
        for order in ("shuffled", "by task"):
            show(outcomes.name, order, np.array([one(case, order) for case in cases]))


def fitted(outcomes: Outcomes, routers: list[str], seed: int) -> list[Case]:
    encoder = make_encoder("minilm")
    embeddings = encode_cached(encoder, outcomes.texts, cache=EmbeddingCache())
    prepared = prepare(outcomes, embeddings, split_outcomes(outcomes, seed=seed))
    cases = []
    for spec in routers:
        router = fit_router(spec, prepared, seed=seed)
        held_out = cross_fitted(router, seed)
        scores = router.scores(prepared.test, UtilityPolicy())
        cases.append(Case(scores, prepared.test, held_out, router.validation))
    return cases


def one(case: Case, order: str) -> FloatArray:
    """(4, T): spend / target, fixed lambda and budget in points, spend of validation's lambda."""
    n = len(case.scores)
    rows = stream(7, "order").permutation(n) if order == "shuffled" else np.arange(n)
    scores, predicted, performance, paid = case.reordered(rows)
    path = utility_path(scores, predicted)
    spent, got = path.totals(paid) / n, path.totals(performance) / n
    targets = spent[0] + SHARES * (spent[-1] - spent[0])
    chosen = PacingPolicy().replay(scores, predicted, targets, paid)
    mine = [np.take_along_axis(table, chosen, axis=1).mean(axis=0) for table in (paid, performance)]
    rule = BudgetPolicy()
    budgets = rule.sweep(scores, predicted, rule.points(scores, predicted, 400))
    capped_spent = np.take_along_axis(paid, budgets, axis=1).mean(axis=0)
    capped_got = np.take_along_axis(performance, budgets, axis=1).mean(axis=0)
    strongest = performance.mean(axis=0).max()
    regret = [
        (level_at(cost, quality, mine[0]) - mine[1]) / strongest * 100
        for cost, quality in ((spent, got), (capped_spent, capped_got))
    ]
    held, seen = utility_path(case.held_out, case.validation.predicted_cost_usd), case.validation
    cost = held.totals(seen.cost_usd) / len(seen.cost_usd)
    lambdas = held.lambdas()[[int(np.abs(cost - target).argmin()) for target in targets]]
    fixed = UtilityPolicy().sweep(scores, predicted, lambdas)
    calibrated = np.take_along_axis(paid, fixed, axis=1).mean(axis=0)
    return np.array([mine[0] / targets, *regret, calibrated / targets])


def level_at(spent: FloatArray, got: FloatArray, at: FloatArray) -> FloatArray:
    """The performance that a curve has at a mean spend, between its points by a straight line."""
    order = np.argsort(spent, kind="stable")
    return np.interp(at, spent[order], got[order])


def show(name: str, order: str, figures: FloatArray) -> None:
    """figures (runs, 4, T)."""
    rows = []
    for place, share in enumerate(SHARES):
        spend, regret, budget, calibrated = figures[:, :, place].T
        half = 1.96 * regret.std(ddof=1) / np.sqrt(len(regret))
        ranges = [f"{found.min():.3f} to {found.max():.3f}" for found in (spend, calibrated)]
        lost = [f"{regret.mean():+.2f}", f"{half:.2f}"]
        rows.append([name, order, f"{100 * share:.0f} %", ranges[0], *lost, ranges[1]])
        print(f"{name}, {order}, {share:.0%}: {budget.mean():+.2f} points by a budget per query")
    record("pacing", rows, keys=(0, 1, 2))


if __name__ == "__main__":
    main()
