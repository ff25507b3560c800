"""Logs with one outcome per query: doubly robust estimates of what other models would have done.

A log shows the outcome of the model that was called, and which one that was may depend on the
query. The mean of the known outcomes then favours models that got the easy queries. A doubly robust
estimate adds to a model's predicted outcome the error observed where it was called, divided by the
chance that it was called: right on average if either the predictions or the chances are (Robins,
Rotnitzky and Zhao 1994; Dudik, Langford and Li 2011).
"""

import numpy as np

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray
from equirouter.errors import ConfigError, DataError
from equirouter.extras import require
from equirouter.routers.linear import ridge

__all__ = ["complete_logged", "doubly_robust"]

N_FOLDS = 2
RIDGE = 1.0
LEAST_PER_MODEL = 2 * N_FOLDS


def complete_logged(
    embeddings: Float32Array,
    performance: FloatArray,
    cost_usd: FloatArray,
    *,
    clip: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Performance and cost_usd (N, K) of a log with estimates for every model.

    A table is a log where no row knows more than one performance; any other comes back as it is.
    Estimates stand for every model, the one that was called included, and may leave the range of
    outcomes; a row that knows none stays so. The outcome model is a ridge regression per model, the
    chances are a multinomial logistic regression, both on embeddings (N, d); each half of the log
    is predicted by the other. clip: chances below it count as it, which bounds the variance at the
    price of a bias. Raises ConfigError for a clip outside (0, 1], DataError for a model that was
    called on fewer than LEAST_PER_MODEL logged queries.
    """
    if not 0 < clip <= 1:
        raise ConfigError(f"clip is {clip}: expected above 0 and at most 1")
    known = np.isfinite(performance)
    counts = known.sum(axis=1)
    if counts.max() > 1 or performance.shape[1] == 1:
        return performance, cost_usd
    logged = np.flatnonzero(counts)
    called = known[logged].argmax(axis=1)
    _check_calls(called, performance.shape[1])
    fold = _folds(called, rng)
    chances = np.maximum(_chances(embeddings[logged], called, fold, performance.shape[1]), clip)
    filled = []
    for table in (performance, cost_usd):
        observed = table[logged, called]
        predicted = _predicted(embeddings, table, known, logged, fold)
        whole = table.copy()
        whole[logged] = doubly_robust(predicted, observed, called, chances)
        filled.append(whole)
    return filled[0], filled[1]


def doubly_robust(
    predicted: FloatArray, observed: FloatArray, called: IntArray, chances: FloatArray
) -> FloatArray:
    """Predicted (n, K), and for the called model its error divided by the chance of the call.

    observed (n,): the outcome of the model that was called; where it is NaN the prediction stands.
    called (n,): its column. chances (n, K): of each model to be called.
    """
    rows = np.arange(len(called))
    estimate = predicted.copy()
    error = (observed - predicted[rows, called]) / chances[rows, called]
    estimate[rows, called] += np.where(np.isfinite(error), error, 0.0)
    return estimate


def _check_calls(called: IntArray, n_models: int) -> None:
    counts = np.bincount(called, minlength=n_models)
    few = np.flatnonzero(counts < LEAST_PER_MODEL)
    if few.size:
        raise DataError(
            f"model {few[0]} was called on {counts[few[0]]} of {len(called)} logged queries (one "
            f"known outcome each): its outcomes on the others are estimated from at least "
            f"{LEAST_PER_MODEL}; log more of it, or leave the model out"
        )


def _folds(called: IntArray, rng: np.random.Generator) -> IntArray:
    """(n,): a fold per logged query, each with an equal share of every model's calls."""
    order = rng.permutation(len(called))
    by_model = order[np.argsort(called[order], kind="stable")]
    fold = np.empty(len(called), dtype=np.int64)
    fold[by_model] = np.arange(len(called)) % N_FOLDS
    return fold


def _chances(x: Float32Array, called: IntArray, fold: IntArray, n_models: int) -> FloatArray:
    """(n, K): the chance of each model to be called, by the other fold's calls."""
    linear = require("sklearn.linear_model", extra="train", purpose="estimate who was called when")
    chances = np.zeros((len(x), n_models))
    for number in range(N_FOLDS):
        mine = fold == number
        model = linear.LogisticRegression(max_iter=1000).fit(x[~mine], called[~mine])
        chances[np.ix_(mine, model.classes_)] = model.predict_proba(x[mine])
    return chances


def _predicted(
    x: Float32Array, table: FloatArray, known: BoolArray, logged: IntArray, fold: IntArray
) -> FloatArray:
    """(n, K): outcomes of the logged queries, by ridge regressions on other queries."""
    predicted = np.empty((len(logged), table.shape[1]))
    for number in range(N_FOLDS):
        mine = logged[fold == number]
        learned = np.ones(len(x), dtype=bool)
        learned[mine] = False
        for model in range(table.shape[1]):
            rows = learned & known[:, model] & np.isfinite(table[:, model])
            if not rows.any():
                raise DataError(
                    f"model {model} has no outcome to learn from in one half of the logged "
                    "queries; give its performance and cost_usd for more of them"
                )
            coef, intercept = ridge(x[rows], table[rows, model : model + 1], (RIDGE,))
            predicted[fold == number, model] = x[mine] @ coef[0, 0] + intercept[0, 0]
    return predicted
