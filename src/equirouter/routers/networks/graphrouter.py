"""GraphRouter: queries and models as nodes of a graph, an outcome as an edge between them."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError
from equirouter.routers.base import ScoresAre, Validation
from equirouter.routers.networks import forward
from equirouter.routers.networks.stargraph import add_star, star_scores
from equirouter.routers.networks.template import DescribedNetworkRouter, Task

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["GraphRouter"]

PAIRS_AT_ONCE = 2**16
"""Pairs of query and model in a batch of stars, at most: 64 MB for each layer of 256."""

SAME_UTILITY = 1e-8  # utilities that differ by less are the same, as in LLMRouterBench


@dataclass(kw_only=True, eq=False)
class GraphRouter(DescribedNetworkRouter):
    """Message passing between a query and the models, known by their descriptions.

    A star is a graph per query, of the query and the K models (stargraph.py); it predicts
    performance with a squared error. The whole graph is one of all training queries and models,
    whose edges carry utility, cost and performance; half of the edges predict the others, with
    cross-entropy, which model has the highest utility, performance_weight * performance -
    cost_weight * cost, the cost scaled to 0 to 1 over the training part; its scores only rank. A
    batch of stars has at most a sixth of the training part (loop.enough_steps) and PAIRS_AT_ONCE
    pairs of a query and a model.

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

    performance_weight: float = 1.0
    """Of the whole graph: how much performance counts in the utility."""

    cost_weight: float = 0.0
    """Of the whole graph: how much cost counts in the utility."""

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

    def _task(
        self,
        training: Validation,
        descriptions: Float32Array,
        rng: np.random.Generator,  # noqa: ARG002  # nothing is drawn beforehand
    ) -> Task:
        if self.graph == "star":
            return self._star_task(training, descriptions)
        return self._whole_task(training, descriptions)

    def _star_task(self, training: Validation, descriptions: Float32Array) -> Task:
        import torch

        from equirouter.routers.fitting import graph_nets, loop, losses

        n_queries, n_models = training.performance.shape
        most = max(1, PAIRS_AT_ONCE // n_models)

        def keep(_: object, weights: dict[str, Float32Array]) -> dict[str, Float32Array]:
            weights["models"] = descriptions @ weights["first.weight"].T
            return weights

        return Task(
            lambda: graph_nets.StarNet(torch.from_numpy(descriptions), width=self.width),
            lambda net, batch: losses.masked_mse(net(batch[0]), batch[1]),
            batch_size=loop.enough_steps(min(self.batch_size or most, most), n_queries),
            validation_rows=most,
            keep=keep,
        )

    def _whole_task(self, training: Validation, descriptions: Float32Array) -> Task:
        import torch

        from equirouter.routers.fitting import graph_nets

        features, labels = self._edges(training.performance, training.cost_usd)
        masks, visible = self.masks, self.visible

        def keep(
            network: "graph_nets.WholeNet", weights: dict[str, Float32Array]
        ) -> dict[str, Float32Array]:
            arrays = (training.embeddings, features, np.isfinite(labels)[None])
            with torch.no_grad():
                whole = [torch.from_numpy(array.astype(np.float32)) for array in arrays]
                models = network.cpu().model_vectors(*whole)[0]
            models = models / self.width  # the score is the mean over it
            kept = {name: weights[name] for name in ("query.weight", "query.bias")}
            return kept | {"models": np.asarray(models.numpy(), dtype=np.float32)}

        return Task(
            lambda: graph_nets.WholeNet(torch.from_numpy(descriptions), width=self.width),
            lambda net, batch: graph_nets.edge_loss(net, batch, masks=masks, visible=visible),
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
        utility = self.performance_weight * performance - self.cost_weight * cost
        utility = np.where(known, utility, -np.inf)
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
