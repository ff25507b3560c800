"""EquiRouter's head with all that depends on the models alone computed once, in NumPy and ONNX.

Also the embedding of a new model, fitted so that the head gives the target scores; and a first look
at all models of a large pool, so that only the promising ones are scored in full. After training,
one vector per model is fitted to the router's own scores, so that a dot product with the query's
vector estimates a score. That takes a hundredth of the full head's time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import PipelineError
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.networks.forward import LAYER_NORM_EPSILON, gelu, layer_norm, linear

LARGEST_MATRIX = 2**18
"""Numbers of the products made per model, 1 MB: what still lies in a core's own cache.

Up to here a query costs two thirds of the multiplications; beyond, one query waits for memory.
"""


class Head:
    """Eq. 5-7 after the trunk, for all models at once: (B, D) -> (B, K).

    With the head's first layer split as W = [W1 W2 W3 W4] and z_j = gamma_j * z + beta_j, it is
    W1 z_j + W2 e_j + W3 (z_j * e_j) + W4 |z_j - e_j|. Write a = gamma_j * z, and for the last part
    |a - f| = 2 max(a, f) - a - f with f = e_j - beta_j. Then all of it is

        (W1 - W4) a + W3 (e_j * a) + 2 W4 max(a, f)

    and a constant per model. For few models the first two products are one with a matrix per model,
    ((W1 - W4) + W3 diag(e_j)) diag(gamma_j), that takes z itself.
    """

    def __init__(self, weights: Mapping[str, Float32Array], *, joint_feature: bool) -> None:
        self.weights = weights
        self.joint_feature = joint_feature
        models = weights["models"]
        self.n_models = len(models)
        head, bias = weights["head.weight"], weights["head.bias"]
        self.e = linear(weights, "psi", models)  # (K, D)
        self.matrix: Float32Array | None = None  # (K, H, D)
        if not joint_feature:
            self.w_query, w_model = np.split(head, 2, axis=1)  # (H, D) each
            self.constant = self.e @ w_model.T + bias  # (K, H)
            return
        e = self.e
        self.gamma, beta = np.split(linear(weights, "phi", models), 2, axis=1)  # (K, D) each
        w1, w2, self.w3, w4 = np.split(head, 4, axis=1)  # (H, D) each
        self.floor = e - beta
        self.w_linear, self.w_max = w1 - w4, 2 * w4
        self.constant = beta @ w1.T + e @ w2.T + (e * beta) @ self.w3.T - self.floor @ w4.T + bias
        if self.n_models * head.shape[0] * e.shape[1] <= LARGEST_MATRIX:
            mixed = self.w_linear + self.w3 * e[:, None, :]
            self.matrix = mixed * self.gamma[:, None, :]

    def scores(self, z: Float32Array) -> Float32Array:
        """(B, D) -> (B, K), in NumPy, along the shorter of the two axes where both can be taken."""
        out = np.empty((len(z), self.n_models), dtype=np.float32)
        if self.joint_feature and self.matrix is None and len(z) < self.n_models:
            for row, query in enumerate(z):
                out[row] = self._finish(self._first_layer(query, slice(None)))
            return out
        for model in range(self.n_models):
            out[:, model] = self._finish(self._first_layer(z, model))
        return out

    def scores_at(self, query: Float32Array, columns: IntArray) -> Float32Array:
        """Scores (M,) of one query (D,) for the models in columns (M,) alone."""
        return self._finish(self._first_layer(query, columns))

    def _first_layer(self, z: Float32Array, model: int | slice | IntArray) -> Float32Array:
        """One model and all queries, (B, D) -> (B, H), or one query and models, (D,) -> (M, H)."""
        if not self.joint_feature:
            return np.asarray(z @ self.w_query.T + self.constant[model])
        a = self.gamma[model] * z
        if self.matrix is not None and isinstance(model, int):
            hidden = z @ self.matrix[model].T
        else:
            hidden = a @ self.w_linear.T + (a * self.e[model]) @ self.w3.T
        hidden += np.maximum(a, self.floor[model]) @ self.w_max.T
        return np.asarray(hidden + self.constant[model])

    def _finish(self, hidden: Float32Array) -> Float32Array:
        """The layers after the first: (M, H) -> (M,)."""
        normal = layer_norm(self.weights, "head_norm", gelu(hidden))
        return linear(self.weights, "score", normal)[:, 0]

    def add_to_graph(self, graph: OnnxGraph, z: str) -> str:
        """Add the nodes that compute scores: (N, D) -> (N, K)."""
        one_more = graph.op("Unsqueeze", z, graph.const("axis_1", np.array([1])))  # (N, 1, D)
        hidden = self._joint(graph, z, one_more) if self.joint_feature else self._plain(graph, z)
        hidden = graph.op("Gelu", hidden, approximate="tanh")  # (N K, H), as all below
        scale, shift = (self.weights[f"head_norm.{part}"] for part in ("weight", "bias"))
        normal = graph.layer_norm("head_norm", hidden, scale, shift, float(LAYER_NORM_EPSILON))
        weight, bias = (self.weights[f"score.{part}"] for part in ("weight", "bias"))
        return graph.rows(graph.affine("score", normal, weight, bias), self.n_models)

    def _plain(self, graph: OnnxGraph, z: str) -> str:
        n_hidden = self.constant.shape[1]
        product = graph.affine("head", z, self.w_query, np.zeros(n_hidden))
        spread = graph.op("Unsqueeze", product, graph.const("axis_1", np.array([1])))
        hidden = graph.op("Add", spread, graph.const("head.constant", self.constant))
        return graph.rows(hidden, n_hidden)

    def _joint(self, graph: OnnxGraph, z: str, one_more: str) -> str:
        n_hidden, width = self.w_linear.shape
        a = graph.op("Mul", one_more, graph.const("head.gamma", self.gamma))  # (N, K, D)
        if self.matrix is not None:
            matrix = self.matrix.reshape(-1, width)  # (K H, D)
            hidden = graph.affine("head", z, matrix, self.constant.reshape(-1))
        else:
            product = graph.op("MatMul", a, graph.const("head.linear", self.w_linear.T))
            hidden = graph.op("Add", product, graph.const("head.constant", self.constant))
            mixed = graph.rows(graph.op("Mul", a, graph.const("head.e", self.e)), width)
            w3 = graph.const("head.mixed", self.w3.T)
            hidden = graph.op("Gemm", mixed, w3, graph.rows(hidden, n_hidden))
        larger = graph.op("Max", a, graph.const("head.floor", self.floor))
        w_max = graph.const("head.max", self.w_max.T)
        return graph.op("Gemm", graph.rows(larger, width), w_max, graph.rows(hidden, n_hidden))


MOST_STEPS = 20
SETTLED = 1e-4
"""The share of the error below which a step no longer matters."""

PULL = 1e-3
"""Penalty for being one spread of the embeddings away from the start, in units of the error."""

STEP = 1e-2  # of a finite difference, in spreads of the embeddings


def distilled(
    weights: Mapping[str, Float32Array],
    z: Float32Array,
    targets: FloatArray,
    start: FloatArray,
    *,
    joint_feature: bool,
) -> FloatArray:
    """The embedding (d_m,) whose scores on queries z (N, D) come closest to targets (N,).

    weights: of the router; only the embedding is learned. start: where it begins, and is drawn
    back to. Gauss-Newton steps with Levenberg's damping, slopes by finite differences.
    """
    spread = float(weights["models"].std(axis=0).mean()) or 1.0
    size = float(targets.std()) or 1.0

    def missed(embedding: FloatArray) -> FloatArray:
        model = dict(weights) | {"models": embedding[None].astype(np.float32)}
        scores = Head(model, joint_feature=joint_feature).scores(z)[:, 0].astype(np.float64)
        away = np.sqrt(PULL) * (embedding - start) / spread
        return np.concatenate([(scores - targets) / (size * np.sqrt(len(z))), away])

    best, damping = start.astype(np.float64), 1e-2
    error = missed(best)
    for _ in range(MOST_STEPS):
        slopes = _slopes(missed, best, error, STEP * spread)
        before = float(error @ error)
        while True:
            curvature = slopes.T @ slopes + damping / spread**2 * np.eye(len(best))
            tried = best - np.linalg.solve(curvature, slopes.T @ error)
            new = missed(tried)
            if float(new @ new) < before:
                best, error, damping = tried, new, damping / 5
                break
            damping *= 5
            if damping > 1e6:  # no step lowers it
                return best
        if float(error @ error) > (1 - SETTLED) * before:
            break
    return best


def _slopes(
    missed: Callable[[FloatArray], FloatArray], at: FloatArray, error: FloatArray, step: float
) -> FloatArray:
    """(N, d_m): how the errors change along each axis."""
    columns = []
    for axis in range(len(at)):
        moved = at.copy()
        moved[axis] += step
        columns.append((missed(moved) - error) / step)
    return np.stack(columns, axis=1)


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
