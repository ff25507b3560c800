"""Routing collapse: how often a choice is beaten, or matched by models that cost less."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import ConfigError
from equirouter.evaluation.checks import checked_chosen, checked_outcomes

__all__ = [
    "CollapseVariant",
    "call_shares",
    "collapse_scores",
    "collapse_table",
    "pick",
    "routing_collapse_index",
]

CollapseVariant: TypeAlias = Literal["paper", "orbit"]


def collapse_table(
    performance: ArrayLike, cost_usd: ArrayLike, *, variant: CollapseVariant = "paper"
) -> FloatArray:
    """The collapse score of every possible choice: what choosing model j on query n would score.

    performance, cost_usd: (N, K), no NaN; higher performance is better, costs in USD.
    Returns (N, K) in [0, 1]; 0 is the choice that Eq. 3 makes without a budget, larger is worse.
    "paper": 1 where j is not among the best models of the query; else the share of the strictly
    cheaper models that are among them, and 0 where nothing is cheaper. "orbit": 1 wherever that
    share is above 0, the 0/1 variant of the ORBIT toolbox, never below the paper's.
    Raises DataError for arrays of other shapes or with missing outcomes, ConfigError for an unknown
    variant. Source: paper, App. D.2.
    """
    if variant not in get_args(CollapseVariant):
        known = ", ".join(repr(name) for name in get_args(CollapseVariant))
        raise ConfigError(f"no variant {variant!r} of the collapse score: expected one of {known}")
    performance, cost_usd = checked_outcomes(performance, cost_usd)
    best = performance == performance.max(axis=1, keepdims=True)
    order = np.argsort(cost_usd, axis=1)
    by_cost = np.take_along_axis(cost_usd, order, axis=1)
    place = np.broadcast_to(np.arange(by_cost.shape[1]), by_cost.shape)
    costs_more = np.ones(by_cost.shape, dtype=bool)  # than the one before it
    costs_more[:, 1:] = by_cost[:, 1:] > by_cost[:, :-1]
    start = np.maximum.accumulate(
        np.where(costs_more, place, 0), axis=1
    )  # of models that cost as much
    n_best = np.zeros((len(best), best.shape[1] + 1))  # among the first 0, 1, ... by cost
    np.cumsum(np.take_along_axis(best, order, axis=1), axis=1, out=n_best[:, 1:])
    cheaper = np.empty(cost_usd.shape)  # X_n had j been chosen
    np.put_along_axis(cheaper, order, start, axis=1)
    matching = np.empty(cost_usd.shape)  # K_n had j been chosen, right where j is among the best
    np.put_along_axis(matching, order, np.take_along_axis(n_best, start, axis=1), axis=1)
    if variant == "orbit":
        missed = (matching > 0).astype(np.float64)
    else:
        missed = matching / np.maximum(cheaper, 1.0)
    return np.where(best, missed, 1.0)


def collapse_scores(
    performance: ArrayLike,
    cost_usd: ArrayLike,
    chosen: ArrayLike,
    *,
    variant: CollapseVariant = "paper",
) -> FloatArray:
    """The collapse score s_n of each choice.

    performance, cost_usd: (N, K). chosen: (N,) columns, or (N, T) with one column per operating
    point. Returns float64 in chosen's shape, in [0, 1]; 0 is best. Variants, errors and source: see
    collapse_table; also DataError for a choice that is no column.
    """
    table = collapse_table(performance, cost_usd, variant=variant)
    return pick(checked_chosen(chosen, *table.shape), table)[0]


def routing_collapse_index(
    performance: ArrayLike,
    cost_usd: ArrayLike,
    chosen: ArrayLike,
    *,
    variant: CollapseVariant = "paper",
) -> float:
    """RCI, the mean collapse score over queries (and operating points, if chosen is (N, T)).

    Returns a float in [0, 1]; lower is less collapse, the oracle has 0. Read it beside performance
    and cost: always choosing the cheapest model has a low RCI and low performance. Arguments,
    errors, source: see collapse_scores.
    """
    return float(collapse_scores(performance, cost_usd, chosen, variant=variant).mean())


def call_shares(chosen: ArrayLike, n_models: int) -> FloatArray:
    """The share of queries that go to each model.

    chosen: (N,) or (N, T) columns. Returns (K,) or (T, K), each row in [0, 1] with sum 1.
    Raises DataError for a choice that is no column. Source: paper, Fig. 1.
    """
    columns = checked_chosen(chosen, len(np.atleast_1d(chosen)), n_models)
    n_points = 1 if columns.ndim == 1 else columns.shape[1]
    bins = columns.reshape(-1, n_points) + np.arange(n_points) * n_models
    counts = np.bincount(bins.ravel(), minlength=n_points * n_models)
    shares = counts.reshape(n_points, n_models) / len(columns)
    return shares[0] if columns.ndim == 1 else shares


def pick(chosen: IntArray, *tables: FloatArray) -> list[FloatArray]:
    """The cells of each (N, K) table at the choices (N,) or (N, T), in chosen's shape."""
    n_queries, n_models = tables[0].shape
    first = np.arange(n_queries) * n_models
    cells = chosen + (first if chosen.ndim == 1 else first[:, None])
    # take on flat arrays, with one index for all tables: a third of the time of take_along_axis
    return [np.ascontiguousarray(table).ravel().take(cells) for table in tables]
