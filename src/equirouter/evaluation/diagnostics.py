"""What a table of outcomes says about routing on it, before any router is fitted."""

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError
from equirouter.evaluation.checks import checked_outcomes

__all__ = ["margins", "tie_rate"]


def margins(
    performance: ArrayLike, cost_usd: ArrayLike, budget_usd: float | None = None
) -> FloatArray:
    """Best minus second-best performance among the models that fit the budget (Eq. 4).

    performance, cost_usd: (N, K), no NaN. budget_usd: USD per query, a model fits if it costs at
    most that (Eq. 1); None: every model fits. Returns (N,), never negative; 0 is a tie, NaN where
    fewer than two models fit, so that there is nothing to compare.
    Raises DataError for other shapes or missing outcomes, ConfigError for a budget that is NaN.
    Source: paper, section 3.3.
    """
    if budget_usd is not None and np.isnan(budget_usd):
        raise ConfigError("the budget is NaN; expected USD per query, or None for no limit")
    performance, cost_usd = checked_outcomes(performance, cost_usd)
    n_queries, n_models = performance.shape
    if n_models < 2:
        return np.full(n_queries, np.nan)
    fits = cost_usd <= (np.inf if budget_usd is None else budget_usd)
    top = np.partition(np.where(fits, performance, -np.inf), (-2, -1), axis=1)[:, -2:]
    result = np.full(n_queries, np.nan)
    np.subtract(top[:, 1], top[:, 0], out=result, where=np.isfinite(top[:, 0]))
    return result


def tie_rate(
    performance: ArrayLike,
    cost_usd: ArrayLike,
    budget_usd: float | None = None,
    *,
    tolerance: float = 0.0,
) -> float | None:
    """The share of queries whose margin is at most tolerance, of those that have a margin.

    Returns a share in [0, 1]; None when no query has two models that fit. Arguments, errors,
    source: see margins.
    """
    known = margins(performance, cost_usd, budget_usd)
    known = known[~np.isnan(known)]
    return float((known <= tolerance).mean()) if known.size else None
