"""The rows that means are taken over: complete ones, or those of a log with chances.

Of a row of a log one outcome is known, and its propensity. An estimate of each of its outcomes is a
prediction and, where the outcome is known, its error divided by the propensity: far off for one
row, and right in the mean of many if either the predictions or the propensities are (Dudik,
Langford and Li 2011). Nothing learns from such estimates: they are only averaged.
"""

import numpy as np

from equirouter.arrays import BoolArray, FloatArray
from equirouter.data.cells import OutcomeCells


def cell_weights(table: OutcomeCells) -> FloatArray:
    """(N, K): 1 / propensity where an outcome is known with it, else 0; 1 in complete rows."""
    weights = np.zeros(table.performance.shape)
    if table.propensity is not None:
        known = np.isfinite(table.performance) & np.isfinite(table.cost_usd)
        known &= table.propensity > 0
        weights[known] = 1.0 / table.propensity[known]
    weights[table.is_complete] = 1.0
    return weights


def measured_rows(table: OutcomeCells) -> BoolArray:
    """(N,): the complete rows, or with them the rows of a log where these together tell more.

    A row of a log counts where every model had a chance to answer and the outcome of one is known.
    """
    complete = table.is_complete
    if table.propensity is None or complete.all():
        return complete
    weights = cell_weights(table)
    both: BoolArray = complete | (
        np.all(table.propensity > 0, axis=1) & np.any(weights > 0, axis=1)
    )
    return both if effective_queries(weights[both]) > complete.sum() else complete


def is_estimated(table: OutcomeCells) -> bool:
    """Whether rows are measured that are not complete."""
    return bool((measured_rows(table) & ~table.is_complete).any())


def estimated(table: OutcomeCells, known: FloatArray, predicted: FloatArray | None) -> FloatArray:
    """Estimates (N, K) of outcomes (N, K), NaN in rows that are not measured.

    known: performance or cost_usd of the table. predicted (N, K): what other rows say of each, None
    for the weighted mean of each model.
    """
    weights = cell_weights(table)
    counted = np.where(weights > 0, known, 0.0)
    total = weights.sum(axis=0)
    mean = (weights * counted).sum(axis=0) / np.where(total > 0, total, 1.0)
    base = np.broadcast_to(mean, known.shape) if predicted is None else predicted
    base = np.where(np.isfinite(base), base, mean)
    estimates = base + weights * np.where(weights > 0, known - base, 0.0)
    estimates[table.is_complete] = known[table.is_complete]
    return np.where(measured_rows(table)[:, None], estimates, np.nan)


def log_note(table: OutcomeCells) -> tuple[str, ...]:
    """A note on figures of a log; nothing for another table."""
    if not is_estimated(table):
        return ()
    rows = measured_rows(table)
    worth = effective_queries(cell_weights(table)[rows])
    return (
        f"{int(table.is_complete.sum())} of {table.n_queries} queries have the outcome of every "
        f"model: figures are estimates from {int(rows.sum())} queries of a log by their "
        f"propensities, which tell of each model as much as {worth:.0f} complete ones at least",
    )


def effective_queries(weights: FloatArray) -> float:
    """As many complete queries tell as much of the model that least is known of; weights (N, K)."""
    return min((effective_size(column) for column in weights.T), default=0.0)


def effective_size(weights: FloatArray) -> float:
    """(sum w)^2 / sum w^2 of weights (n,): so many of equal weight tell as much (Kish 1965)."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
