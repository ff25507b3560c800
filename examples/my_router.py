"""A router of your own in one file; `python examples/my_router.py` runs the contract on it.

`equirouter bench --routers examples/my_router.py:MyRouter,knn` measures it as it is.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import PositiveFloat

from equirouter.arrays import Float32Array, FloatArray
from equirouter.routers.base import Router, check_training
from equirouter.testing import check_router


@dataclass(kw_only=True, eq=False)
class MyRouter(Router):
    """Mean performance, plus strength times how the query leans towards what went well."""

    scores_are = "ranking"
    strength: PositiveFloat = 5.0
    """How much the query counts against the mean."""

    def fit(
        self, embeddings: Float32Array, performance: FloatArray, cost_usd: FloatArray, **_: object
    ) -> Self:
        """Learn from performance (N, K); an unknown cell says nothing."""
        check_training(embeddings, performance, cost_usd)
        self.mean_ = np.nanmean(performance, axis=0)
        self.leaning_ = embeddings.T @ np.nan_to_num(performance - self.mean_) / len(embeddings)
        return self

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Scores (N, K)."""
        return np.asarray(self.mean_ + self.strength * (embeddings @ self.leaning_), np.float32)


if __name__ == "__main__":
    print(f"MyRouter passes {check_router(MyRouter)} checks of the contract")
