"""A first look at all models of a large pool, so that only the promising ones are scored in full.

After training, one vector per model is fitted to the router's own scores, so that a dot product
with the query's vector estimates a score. That takes a hundredth of the full head's time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import PipelineError

RIDGE = 1e-3
"""The penalty on a vector's length, as a share of the mean variance of the query features."""

BLOCK_CELLS = 2**22  # scores held at once while fitting: 16 MB


@dataclass(frozen=True, eq=False)
class FirstStage:
    """Estimated scores z . vector_j + level_j, and which models can still win by them.

    vectors: (K, D). level: (K,). by_cost: (K,) columns from the cheapest model to the most
    expensive, by mean training cost.
    """

    vectors: Float32Array
    level: Float32Array
    by_cost: IntArray

    @classmethod
    def fit(
        cls,
        z: Float32Array,
        scores_of: Callable[[Float32Array], Float32Array],
        mean_cost_usd: FloatArray,
    ) -> Self:
        """Ridge regression of scores_of(z), (N, K), on query vectors z (N, D), in closed form.

        scores_of is called block by block: no (N, K) array is held.
        """
        n, k = len(z), len(mean_cost_usd)
        mean = z.mean(axis=0, dtype=np.float64)
        centred = z - mean
        product, total = np.zeros((z.shape[1], k)), np.zeros(k)
        block = max(1, BLOCK_CELLS // k)
        for start in range(0, n, block):
            scores = scores_of(z[start : start + block])
            product += centred[start : start + block].T @ scores
            total += scores.sum(axis=0, dtype=np.float64)
        gram = centred.T @ centred
        gram += RIDGE * max(np.trace(gram) / len(gram), np.finfo(float).tiny) * np.eye(len(gram))
        vectors = np.linalg.solve(gram, product).T  # the level takes no part: z is centred
        return cls(
            vectors=np.ascontiguousarray(vectors, dtype=np.float32),
            level=(total / n - vectors @ mean).astype(np.float32),
            by_cost=np.argsort(mean_cost_usd, kind="stable"),
        )

    def estimates(self, z: Float32Array) -> Float32Array:
        """Estimated scores (K,) of one query z (D,)."""
        return np.asarray(self.vectors @ z + self.level)

    def promising(self, estimates: Float32Array, n: int) -> IntArray:
        """The n columns (n,), in rising order, that are the likeliest to win under some budget.

        A model wins under a budget when it has the highest score of all models within it. So what
        counts is its lead: its estimate less the highest estimate of all cheaper models. The n
        highest estimates would be expensive models, and leave no choice under a small budget.
        The cheapest model is always among the n.
        """
        in_order = estimates[self.by_cost]
        lead = np.full(len(in_order), np.inf, dtype=np.float32)
        lead[1:] = in_order[1:] - np.maximum.accumulate(in_order)[:-1]
        return np.sort(self.by_cost[np.argpartition(-lead, n - 1)[:n]])

    def completed(
        self, estimates: Float32Array, columns: IntArray, scores: Float32Array
    ) -> Float32Array:
        """Scores (K,): the full scores (n,) of columns (n,), and estimates of the others.

        Estimates are moved by their mean error on the columns, and cut to just below the best full
        score among the models that are no more expensive on average: a model that was not scored in
        full does not win against one that was.
        """
        error = (scores - estimates[columns]).mean(dtype=np.float32)
        out: Float32Array = estimates + error
        full = np.full(len(out), -np.inf, dtype=np.float32)
        full[columns] = scores
        best = np.empty_like(full)
        best[self.by_cost] = np.maximum.accumulate(full[self.by_cost])
        np.minimum(out, np.nextafter(best, np.float32(-np.inf)), out=out)
        out[columns] = scores
        return out

    def state(self) -> dict[str, NDArray[Any]]:
        """The arrays by name; `restore` takes them back."""
        return {"vectors": self.vectors, "level": self.level, "by_cost": self.by_cost}

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any]], n_models: int) -> Self:
        """From what `state` gave. Raises PipelineError for arrays of another number of models."""
        lengths = {name: len(array) for name, array in state.items()}
        if lengths != dict.fromkeys(("vectors", "level", "by_cost"), n_models):
            raise PipelineError(
                f"the first stage has the arrays {lengths}, expected vectors, level and by_cost of "
                f"{n_models} models each: the file is damaged, train again"
            )
        return cls(**state)
