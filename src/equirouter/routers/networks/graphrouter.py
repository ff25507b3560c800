"""GraphRouter: queries and models as nodes of a graph, an outcome as an edge between them.

A star has a query in the middle and edges from it to every model. A graph convolution (Kipf and
Welling 2017) with self loops sends along an edge from i to j the vector of i divided by
sqrt(d_i d_j), d being the number of edges that arrive at a node, its own loop included. So a query
has d = 1 and hears only itself; a model has d = 2 and hears the query with 1 / sqrt(2) and itself
with 1 / 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.routers.base import ScoresAre, Training, Validation
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import DescribedNetworkRouter, Task

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["GraphRouter", "star_scores"]

PAIRS_AT_ONCE = 2**16
"""Pairs of query and model in a batch of stars, at most: 64 MB for each layer of 256."""

SAME_UTILITY = 1e-8  # utilities that differ by less are the same, as in LLMRouterBench


@dataclass(kw_only=True, eq=False)
class GraphRouter(DescribedNetworkRouter):
    """Message passing between a query and the models, known by their descriptions.

    A star is a graph per query, of the query and the K models; it predicts performance with a
    squared error. The whole graph is one of all training queries and models, whose edges carry
    utility, which is the performance, cost scaled to 0 to 1, and performance; half of the edges
    predict the others, with cross-entropy, which model has the highest utility; its scores only
    rank. A batch of stars has at most a sixth of the training part (loop.enough_steps) and
    PAIRS_AT_ONCE pairs of a query and a model.

    Presets: `default` is the form of the paper's authors, on the schedule of App. A.2 (30 epochs,
    batch 2048, Adam 1e-3): a star, two layers of 256. Theirs predicts cost at the same edge; here
    cost comes from the cost model that all routers share.
    `original` is GraphRouter (Feng et al. 2025) without tasks, as a table has no description of a
    task: a query's vector is all from its text. The other settings are its own: width 16, 32 masks,
    1000 epochs over the whole graph, learning rate 3e-4, weight decay 1e-4, and of its three
    weightings the one for performance. Where utilities tie, each of the best is labelled, as in
    LLMRouterBench's copy; weight decay is Adam's, not AdamW's; and the last epoch's weights are
    kept, not those with the best F1 on validation data. As in the original, training sees half of
    the edges and prediction all of them.
    """

    presets = MappingProxyType(
        {
            "default": {},
            "original": {
                "graph": "whole",
                "width": 16,
                "epochs": 1000,
                "batch_size": None,
                "learning_rate": 3e-4,
                "weight_decay": 1e-4,
            },
        }
    )

    model_axes = MappingProxyType({"weights_.models": 0})

    graph: Literal["star", "whole"] = "star"
    """A graph per query, or one of all training queries."""

    width: PositiveInt = 256
    """Width of every layer."""

    masks: PositiveInt = 32
    """Of the whole graph: how many choices of visible edges a step averages."""

    visible: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Of the whole graph: the probability that an edge is visible."""

    def __post_init__(self) -> None:
        """Check the settings; the whole graph has no validation loss to stop by."""
        super().__post_init__()
        if self.graph == "whole" and self.patience is not None:
            raise ConfigError(
                f"graphrouter: patience is {self.patience}: expected null with graph=whole, which "
                "cannot stop early; choose epochs"
            )

    @property
    def scores_are(self) -> ScoresAre:
        """Of stars estimates of performance; of the whole graph, how likely a model is the best."""
        return "expected_performance" if self.graph == "star" else "ranking"

    def _task(self, training: Training) -> Task:
        if self.graph == "star":
            return self._star_task(training.outcomes, training.descriptions)
        return self._whole_task(training.outcomes, training.descriptions)

    def _star_task(self, training: Validation, descriptions: Float32Array) -> Task:
        import torch

        from equirouter.routers.fitting import loop, losses, networks

        n_queries, n_models = training.performance.shape
        most = max(1, PAIRS_AT_ONCE // n_models)

        def keep(_: object, weights: dict[str, Float32Array]) -> dict[str, Float32Array]:
            weights["models"] = descriptions @ weights["first.weight"].T
            return weights

        return Task(
            lambda: networks.StarNet(torch.from_numpy(descriptions), width=self.width),
            lambda net, batch: losses.masked_mse(net(batch[0]), batch[1]),
            batch_size=loop.enough_steps(min(self.batch_size or most, most), n_queries),
            validation_rows=most,
            keep=keep,
        )

    def _whole_task(self, training: Validation, descriptions: Float32Array) -> Task:
        import torch

        from equirouter.routers.fitting import networks

        features, labels = self._edges(training.performance, training.cost_usd)
        masks, visible = self.masks, self.visible

        def keep(
            network: "networks.WholeNet", weights: dict[str, Float32Array]
        ) -> dict[str, Float32Array]:
            arrays = (training.embeddings, features, np.isfinite(labels)[None])
            with torch.no_grad():
                whole = [torch.from_numpy(array.astype(np.float32)) for array in arrays]
                models = network.cpu().model_vectors(*whole)[0]
            models = models / self.width  # the score is the mean over it
            kept = {name: weights[name] for name in ("query.weight", "query.bias")}
            return kept | {"models": np.asarray(models.numpy(), dtype=np.float32)}

        return Task(
            lambda: networks.WholeNet(torch.from_numpy(descriptions), width=self.width),
            lambda net, batch: networks.edge_loss(net, batch, masks=masks, visible=visible),
            lambda _: (training.embeddings, features, labels),
            keep=keep,
        )

    def _edges(
        self, performance: FloatArray, cost_usd: FloatArray
    ) -> tuple[Float32Array, Float32Array]:
        """Features (N, K, 3) and labels (N, K), NaN where performance or cost is not known."""
        known = np.isfinite(performance) & np.isfinite(cost_usd)
        low, high = np.nanmin(cost_usd), np.nanmax(cost_usd)
        cost = (cost_usd - low) / max(high - low, np.finfo(np.float64).tiny)
        utility = np.where(known, performance, -np.inf)  # the policy weighs the cost
        best = utility.max(axis=1, keepdims=True)
        labels = np.where(known, utility >= best - SAME_UTILITY, np.nan)
        features = np.stack([utility, cost, performance], axis=2)
        features[~known] = 0.0  # such an edge is never visible
        return features.astype(np.float32), labels.astype(np.float32)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), not limited to its range; of the whole graph, in 0 to 1."""
        weights = self.weights_
        x = embeddings.astype(np.float32, copy=False)
        if self.graph == "star":
            return star_scores(weights, x)
        return forward.sigmoid(forward.linear(weights, "query", x) @ weights["models"].T)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str:
        """Add the nodes: (N, d) -> (N, K)."""
        weights = self.weights_
        if self.graph == "star":
            return add_star(graph, weights, embeddings)
        query = forward.add_linear(graph, weights, "query", embeddings)
        product = graph.op("MatMul", query, graph.const("router.models", weights["models"].T))
        return graph.op("Sigmoid", product)


_FROM_QUERY, _FROM_SELF = np.float32(forward.FROM_QUERY), np.float32(forward.FROM_SELF)


def star_scores(weights: Mapping[str, Float32Array], x: Float32Array) -> Float32Array:
    """Scores (N, K) of queries (N, d): two convolutions, and a network on both ends of each edge.

    weights: those of networks.StarNet, with "models" (K, width), the descriptions times the
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


def add_star(graph: "OnnxGraph", weights: Mapping[str, Float32Array], embeddings: str) -> str:
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
