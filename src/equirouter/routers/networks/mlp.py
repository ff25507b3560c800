"""MLPRouter: a two-layer network that predicts every model's performance (paper, App. A.2)."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from pydantic import PositiveInt

from equirouter.arrays import Float32Array, FloatArray
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import Training
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import NetworkRouter, Task
from equirouter.routers.new_model import Labelled, LinearEstimate, fit_estimate


@dataclass(kw_only=True, eq=False)
class MLPRouter(NetworkRouter):
    """Performance of each model by one linear, ReLU, linear network, squared error.

    Source: Stripelis et al. 2024; Hari & Thomson 2023; the paper, App. A.2.
    """

    model_axes = MappingProxyType({"weights_.out.weight": 0, "weights_.out.bias": 0})
    scores_are = "expected_performance"

    hidden: PositiveInt = 256
    """Width of the hidden layer."""

    def _task(self, training: Training) -> Task:
        from equirouter.routers.fitting import losses, networks

        part = training.outcomes
        n_in, n_models = part.embeddings.shape[1], part.performance.shape[1]
        return Task(
            lambda: networks.MLP(n_in, self.hidden, n_models),
            lambda net, batch: losses.masked_mse(net(batch[0]), batch[1]),
        )

    def with_added(self, labelled: Labelled) -> tuple[Self, LinearEstimate, FloatArray]:
        """One more model: a row of the output layer."""
        queries, others = labelled.embeddings, labelled.unlabelled
        hidden = forward.hidden_units(self.weights_, queries)
        estimate = fit_estimate(self.predict(queries), hidden, labelled.performance)
        row, level = estimate.row(self.weights_["out.weight"], self.weights_["out.bias"])
        made = self._appended({"weights_.out.weight": row, "weights_.out.bias": level})
        hidden = forward.hidden_units(self.weights_, others)
        return made, estimate, estimate.of(self.predict(others), hidden)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K)."""
        return forward.mlp(self.weights_, embeddings)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the two layers."""
        hidden = forward.add_hidden_units(graph, self.weights_, embeddings)
        return forward.add_linear(graph, self.weights_, "out", hidden)
