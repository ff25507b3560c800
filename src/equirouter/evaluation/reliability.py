"""How good estimates of performance are."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.errors import DataError

N_BINS = 10


@dataclass(frozen=True, eq=False)
class Reliability:
    """The calibration of estimates on a set of queries.

    error: the expected calibration error (Naeini et al. 2015), mean absolute difference between
    mean prediction and mean performance in ten bins per model, averaged over models; 0 is best.
    squared: mean squared error of an estimate, which also rewards telling queries apart.
    predicted, observed (B,): means in bins over all models together, from the lowest prediction to
    the highest; bins hold equally many estimates.
    """

    error: float
    squared: float
    predicted: FloatArray
    observed: FloatArray


def reliability(estimate: FloatArray, performance: FloatArray) -> Reliability:
    """Compare estimates (N, K) with performance (N, K), NaN = not known; each model has a value.

    Even with perfect estimates `error` is above 0, as the mean of a bin of n outcomes is off by
    about 0.4 / sqrt(n). Raises DataError for arrays of other shapes or without a query.
    """
    if estimate.shape != performance.shape or estimate.ndim != 2 or not estimate.size:
        raise DataError(
            f"estimates {estimate.shape} and performance {performance.shape} must both be "
            "(n_queries, n_models), with a query"
        )
    gaps = []
    known = np.isfinite(performance)
    for model, rows in enumerate(known.T):
        predicted, observed, share = _bins(estimate[rows, model], performance[rows, model])
        gaps.append(float((np.abs(predicted - observed) * share).sum()))
    predicted, observed, _ = _bins(estimate[known], performance[known])
    return Reliability(
        error=float(np.mean(gaps)),
        squared=float(((estimate - performance)[known] ** 2).mean()),
        predicted=predicted,
        observed=observed,
    )


def _bins(
    estimate: FloatArray, performance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean estimate, mean performance and share of the estimates, (B,), in bins of equal size."""
    order = np.argsort(estimate, kind="stable")
    parts = [part for part in np.array_split(order, N_BINS) if part.size]
    return (
        np.array([estimate[part].mean() for part in parts]),
        np.array([performance[part].mean() for part in parts]),
        np.array([part.size / order.size for part in parts]),
    )
