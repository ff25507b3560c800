"""How good predictions are: of performance against outcomes, of costs in USD and relative."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import BoolArray, FloatArray
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


@dataclass(frozen=True, eq=False)
class CostErrors:
    """How far predicted costs are from true ones, per model: (K,) each.

    mean_usd: of the true costs. mse: mean squared error, USD squared. mae_usd: mean absolute error.
    relative: mae_usd as a share of mean_usd; 0 is exact, NaN for a model that costs nothing.
    unexplained: mse as a share of the variance of the true costs; 1 is what predicting the mean
    does, 0 is exact, NaN for a model whose every call costs the same.
    """

    mean_usd: FloatArray
    mse: FloatArray
    mae_usd: FloatArray
    relative: FloatArray
    unexplained: FloatArray

    @property
    def overall_mse(self) -> float:
        """The mean over models, USD squared: the figure that the paper gives (Fig. A4)."""
        return float(self.mse.mean())


def cost_errors(predicted_cost_usd: ArrayLike, cost_usd: ArrayLike) -> CostErrors:
    """Compare predicted with true costs, both (N, K) in USD, over the cells that are known.

    Raises DataError for other shapes, a prediction that is not finite, or a model without a known
    cost. Source: paper, App. C.2; the relative figures are there because a squared error in USD is
    small wherever calls are cheap.
    """
    predicted = np.asarray(predicted_cost_usd, dtype=np.float64)
    true = np.asarray(cost_usd, dtype=np.float64)
    if predicted.ndim != 2 or predicted.shape != true.shape or not predicted.size:
        raise DataError(
            f"predicted costs have shape {predicted.shape}, true ones {true.shape}; expected two "
            "arrays (n_queries, n_models) of one shape"
        )
    if not np.isfinite(predicted).all():
        raise DataError("a predicted cost is not a finite number")
    if np.isnan(true).all(axis=0).any():
        model = int(np.flatnonzero(np.isnan(true).all(axis=0))[0])
        raise DataError(f"model {model} has no known cost among the queries to compare with")
    missed = predicted - true
    mean_usd, mse = np.nanmean(true, axis=0), np.nanmean(missed**2, axis=0)
    mae_usd, variance = np.nanmean(np.abs(missed), axis=0), np.nanvar(true, axis=0)
    # the variance of equal numbers may come out as 1e-40 and not as 0
    varies = np.nanmax(true, axis=0) > np.nanmin(true, axis=0)
    return CostErrors(
        mean_usd=mean_usd,
        mse=mse,
        mae_usd=mae_usd,
        relative=_share(mae_usd, mean_usd, mean_usd > 0),
        unexplained=_share(mse, variance, varies),
    )


def _share(part: FloatArray, whole: FloatArray, known: BoolArray) -> FloatArray:
    return np.asarray(np.where(known, part / np.where(known, whole, 1.0), np.nan))
