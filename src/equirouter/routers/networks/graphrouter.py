"""GraphRouter: queries and models as nodes of a graph, an outcome as an edge between them.

A star has a query in the middle and edges from it to every model. A graph convolution (Kipf and
Welling 2017) with self loops sends along an edge from i to j the vector of i divided by
sqrt(d_i d_j), d being the number of edges that arrive at a node, its own loop included. So a query
has d = 1 and hears only itself; a model has d = 2 and hears the query with 1 / sqrt(2) and itself
with 1 / 2.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from pydantic import PositiveInt

from equirouter.arrays import Float32Array
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import DescriptionRouter, Training
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import NetworkRouter, Task

PAIRS_AT_ONCE = 2**16
"""Pairs of query and model in a batch of stars, at most: 64 MB for each layer of 256."""

_FROM_QUERY, _FROM_SELF = np.float32(forward.FROM_QUERY), np.float32(forward.FROM_SELF)


@dataclass(kw_only=True, eq=False)
class GraphRouter(NetworkRouter, DescriptionRouter):
    """Message passing between a query and the models, known by their descriptions.

    A graph per query, a star of it and the K models: two layers, then a network on both ends of
    each edge predicts performance, with a squared error. A batch has at most PAIRS_AT_ONCE pairs of
    a query and a model.

    It is the form of the paper's authors, on the schedule of App. A.2 (30 epochs, batch 2048, Adam
    1e-3). Theirs predicts cost at the same edge; here cost comes from the cost model that all
    routers share. GraphRouter (Feng et al. 2025) has one graph of all training queries and models,
    with tasks as nodes; a table has no description of a task, and without tasks it was worse and
    slower than the stars.
    """

    model_axes = MappingProxyType({"weights_.models": 0})
    scores_are = "expected_performance"

    width: PositiveInt = 256
    """Width of every layer."""

    def _task(self, training: Training) -> Task:
        import torch

        from equirouter.routers.fitting import losses, networks

        descriptions = training.descriptions
        most = max(1, PAIRS_AT_ONCE // training.outcomes.performance.shape[1])

        def keep(_: object, weights: dict[str, Float32Array]) -> dict[str, Float32Array]:
            weights["models"] = descriptions @ weights["first.weight"].T
            return weights

        return Task(
            lambda: networks.StarNet(torch.from_numpy(descriptions), width=self.width),
            lambda net, batch: losses.masked_mse(net(batch[0]), batch[1]),
            batch_size=min(self.batch_size, most),
            keep=keep,
        )

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), not limited to its range.

        Two convolutions, and a network on both ends of each edge. The weights are those of
        networks.StarNet, with "models" (K, width), the descriptions times the first layer's weight,
        in place of the descriptions.
        """
        weights, x = self.weights_, embeddings.astype(np.float32, copy=False)
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

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the nodes that compute what `predict` does."""
        weights, models = self.weights_, self.weights_["models"]
        width = models.shape[1]
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
