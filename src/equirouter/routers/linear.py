"""A linear function of the embedding per model: by ridge or by support vector regression.

Also outcomes of a log, where each is known with some chance, estimated for every model by ridge.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray
from equirouter.errors import FitError
from equirouter.extras import require
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import CheckedRouter, ScoresAre, Training, Validation
from equirouter.routers.new_model import Labelled, LinearEstimate, fit_estimate
from equirouter.routers.settings import Iterations

ALPHAS = (0.1, 1.0, 10.0, 100.0)
"""Choices of `alpha=None`: embeddings have length 1, so this is from a little to a lot."""

FALLBACK_ALPHA = 1.0


class AffineRouter(CheckedRouter):
    """A router whose scores are coef_ times the embedding, plus intercept_."""

    coef_: Float32Array  # (K, d)
    intercept_: Float32Array  # (K,)

    def with_added(self, labelled: Labelled) -> tuple[Self, LinearEstimate, FloatArray]:
        """One more model: a row of coefficients. Refused where scores only rank."""
        if self.scores_are == "ranking":
            return super().with_added(labelled)
        queries, others = labelled.embeddings, labelled.unlabelled
        estimate = fit_estimate(self.predict(queries), queries, labelled.performance)
        row, level = estimate.row(self.coef_, self.intercept_)
        penalty = np.nan  # that of linear, which is none of ALPHAS here
        made = self._appended({"coef_": row, "intercept_": level, "alpha_": penalty})
        return made, estimate, estimate.of(self.predict(others), others)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Scores (N, K), not limited to the range of performance."""
        return np.asarray(embeddings @ self.coef_.T + self.intercept_, dtype=np.float32)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the one product."""
        return graph.affine("router.out", embeddings, self.coef_, self.intercept_)


@dataclass(kw_only=True, eq=False)
class LinearRouter(AffineRouter):
    """Performance of each model by ridge regression with an intercept, in closed form.

    Each model learns from the queries where it has an outcome.

    Presets: `default`; `original` is least squares without a penalty, with the shortest weights
    where several fit equally well, as in MMR-Bench (Ma et al. 2026). The paper names linear
    regression (MixLLM, Wang et al. 2025) but does not measure it.
    Source: Hoerl and Kennard 1970.
    """

    presets = MappingProxyType({"default": {}, "original": {"alpha": 0.0}})

    model_axes = MappingProxyType({"coef_": 0, "intercept_": 0, "alpha_": 0})

    scores_are = "expected_performance"

    alpha: NonNegativeFloat | None = None
    """L2 penalty on the weights; the intercept is free. null takes for each model the one of 0.1,
    1, 10 and 100 with the smallest squared error on the validation part, and 1 without validation
    outcomes of that model."""

    def _learn(self, training: Training) -> None:
        """Solve for the weights; validation, if given, chooses alpha where it is None."""
        embeddings, performance, _ = training.outcomes
        n_in, n_models = embeddings.shape[1], performance.shape[1]
        alphas = ALPHAS if self.alpha is None else (self.alpha,)
        coef = np.empty((len(alphas), n_models, n_in))
        intercept = np.empty((len(alphas), n_models))
        known = np.isfinite(performance)
        patterns, pattern_of = np.unique(known, axis=1, return_inverse=True)
        for number, rows in enumerate(patterns.T):  # models known on the same queries: one solution
            models = np.flatnonzero(pattern_of == number)
            targets = performance[np.ix_(rows, models)]
            coef[:, models], intercept[:, models] = ridge(embeddings[rows], targets, alphas)
        chosen = self._choose(alphas, coef, intercept, training.validation)
        models = np.arange(n_models)
        self.coef_ = coef[chosen, models].astype(np.float32)  # (K, d)
        self.intercept_ = intercept[chosen, models].astype(np.float32)  # (K,)
        self.alpha_ = np.asarray(alphas)[chosen]  # (K,)

    @property
    def n_parameters(self) -> int:
        """Weights and intercepts; the penalties are only kept to be looked at."""
        return int(self.coef_.size + self.intercept_.size)

    def _choose(
        self,
        alphas: Sequence[float],
        coef: FloatArray,
        intercept: FloatArray,
        validation: Validation | None,
    ) -> IntArray:
        """The place (K,) in alphas that each model takes."""
        n_models = coef.shape[1]
        if len(alphas) == 1:
            return np.zeros(n_models, dtype=np.int64)
        error = np.full((len(alphas), n_models), np.nan)
        if validation is not None:
            for place in range(len(alphas)):
                predicted = validation.embeddings @ coef[place].T + intercept[place]
                error[place] = _mean_square(predicted - validation.performance)
        unseen = np.isnan(error[0])
        return np.asarray(np.where(unseen, ALPHAS.index(FALLBACK_ALPHA), error.argmin(axis=0)))


def _mean_square(difference: FloatArray) -> FloatArray:
    """Mean of the squares (K,) over the known cells of a column, NaN where there is none."""
    known: BoolArray = np.isfinite(difference)
    total = np.where(known, difference, 0.0)
    count = known.sum(axis=0)
    return np.asarray(np.where(count > 0, (total**2).sum(axis=0) / np.maximum(count, 1), np.nan))


def ridge(x: Float32Array, y: FloatArray, alphas: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Weights (A, k, d) and intercepts (A, k) of x (n, d) to y (n, k) for each penalty.

    With x and y less their means, the weights solve (x'x + alpha I) w = x'y; without a penalty they
    are the shortest of those with the least squares.
    """
    mean_x, mean_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0)
    centred, target = x - mean_x, y - mean_y
    is_wide = len(x) < x.shape[1]  # then by xx', which is smaller: the same weights
    gram = centred @ centred.T if is_wide else centred.T @ centred
    moment = target if is_wide else centred.T @ target

    def solved(alpha: float) -> FloatArray:
        solution = np.linalg.solve(gram + alpha * np.eye(len(gram)), moment)
        return np.asarray(centred.T @ solution if is_wide else solution)

    weights = [
        solved(alpha) if alpha > 0 else np.linalg.lstsq(centred, target)[0] for alpha in alphas
    ]
    coef = np.stack(weights).transpose(0, 2, 1)
    return coef, mean_y - coef @ mean_x


@dataclass(kw_only=True, eq=False)
class SVMRouter(AffineRouter):
    """Performance of each model by linear support vector regression (scikit-learn's LinearSVR).

    Each model learns from the queries where it has an outcome.

    Presets: `original` is RouterBench (Hu et al. 2024), LinearSVR as scikit-learn makes it:
    absolute errors, epsilon 0, c 1. Such a machine estimates the median, and the median of right
    and wrong answers is one of the two: most models then score near 1 on most queries, which tells
    little of which is better. `default` has squared errors, whose estimate is within epsilon of the
    expected performance (as the data grow), and c 0.01, chosen on validation data. The paper does
    not measure a support vector machine.
    Source: Drucker et al. 1996; Fan et al. 2008 (LIBLINEAR).
    """

    fitted_with = ("sklearn",)
    presets = MappingProxyType(
        {"default": {}, "original": {"loss": "absolute", "epsilon": 0.0, "c": 1.0}}
    )

    model_axes = MappingProxyType({"coef_": 0, "intercept_": 0})

    loss: Literal["squared", "absolute"] = "squared"
    """How an error beyond epsilon counts."""

    epsilon: NonNegativeFloat = 0.1
    """Errors up to this, in units of performance, cost nothing."""

    c: PositiveFloat = 0.01
    """Weight of the errors against the L2 penalty of 1."""

    max_iter: Iterations = 10_000
    """Iterations of the solver, at most."""

    @property
    def scores_are(self) -> ScoresAre:
        """Squared errors lead to expected performance, give or take epsilon; absolute ones not."""
        return "expected_performance" if self.loss == "squared" else "ranking"

    def _learn(self, training: Training) -> None:
        """Fit the machines one by one. Raises FitError when one does not converge."""
        embeddings, performance, _ = training.outcomes
        n_in, n_models = embeddings.shape[1], performance.shape[1]
        kind = "squared_epsilon_insensitive" if self.loss == "squared" else "epsilon_insensitive"
        svm = require("sklearn.svm", extra="train", purpose="fit support vector machines")
        self.coef_ = np.empty((n_models, n_in), dtype=np.float32)
        self.intercept_ = np.empty(n_models, dtype=np.float32)
        for model in range(n_models):
            known = np.isfinite(performance[:, model])
            machine = svm.LinearSVR(
                loss=kind,
                epsilon=self.epsilon,
                C=self.c,
                dual=self.loss == "absolute",  # the primal problem, where it is smooth, is faster
                max_iter=self.max_iter,
                random_state=int(training.rng.integers(2**31)),
            )
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Liblinear failed")  # an error below
                machine.fit(embeddings[known], performance[known, model])
            if machine.n_iter_ >= self.max_iter:
                raise FitError(
                    f"the support vector machine of model {model} did not converge in "
                    f"{self.max_iter} iterations; use a larger max_iter or a smaller c"
                )
            self.coef_[model] = machine.coef_
            self.intercept_[model] = machine.intercept_[0]


RIDGE = 1.0
"""Penalty of the predictions."""


def doubly_robust(predicted: FloatArray, observed: FloatArray, chances: FloatArray) -> FloatArray:
    """Predicted (n, K), and where an outcome is known its error divided by the chance of that.

    observed (n, K): NaN where it is not known; there the prediction stands. chances (n, K): of each
    outcome to be known. Right on average if either the predictions or the chances are (Robins,
    Rotnitzky and Zhao 1994; Dudik, Langford and Li 2011).
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
