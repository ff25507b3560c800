"""Routing collapse: how often a choice is beaten, or matched by models that cost less."""

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import DataError


def collapse_table(performance: ArrayLike, cost_usd: ArrayLike) -> FloatArray:
    """The collapse score of every possible choice: what choosing model j on query n would score.

    performance, cost_usd: (N, K), no NaN; higher performance is better, costs in USD.
    Returns (N, K) in [0, 1]; 0 is the choice that Eq. 3 makes without a budget, larger is worse.
    It is 1 where j is not among the best models of the query; else the share of the strictly
    cheaper models that are among them, and 0 where nothing is cheaper. RCI is the mean over the
    choices made; read it beside performance and cost, as always calling a cheap model lowers it.
    Raises DataError for arrays of other shapes or with missing outcomes. Source: paper, App. D.2.
    """
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
    return np.where(best, matching / np.maximum(cheaper, 1.0), 1.0)


def orbit_collapse_table(performance: ArrayLike, cost_usd: ArrayLike) -> FloatArray:
    """The collapse score of every possible choice as the authors' toolbox computes it, 0 or 1.

    performance, cost_usd: (N, K), no NaN. Returns (N, K): 0 where model j is among the best of the
    query, unless j is the most expensive model on average over all queries (of equal means each)
    and a model that is not is also among the best; 1 elsewhere. Lower is better; cost within a
    query plays no part. Raises DataError as collapse_table does. Source: ORBIT, `cal_rci`.
    """
    performance, cost_usd = checked_outcomes(performance, cost_usd)
    best = performance == performance.max(axis=1, keepdims=True)
    means = cost_usd.mean(axis=0)
    most_expensive = means == means.max()
    avoidable = (best & ~most_expensive).any(axis=1, keepdims=True) & most_expensive
    return np.where(best & ~avoidable, 0.0, 1.0)


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


def checked_outcomes(performance: ArrayLike, cost_usd: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both (N, K) arrays as float64, every outcome known.

    Raises DataError that names the row and the column: a measure compares models on the same
    queries, so a query with a missing outcome has to be left out before, for all routers alike.
    """
    tables = {
        "performance": np.asarray(performance, dtype=np.float64),
        "cost_usd": np.asarray(cost_usd, dtype=np.float64),
    }
    shape = tables["performance"].shape
    for name, table in tables.items():
        if table.ndim != 2 or 0 in table.shape or table.shape != shape:
            raise DataError(
                f"{name} has shape {table.shape} (performance: {shape}); expected two arrays of "
                "one shape, with at least one query (row) and one model (column)"
            )
        unknown = ~np.isfinite(table)
        if unknown.any():
            row, column = np.argwhere(unknown)[0]
            raise DataError(
                f"{name} of query {row}, model {column} is {table[row, column]}; measures need "
                "every outcome: keep the complete rows only (Outcomes.is_complete)"
            )
    return tables["performance"], tables["cost_usd"]


def checked_chosen(chosen: ArrayLike, n_queries: int, n_models: int) -> IntArray:
    """The choices as int64, (N,) or (N, T), every value a column from 0 to n_models - 1.

    Raises DataError that names the first value that is not, for example the -1 of a query that a
    policy refused: a refused query has no outcome, so it cannot be measured beside the others.
    """
    array = np.asarray(chosen)
    if array.dtype.kind not in "iu":
        raise DataError(f"chosen has type {array.dtype}; expected whole numbers, columns of models")
    if array.ndim not in (1, 2) or array.shape[0] != n_queries or 0 in array.shape:
        raise DataError(
            f"chosen has shape {array.shape}; expected ({n_queries},), or ({n_queries}, T) with a "
            "column per operating point"
        )
    if array.min() < 0 or array.max() >= n_models:
        place = np.argwhere((array < 0) | (array >= n_models))[0]
        raise DataError(
            f"chosen of query {place[0]} is {array[tuple(place)]}; expected a model's column, "
            f"0 to {n_models - 1}: every query needs a model before it can be measured"
        )
    return array.astype(np.int64, copy=False)
