"""The forward pass of trained networks in NumPy, float32: deciding needs no torch."""

from collections.abc import Callable, Mapping

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.onnxgraph import OnnxGraph

Weights = Mapping[str, Float32Array]
LAYER_NORM_EPSILON = np.float32(1e-5)  # torch's default
_ROWS_AT_ONCE = 4096  # what is made per pair of query and model is dropped after so many queries
FROM_QUERY, FROM_SELF = 0.5**0.5, 0.5  # what a model in a star hears, see graphrouter.star_scores
_GELU_SCALE = np.float32(np.sqrt(2.0 / np.pi))


def linear(weights: Weights, name: str, x: Float32Array) -> Float32Array:
    """The affine layer `name`, x @ W.T + b: (N, in) -> (N, out)."""
    return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


def add_linear(
    graph: OnnxGraph, weights: Weights, name: str, x: str, *, part: str = "router"
) -> str:
    """Add the affine layer `name` to a graph, as PART.NAME: (N, in) -> (N, out)."""
    return graph.affine(f"{part}.{name}", x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def product(x: Float32Array, weight: Float32Array) -> Float32Array:
    """The product x @ weight.T, (N, in) -> (N, out), with one and the same bits for a row anywhere.

    Each row is a product of its own; one product of all rows does not promise it.
    """
    if len(x) == 1:
        alone: Float32Array = np.dot(weight, x[0])  # the same routine, without what goes around
        return alone[None]
    rows = np.ascontiguousarray(x)[:, :, None]
    return np.asarray(np.matmul(weight, rows)[:, :, 0])


def gelu(x: Float32Array) -> Float32Array:
    """Gaussian error linear unit in its tanh form (Hendrycks & Gimpel 2016, section 2)."""
    inner = _GELU_SCALE * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(np.float32(0.5) * x * (np.float32(1.0) + np.tanh(inner)))


def sigmoid(x: Float32Array) -> Float32Array:
    """1 / (1 + exp(-x)), as half a hyperbolic tangent, which does not overflow."""
    half = np.float32(0.5)
    return np.asarray(half + half * np.tanh(half * x))


def softplus(x: Float32Array) -> Float32Array:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.logaddexp(np.float32(0.0), x))


def softmax(x: Float32Array) -> Float32Array:
    """Shares over the last axis, exp(x) divided by its sum."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def layer_norm(weights: Weights, name: str, x: Float32Array) -> Float32Array:
    """Layer normalisation over the last axis, with the learned scale and shift of `name`."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    scaled = centred / np.sqrt(variance + LAYER_NORM_EPSILON)
    return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def hidden_units(weights: Weights, embeddings: Float32Array) -> Float32Array:
    """The first half of `mlp`: (N, d) -> (N, hidden)."""
    x = embeddings.astype(np.float32, copy=False)
    return np.asarray(np.maximum(linear(weights, "hidden", x), np.float32(0)))


def mlp(weights: Weights, x: Float32Array) -> Float32Array:
    """The two-layer ReLU network of fitting.networks.MLP: (N, d) -> (N, K)."""
    return linear(weights, "out", hidden_units(weights, x))


def add_hidden_units(graph: OnnxGraph, weights: Weights, x: str, *, part: str = "router") -> str:
    """The first half of `mlp` as ONNX nodes: (N, d) -> (N, hidden)."""
    return graph.op("Relu", add_linear(graph, weights, "hidden", x, part=part))


def over_pairs(
    score: Callable[[int | slice, int | slice], Float32Array], n_queries: int, n_models: int
) -> Float32Array:
    """(N, K) from a score of rows and models, along the shorter of the two axes.

    score: given (rows, model), what a model has on these queries (B,), or given (row, models), what
    the models have on one query (K,).
    """
    out = np.empty((n_queries, n_models), dtype=np.float32)
    if n_queries < n_models:
        for row in range(n_queries):
            out[row] = score(row, slice(None))
        return out
    for start in range(0, n_queries, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        for model in range(n_models):
            out[rows, model] = score(rows, model)
    return out
