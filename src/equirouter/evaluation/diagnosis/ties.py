"""Margins and ties of a table of outcomes, before any router is fitted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError, DataError
from equirouter.policy.collapse_score import checked_outcomes

MARGIN_LEVELS = (0.0, 1e-3, 1e-2, 5e-2)
"""The margins at which the paper gives the share of queries (section 3.3)."""

_ROUNDING = 1e-12
"""0.8 - 0.75 is 0.05 to whoever reads it, and not 0.05000000000000004."""


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


@dataclass(frozen=True, eq=False)
class MarginDistribution:
    """How far the best model is ahead of the second-best, over queries (Eq. 4).

    margins (n,): ascending, of the queries on which at least two models fit the budget.
    budget_usd: USD per query, None for no limit.
    """

    margins: FloatArray
    budget_usd: float | None

    @property
    def tie_rate(self) -> float:
        """The share of queries in [0, 1] whose two best models score the same."""
        return self.share_within(0.0)

    def share_within(self, threshold: float) -> float:
        """The share of queries in [0, 1] whose margin is at most threshold."""
        n_within = np.searchsorted(self.margins, threshold + _ROUNDING, side="right")
        return float(n_within / len(self.margins))


def margin_distribution(
    performance: ArrayLike, cost_usd: ArrayLike, budget_usd: float | None = None
) -> MarginDistribution:
    """The margins of a table at a budget, made ready to be counted; arguments as in margins.

    Raises DataError when no query has two models that fit, and what margins raises.
    """
    all_margins = margins(performance, cost_usd, budget_usd)
    known = np.sort(all_margins[~np.isnan(all_margins)])
    if not known.size:
        lowest = np.sort(np.asarray(cost_usd, dtype=np.float64), axis=1)[:, 1:2].min(initial=np.inf)
        raise DataError(
            f"no query has two models within the budget of {budget_usd} USD, so there is no margin "
            f"to measure: two models fit somewhere from {lowest:.6g} USD on"
        )
    return MarginDistribution(known, budget_usd)


@dataclass(frozen=True)
class ModelNeed:
    """For what share of the queries a model is needed; the three sum to 1.

    alone: it scores more than every other model. matched: it is among the best, and so is another.
    beaten: another model scores more.
    """

    alone: float
    matched: float
    beaten: float


def need_of(model: int, performance: ArrayLike, cost_usd: ArrayLike) -> ModelNeed:
    """How often a model (a column) is the only best one, one of several, or none.

    performance, cost_usd: (N, K), no NaN. Raises DataError for other shapes, missing outcomes, or a
    model that is no column.
    """
    performance, cost_usd = checked_outcomes(performance, cost_usd)
    n_models = performance.shape[1]
    if not 0 <= model < n_models:
        raise DataError(f"model {model} is not a column: expected 0 to {n_models - 1}")
    own = performance[:, model]
    others = np.delete(performance, model, axis=1).max(axis=1, initial=-np.inf)
    return ModelNeed(
        *(float(share.mean()) for share in (own > others, own == others, own < others))
    )
