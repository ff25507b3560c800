"""How good predicted costs are: in USD, and beside what the costs are (paper, App. C.2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import BoolArray, FloatArray
from equirouter.errors import DataError

__all__ = ["CostErrors", "cost_errors"]


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
