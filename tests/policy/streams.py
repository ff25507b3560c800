"""Made-up streams of queries for tests of pacing."""

from typing import Literal

import numpy as np

from equirouter.arrays import FloatArray

Costs = Literal["even", "lognormal", "heavy", "few", "same"]


def make_stream(
    costs: Costs, seed: int, n: int = 5000, k: int = 6
) -> tuple[FloatArray, FloatArray]:
    """Scores in (0, 1) and predicted costs (n, k); the more expensive models are mostly better.

    costs: how much a query's length moves its cost: by a fifth, by a lognormal factor (sigma 1), or
    by a Pareto factor of infinite variance; "few": scores on a grid of five values; "same": one
    query again and again.
    """
    rng = np.random.default_rng(seed)
    price = np.geomspace(1e-4, 1e-4 * rng.choice([10, 60, 300]), k)
    skill = np.linspace(-1, 1.2, k) + rng.normal(0, 0.3, k)
    hard = rng.normal(0, 1.3, n)
    scores = 1 / (1 + np.exp(hard[:, None] - skill - rng.normal(0, 0.5, (n, k))))
    length = {"lognormal": rng.lognormal(0, 1, n), "heavy": 1 + rng.pareto(1.8, n)}.get(
        costs, rng.uniform(0.8, 1.2, n)
    )
    cost_usd = price * length[:, None] * rng.lognormal(0, 0.2, (n, k))
    if costs == "few":
        scores = np.round(scores * 4) / 4
    if costs == "same":
        scores, cost_usd = np.tile(scores[:1], (n, 1)), np.tile(cost_usd[:1], (n, 1))
    return scores, cost_usd


def costs_of_ends(scores: FloatArray, cost_usd: FloatArray, paid_usd: FloatArray) -> FloatArray:
    """Mean cost of always taking the cheapest, and of always taking the best, by predictions."""
    rows = np.arange(len(scores))
    best = np.lexsort((cost_usd, -scores), axis=1)[:, 0]
    return np.array([paid_usd[rows, chosen].mean() for chosen in (cost_usd.argmin(axis=1), best)])
