"""Which model is the strongest on some queries, and which others are as strong within noise."""

import numpy as np

from equirouter.arrays import FloatArray, IntArray

ROUNDING = 1e-12  # relative
NORMAL_95 = 1.96


def complete_means(performance: FloatArray, cost_usd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean performance and cost_usd, (K,) each, of tables (N, K), NaN = not known.

    Over complete rows where there are any; without one they are over each model's own rows, and do
    not compare.
    """
    complete = (np.isfinite(performance) & np.isfinite(cost_usd)).all(axis=1)
    rows = complete if complete.any() else np.ones(len(performance), dtype=bool)
    return np.nanmean(performance[rows], axis=0), np.nanmean(cost_usd[rows], axis=0)


def strongest_of(performance: FloatArray, cost_usd: FloatArray) -> int:
    """Column of the model with the highest mean performance; a tie goes to the cheaper."""
    means, costs = complete_means(performance, cost_usd)
    return first_column(-means, costs)


def as_strong(performance: FloatArray, cost_usd: FloatArray) -> IntArray:
    """Columns of the strongest model and of those that equal it within noise, best mean first.

    performance, cost_usd: (N, K), NaN = not known. A model is as strong where the 95 % interval of
    the strongest model's lead, by the normal approximation of the mean of paired differences on the
    queries that both have answered, reaches down to 0. Fewer than two such queries tell nothing.
    """
    means, _ = complete_means(performance, cost_usd)
    best = strongest_of(performance, cost_usd)
    lead = performance[:, [best]] - performance
    known = np.isfinite(lead)
    n = known.sum(axis=0)
    mean = np.where(known, lead, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = (np.where(known, lead - mean, 0.0) ** 2).sum(axis=0)
    error = np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1))
    equal = (n < 2) | (mean <= NORMAL_95 * error + ROUNDING)
    equal[best] = True
    order = np.argsort(-means, kind="stable")
    group = order[equal[order] & (order != best)]
    return np.append(best, group)


def first_column(means: FloatArray, then: FloatArray) -> int:
    """The column of the lowest mean; of means that are equal but for rounding, the lowest `then`.

    The same numbers added up in another order differ in their last bits.
    """
    lowest = float(means.min())
    equal = means <= lowest + ROUNDING * abs(lowest)
    return int(np.where(equal, then, np.inf).argmin())
