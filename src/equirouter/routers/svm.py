"""SVMRouter: one linear support vector machine per model (RouterBench)."""

import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError, FitError
from equirouter.extras import require
from equirouter.routers.base import Router, ScoresAre, Validation, check_training
from equirouter.routers.joining import Estimate, Labelled, fit_estimate

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["SVMRouter"]


class SVMRouter(Router):
    """Performance of each model by linear support vector regression (scikit-learn's LinearSVR).

    loss: what an error beyond epsilon costs, "squared" or "absolute". epsilon: errors up to this,
    in units of performance, cost nothing. c: weight of the errors against the L2 penalty of 1.
    max_iter: of the solver. Each model learns from the queries where it has an outcome.

    Presets: `original` is RouterBench (Hu et al. 2024), LinearSVR as scikit-learn makes it:
    absolute errors, epsilon 0, c 1. Such a machine estimates the median, and the median of right
    and wrong answers is one of the two: most models then score near 1 on most queries, which tells
    little of which is better. `default` has squared errors, whose estimate is within epsilon of the
    expected performance (as the data grow), and c 0.01, chosen on validation data. The paper does
    not measure a support vector machine.
    Source: Drucker et al. 1996; Fan et al. 2008 (LIBLINEAR).
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"default": {}, "original": {"loss": "absolute", "epsilon": 0.0, "c": 1.0}}
    )

    model_axes: ClassVar[Mapping[str, int]] = MappingProxyType({"coef_": 0, "intercept_": 0})

    def __init__(
        self,
        *,
        loss: Literal["squared", "absolute"] = "squared",
        epsilon: float = 0.1,
        c: float = 0.01,
        max_iter: int = 10_000,
    ) -> None:
        self.loss = loss
        self.epsilon = epsilon
        self.c = c
        self.max_iter = max_iter

    @property
    def scores_are(self) -> ScoresAre:
        """Squared errors lead to expected performance, give or take epsilon; absolute ones not."""
        return "expected_performance" if self.loss == "squared" else "ranking"

    def fit(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        *,
        validation: Validation | None = None,  # noqa: ARG002  # nothing to stop early
        rng: np.random.Generator,
    ) -> Self:
        """Fit the machines one by one. Raises FitError when one does not converge."""
        self._check()
        _, n_in, n_models = check_training(embeddings, performance, cost_usd)
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
                random_state=int(rng.integers(2**31)),
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
        return self

    def with_added(self, labelled: Labelled) -> tuple[Self, Estimate, FloatArray]:
        """See Router.with_added: a row of coefficients."""
        if self.scores_are == "ranking":
            return super().with_added(labelled)
        seen, others = labelled.embeddings, labelled.unlabelled
        found = fit_estimate(self.predict(seen), seen, labelled.performance)
        row, level = found.row(self.coef_, self.intercept_)
        made = self._appended(
            {
                "coef_": row,
                "intercept_": level,
            }
        )
        return made, found, found.of(self.predict(others), others)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Scores (N, K), not limited to the range of performance."""
        return np.asarray(embeddings @ self.coef_.T + self.intercept_, dtype=np.float32)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """The one product; see Router.add_to_graph."""
        return graph.affine("router.out", embeddings, self.coef_, self.intercept_)

    def _check(self) -> None:
        if self.loss not in ("squared", "absolute"):
            raise ConfigError(f"loss {self.loss!r}: expected squared or absolute")
        if self.epsilon < 0 or self.c <= 0 or self.max_iter < 1:
            raise ConfigError("epsilon: expected 0 or more; c and max_iter: expected above 0")
