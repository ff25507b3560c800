"""LinearRouter: each model's performance as one ridge regression on the embedding."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray
from equirouter.errors import ConfigError
from equirouter.routers.base import Router, ScoresAre, Validation, check_training
from equirouter.routers.joining import Estimate, Labelled, fit_estimate

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["ALPHAS", "LinearRouter", "ridge"]

ALPHAS = (0.1, 1.0, 10.0, 100.0)
"""What `alpha=None` chooses from: embeddings have length 1, so this is from a little to a lot."""

FALLBACK_ALPHA = 1.0


class LinearRouter(Router):
    """Performance of each model by ridge regression with an intercept, in closed form.

    alpha: the L2 penalty on the weights, 0 or more; the intercept is free. None takes for each
    model the one of ALPHAS with the smallest squared error on the validation part, and 1.0 without
    validation outcomes of that model. Each model learns from the queries where it has an outcome.

    Presets: `default`; `original` is least squares without a penalty, with the shortest weights
    where several fit equally well, as in MMR-Bench (Ma et al. 2026). The paper names linear
    regression (MixLLM, Wang et al. 2025) but does not measure it.
    Source: Hoerl and Kennard 1970.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"default": {}, "original": {"alpha": 0.0}}
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"coef_": 0, "intercept_": 0, "alpha_": 0}
    )

    def __init__(self, *, alpha: float | None = None) -> None:
        self.alpha = alpha

    @property
    def scores_are(self) -> ScoresAre:
        """Estimates of performance, not limited to its range."""
        return "expected_performance"

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,
        rng: np.random.Generator,  # noqa: ARG002  # nothing random
    ) -> Self:
        """Solve for the weights; validation, if given, chooses alpha where it is None."""
        if self.alpha is not None and not 0 <= self.alpha < np.inf:
            raise ConfigError(f"alpha is {self.alpha}: expected 0 or more, or None to choose one")
        _, n_in, n_models = check_training(embeddings, performance, cost_usd)
        alphas = ALPHAS if self.alpha is None else (self.alpha,)
        coef = np.empty((len(alphas), n_models, n_in))
        intercept = np.empty((len(alphas), n_models))
        known = np.isfinite(performance)
        patterns, pattern_of = np.unique(known, axis=1, return_inverse=True)
        for number, rows in enumerate(patterns.T):  # models known on the same queries: one solution
            models = np.flatnonzero(pattern_of == number)
            targets = performance[np.ix_(rows, models)]
            coef[:, models], intercept[:, models] = ridge(embeddings[rows], targets, alphas)
        chosen = self._choose(alphas, coef, intercept, validation)
        models = np.arange(n_models)
        self.coef_ = coef[chosen, models].astype(np.float32)  # (K, d)
        self.intercept_ = intercept[chosen, models].astype(np.float32)  # (K,)
        self.alpha_ = np.asarray(alphas)[chosen]  # (K,)
        return self

    def with_added(self, labelled: Labelled) -> tuple[Self, Estimate, FloatArray]:
        """See Router.with_added: a row of coefficients."""
        seen, others = labelled.embeddings, labelled.unlabelled
        found = fit_estimate(self.predict(seen), seen, labelled.performance)
        row, level = found.row(self.coef_, self.intercept_)
        made = self._appended(
            {
                "coef_": row,
                "intercept_": level,
                "alpha_": np.nan,  # its penalty is not one of ALPHAS
            }
        )
        return made, found, found.of(self.predict(others), others)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K)."""
        return np.asarray(embeddings @ self.coef_.T + self.intercept_, dtype=np.float32)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The one product; see Router.add_to_graph."""
        return graph.affine("router.out", embeddings, self.coef_, self.intercept_)

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
    gram, moment = centred.T @ centred, centred.T @ target
    weights = [
        np.linalg.solve(gram + alpha * np.eye(len(gram)), moment)
        if alpha > 0
        else np.linalg.lstsq(centred, target)[0]
        for alpha in alphas
    ]
    coef = np.stack(weights).transpose(0, 2, 1)
    return coef, mean_y - coef @ mean_x
