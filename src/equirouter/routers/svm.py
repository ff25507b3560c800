"""SVMRouter: one linear support vector machine per model (RouterBench)."""

import warnings
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import FitError
from equirouter.extras import require
from equirouter.routers.base import ScoresAre, Validation, check_training
from equirouter.routers.linear import AffineRouter

__all__ = ["SVMRouter"]


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

    max_iter: PositiveInt = 10_000
    """Iterations of the solver, at most."""

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
