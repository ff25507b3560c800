"""Outcomes of a log, where each is known with some chance, estimated for every model.

A doubly robust estimate adds to a predicted outcome the error observed where the outcome is known,
divided by the chance that it is: right on average if either the predictions or the chances are
(Robins, Rotnitzky and Zhao 1994; Dudik, Langford and Li 2011).
"""

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.routers.linear import ridge

RIDGE = 1.0
"""Penalty of the predictions."""


def doubly_robust(predicted: FloatArray, observed: FloatArray, chances: FloatArray) -> FloatArray:
    """Predicted (n, K), and where an outcome is known its error divided by the chance of that.

    observed (n, K): NaN where it is not known; there the prediction stands. chances (n, K): of each
    outcome to be known.
    """
    known = np.isfinite(observed)
    error = (observed - predicted) / np.where(known, chances, 1.0)
    return predicted + np.where(known, error, 0.0)


def cross_fitted(x: Float32Array, observed: FloatArray, fold: IntArray) -> FloatArray:
    """Outcomes (n, K) predicted from x (n, d) by a ridge regression per model and fold.

    observed (n, K): NaN where it is not known. fold (n,): the outcomes of a fold are predicted by
    those of the others; NaN where the others know none.
    """
    predicted = np.full(observed.shape, np.nan)
    for number in np.unique(fold):
        mine = fold == number
        for model in range(observed.shape[1]):
            rows = ~mine & np.isfinite(observed[:, model])
            if rows.any():
                coef, intercept = ridge(x[rows], observed[rows, model : model + 1], (RIDGE,))
                predicted[mine, model] = x[mine] @ coef[0, 0] + intercept[0, 0]
    return predicted
