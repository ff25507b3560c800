"""Checks of the arrays that are measured."""

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import DataError

__all__ = ["checked_chosen", "checked_outcomes"]


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
