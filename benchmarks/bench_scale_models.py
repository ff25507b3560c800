"""Seconds, memory and what a first stage loses, as the number of models grows.

    python benchmarks/bench_scale_models.py [--models 11 100 1000 8500] [--queries 2000]
        [--epochs 10] [--parts equirouter first-stage cost knn measure]

Each number of models runs in a process of its own, so that its peak memory is its own. The pool is
made: families of models, sizes and prices over three orders of magnitude, outcomes that a query's
topics and difficulty explain. Times are of the parts alone; `first stage` compares the choices of
budget and utility sweeps with and without it, by the true probability that the chosen model is
right. The last column of times is the time per cell (query and model): constant means linear.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equirouter.cost import CostModel
from equirouter.evaluation.curve import measure
from equirouter.policy import BudgetPolicy, Policy, UtilityPolicy
from equirouter.routers import Router, make_router
from equirouter.routers.scale import fit_scale

WIDTH, SKILLS, N_TEST, N_POINTS = 384, 12, 400, 60
PARTS = ("equirouter", "first-stage", "cost", "knn", "measure")
Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]


def made_pool(n: int, k: int) -> tuple[Singles, Doubles, Doubles, Singles]:
    """Embeddings (n, WIDTH), and performance, cost_usd and chance of being right, (n, k) each."""
    rng = np.random.default_rng(0)
    family = rng.integers(max(4, k // 40), size=k)
    base = rng.normal(0, 0.8, (family.max() + 1, SKILLS))[family]
    billions = np.exp(rng.uniform(np.log(0.5), np.log(400), k))
    ability = base + rng.normal(0, 0.35, (k, SKILLS)) + (0.55 * np.log(billions) - 1.5)[:, None]
    price = np.round(0.02 * billions**1.1 * np.exp(rng.normal(0, 0.5, k)), 2) + 0.01
    topic = rng.dirichlet(np.full(SKILLS, 0.25), n)
    difficulty = rng.normal(0, 1.2, n)
    seen = np.tanh(np.c_[topic * 4, difficulty] @ rng.normal(size=(SKILLS + 1, WIDTH)) / 2)
    embeddings = (seen + rng.normal(0, 0.3, seen.shape)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    chance = np.empty((n, k), np.float32)
    performance, cost_usd = np.empty((n, k)), np.empty((n, k))  # as a table has them
    tokens = np.exp(rng.normal(6, 0.8, n))
    for row in range(n):  # by row: no further (n, k) array
        chance[row] = 1 / (1 + np.exp(-2 * (ability @ topic[row] - difficulty[row])))
        performance[row] = rng.random(k) < chance[row]
        cost_usd[row] = tokens[row] * price * 1e-6 * np.exp(rng.normal(0, 0.1, k))
    return embeddings, performance, cost_usd, chance


def timed(steps: dict[str, Any], name: str, part: Callable[[], Any]) -> Any:  # noqa: ANN401
    start, before = perf_counter(), peak_mb()
    result = part()
    steps[name] = {"seconds": perf_counter() - start, "grew_mb": peak_mb() - before}
    return result


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_size(k: int, n: int, epochs: int, parts: list[str]) -> dict[str, Any]:
    embeddings, performance, cost_usd, chance = made_pool(n + 2 * N_TEST, k)
    train, held_out, test = slice(0, n), slice(n, n + N_TEST), slice(n + N_TEST, None)
    x, costs = embeddings[test], cost_usd[test]
    steps: dict[str, Any] = {"start": {"seconds": 0.0, "grew_mb": peak_mb()}}
    rng = np.random.default_rng(0)
    if "equirouter" in parts or "first-stage" in parts:
        fit = (embeddings[train], performance[train], cost_usd[train])
        import torch  # its import is no part of a fit

        _ = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
        router = make_router("equirouter", epochs=epochs, patience=None, first_stage=0)
        timed(steps, "equirouter fit", lambda: router.fit(*fit, rng=rng))
        scores = timed(steps, "equirouter predict", lambda: router.predict(x))
    if "first-stage" in parts and k > 256:
        staged = make_router("equirouter", first_stage=256).restore(router.state())
        steps["first stage"] = first_stage(
            steps, router, staged, fit, (scores, x, costs), (embeddings, performance), held_out,
            chance[test],
        )  # fmt: skip
    if "cost" in parts:
        model = CostModel(epochs=epochs)
        timed(steps, "cost fit", lambda: model.fit(embeddings[train], cost_usd[train], rng=rng))
        costs = timed(steps, "cost predict", lambda: model.predict(x)).astype(np.float64)
    if "knn" in parts:
        knn = make_router("knn")
        fitted = (embeddings[train], performance[train], cost_usd[train])
        timed(steps, "knn fit", lambda: knn.fit(*fitted, rng=rng))
        timed(steps, "knn predict", lambda: knn.predict(x))
    if "measure" in parts:
        guess = chance[test].astype(np.float64)
        for rule in (BudgetPolicy(), UtilityPolicy()):
            sweep(steps, rule, guess, costs)
        timed(steps, "fit_scale", lambda: fit_scale(guess, performance[test], centred=True))
        chosen = sweep({}, BudgetPolicy(), guess, costs)
        truth = (performance[test], cost_usd[test])
        timed(steps, "measure", lambda: measure(chosen, *truth, resamples=0))
    steps["all"] = {"seconds": 0.0, "grew_mb": peak_mb()}
    return steps


def sweep(
    steps: dict[str, Any], rule: Policy, scores: NDArray[Any], costs: NDArray[Any]
) -> NDArray[Any]:
    points = rule.points(scores, costs, N_POINTS)
    chosen: NDArray[Any] = timed(
        steps, f"{rule.setting} sweep", lambda: rule.sweep(scores, costs, points)
    )
    return chosen


def first_stage(
    steps: dict[str, Any],
    router: Router,
    staged: Router,
    fit: tuple[Singles, Doubles, Doubles],
    test: tuple[Singles, Singles, Doubles],
    data: tuple[Singles, Doubles],
    held_out: slice,
    chance: Singles,
) -> dict[str, float]:
    """Loss of the choices by it: chance of being right, over budgets and over lambdas."""
    scores, x, costs = test
    staged.first_stage_ = timed(  # type: ignore[attr-defined]
        steps,
        "first stage fit",
        lambda: staged._fit_first_stage(fit[0], fit[2]),  # type: ignore[attr-defined]
    )
    two = timed(steps, "first stage predict", lambda: staged.predict(x))
    budgets = np.geomspace(np.quantile(costs, 0.001), costs.max(), N_POINTS)
    full, kept = (BudgetPolicy().sweep(s.astype(float), costs, budgets) for s in (scores, two))
    embeddings, performance = data[0][held_out], data[1][held_out]
    estimates = [
        fit_scale(made.predict(embeddings).astype(float), performance, centred=True).apply(
            s.astype(float)
        )
        for made, s in ((router, scores), (staged, two))
    ]
    lambdas = UtilityPolicy().points(estimates[0], costs, N_POINTS)
    of_full, of_kept = (UtilityPolicy().sweep(e, costs, lambdas) for e in estimates)
    right = [np.take_along_axis(chance, c, axis=1).mean() for c in (full, kept, of_full, of_kept)]
    paid = [
        (np.take_along_axis(costs, c, axis=1).mean(axis=0) * lambdas).mean()
        for c in (of_full, of_kept)
    ]
    return {
        "same choice, budgets": float((full == kept).mean()),
        "right with all in full, budgets": float(right[0]),
        "right lost, budgets": float(right[0] - right[1]),
        "utility lost, lambdas": float(right[2] - paid[0] - right[3] + paid[1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[11, 100, 1000, 8500])
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one_size(args.one, args.queries, args.epochs, args.parts)))
        return
    print(f"{args.queries} training queries, {N_TEST} test queries, {args.epochs} epochs\n")
    print("| models | part | s | memory peak grew by, MB | ns per training or test cell |")
    print("|---|---|---|---|---|")
    lost: dict[int, dict[str, float]] = {}
    for k in args.models:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(k)]
        steps = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        lost[k] = steps.pop("first stage", {})
        for name, part in steps.items():
            n = args.queries if name.endswith("fit") else N_TEST
            each = part["seconds"] / n / k * 1e9
            print(f"| {k} | {name} | {part['seconds']:.2f} | {part['grew_mb']:.0f} | {each:.0f} |")
    print()
    for k, figures in lost.items():
        for name, value in figures.items():
            print(f"{k} models, first stage: {name}: {value:.5f}")


if __name__ == "__main__":
    main()
