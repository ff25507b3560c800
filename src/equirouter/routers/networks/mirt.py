"""MIRTRouter: item response theory with several abilities, read off what models and queries say."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from equirouter.arrays import Float32Array
from equirouter.routers.base import Validation, check_probabilities
from equirouter.routers.neighbours import BLOCK_BYTES, nearest, unit_rows
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import DescribedNetworkRouter, Task

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["MIRTRouter"]


@dataclass(kw_only=True, eq=False)
class MIRTRouter(DescribedNetworkRouter):
    """Probability sigmoid(alpha . theta_j - b) of a right answer of model j.

    theta_j is linear in the embedding of the model's description, alpha = softplus of a linear map
    of the query's embedding, and the difficulty b is linear in it; no biases. A batch holds at most
    a sixth of the training part (loop.enough_steps). The loss is cross-entropy with performance as
    the probability, so it must lie in [0, 1].

    Presets: `default` is the variant of the paper's authors on the schedule of App. A.2 (30 epochs,
    batch 2048, Adam 1e-3), without the warm-up. Their toolbox steps once per batch and model, here
    a step is for all models; their second network of the same form, for cost, is left out, because
    cost comes from the cost model that all routers share. `original` is MIRT of IRT-Router (Song et
    al. 2025): 9 epochs, warm-up 0.3 with 5 neighbours. Its batches hold 512 pairs of a query and a
    model, which is 25 queries of its 20 models, and so many queries are a batch here. Its trade-off
    with the price per token is left out: that is what a policy does.
    """

    presets = MappingProxyType(
        {"default": {}, "original": {"warm_up": 0.3, "epochs": 9, "batch_size": 25}}
    )

    model_axes = MappingProxyType({"weights_.models": 0})
    scores_are = "expected_performance"

    abilities: PositiveInt = 25
    """Length of theta and alpha."""

    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the mean of the nearest training queries in the embedding that is scored; above 0
    the training embeddings are kept."""

    neighbours: PositiveInt = 5
    """How many training queries the warm-up averages."""

    def _task(
        self,
        training: Validation,
        descriptions: Float32Array,
        rng: np.random.Generator,  # noqa: ARG002  # nothing is drawn beforehand
    ) -> Task:
        import torch

        from equirouter.routers.fitting import irt_nets, loop, losses

        check_probabilities(training.performance, router="mirt")
        self.training_: dict[str, NDArray[Any]] = {}
        if self.warm_up > 0:
            self.training_["embeddings"] = unit_rows(training.embeddings)

        def keep(_: object, weights: dict[str, Float32Array]) -> dict[str, Float32Array]:
            weights["models"] = descriptions @ weights.pop("ability.weight").T
            return weights

        return Task(
            lambda: irt_nets.MIRTNet(torch.from_numpy(descriptions), abilities=self.abilities),
            lambda net, batch: losses.cross_entropy(net(batch[0]), batch[1]),
            batch_size=loop.enough_steps(self.batch_size, len(training.embeddings)),
            keep=keep,
        )

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), between 0 and 1."""
        weights = self.weights_
        x = self._warmed(embeddings.astype(np.float32, copy=False))
        # (N, abilities)
        alpha = forward.softplus(forward.product(x, weights["discrimination.weight"]))
        logits = forward.product(alpha, weights["models"])
        return forward.sigmoid(logits - forward.product(x, weights["difficulty.weight"]))

    def _warmed(self, x: Float32Array) -> Float32Array:
        """(N, d), each moved towards the mean of its nearest training queries."""
        if not self.training_:
            return x
        points = self.training_["embeddings"]
        k = min(self.neighbours, len(points))
        out = np.empty_like(x)
        block = max(1, BLOCK_BYTES // (9 * len(points)))
        for start in range(0, len(x), block):
            rows = slice(start, start + block)
            near = points[nearest(unit_rows(x[rows]), points, k)].mean(axis=1)  # (B, d)
            out[rows] = (1 - self.warm_up) * x[rows] + self.warm_up * near
        return out

    def restore(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `state` gave."""
        self.training_ = {}
        return super().restore(state)

    def add_to_graph(self, graph: "OnnxGraph", embeddings: str) -> str | None:
        """Add the nodes; None with a warm-up, which looks up training queries."""
        if self.training_:
            return None
        weights = self.weights_
        # ONNX Runtime works out a Softplus several numbers at a time, and the last ones otherwise:
        # with abilities of 0 up to a multiple of 16 a row has the same bits wherever it stands
        missing = -len(weights["discrimination.weight"]) % 16
        wide = np.pad(weights["discrimination.weight"], ((0, missing), (0, 0)))
        models = np.pad(weights["models"], ((0, 0), (0, missing)))

        def product(x: str, name: str, weight: Float32Array) -> str:
            return graph.affine(f"router.{name}", x, weight, np.zeros(len(weight)))

        alpha = graph.op("Softplus", product(embeddings, "discrimination", wide))
        difficulty = product(embeddings, "difficulty", weights["difficulty.weight"])
        return graph.op("Sigmoid", graph.op("Sub", product(alpha, "models", models), difficulty))
