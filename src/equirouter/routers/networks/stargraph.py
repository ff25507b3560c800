"""Message passing on one star per query, in NumPy and ONNX: a query in the middle, models around.

The edges go from the query to every model. A graph convolution (Kipf and Welling 2017) with self
loops sends along an edge from i to j the vector of i divided by sqrt(d_i d_j), d being the number
of edges that arrive at a node, its own loop included. So a query has d = 1 and hears only itself;
a model has d = 2 and hears the query with 1 / sqrt(2) and itself with 1 / 2.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.routers.networks import forward

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["FROM_QUERY", "FROM_SELF", "add_star", "star_scores"]

FROM_QUERY, FROM_SELF = 0.5**0.5, 0.5
_FROM_QUERY, _FROM_SELF = np.float32(FROM_QUERY), np.float32(FROM_SELF)

Weights = Mapping[str, Float32Array]


def star_scores(weights: Weights, x: Float32Array) -> Float32Array:
    """Scores (N, K) of queries (N, d): two convolutions, and a network on both ends of each edge.

    weights: those of graph_nets.StarNet, with "models" (K, width), the descriptions times the
    first layer's weight, in place of the descriptions.
    """
    models, first, second = weights["models"], weights["first.bias"], weights["second.weight"]
    sent = x @ weights["first.weight"].T  # (N, width)
    again = np.maximum(sent + first, 0) @ second.T
    of_query, of_model = np.split(weights["edge.weight"], 2, axis=1)
    query = np.maximum(again + weights["second.bias"], 0) @ of_query.T + weights["edge.bias"]
    around = _FROM_SELF * models + first  # (K, width)

    def score(rows: int | slice, which: int | slice) -> Float32Array:
        model = np.maximum(_FROM_QUERY * sent[rows] + around[which], 0)
        heard = _FROM_QUERY * again[rows] + _FROM_SELF * (model @ second.T)
        model = np.maximum(heard + weights["second.bias"], 0)
        hidden = np.maximum(query[rows] + model @ of_model.T, 0)
        return forward.linear(weights, "out", hidden)[:, 0]

    return forward.over_pairs(score, len(x), len(models))


def add_star(graph: "OnnxGraph", weights: Weights, embeddings: str) -> str:
    """Add the nodes that compute star_scores: (N, d) -> (N, K)."""
    models, width = weights["models"], weights["models"].shape[1]
    axis = graph.const("axis_1", np.array([1]))
    nothing = np.zeros(width, dtype=np.float32)

    def const(name: str, values: Float32Array) -> str:
        return graph.const(f"router.{name}", values)

    def to_models(sent: str) -> str:
        spread = graph.op("Unsqueeze", sent, axis)  # (N, 1, width)
        return graph.op("Mul", spread, const("from_query", np.array(_FROM_QUERY)))

    def add(x: str, name: str, values: Float32Array) -> str:
        return graph.op("Add", x, const(name, values))

    sent = graph.affine("router.first", embeddings, weights["first.weight"], nothing)
    around = _FROM_SELF * models + weights["first.bias"]
    model = graph.op("Relu", add(to_models(sent), "around", around))  # (N, K, width)
    query = graph.op("Relu", add(sent, "first.offset", weights["first.bias"]))
    again = graph.affine("router.second", query, weights["second.weight"], nothing)
    own = const("second.own", _FROM_SELF * weights["second.weight"].T)
    heard = graph.op("Add", graph.op("MatMul", model, own), to_models(again))
    model = graph.op("Relu", add(heard, "second.offset", weights["second.bias"]))
    query = graph.op("Relu", add(again, "second.offset", weights["second.bias"]))
    of_query, of_model = np.split(weights["edge.weight"], 2, axis=1)
    query = graph.affine("router.edge", query, of_query, weights["edge.bias"])
    hidden = graph.op("MatMul", model, const("edge.model", of_model.T))
    hidden = graph.op("Relu", graph.op("Add", hidden, graph.op("Unsqueeze", query, axis)))
    pairs = graph.rows(hidden, width)
    return graph.rows(forward.add_linear(graph, weights, "out", pairs), len(models))
