"""EmbedLLMRouter: queries and models share a space; their product says who answers right."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from pydantic import NonNegativeFloat, PositiveInt

from equirouter.arrays import Float32Array
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import Training, check_probabilities
from equirouter.routers.networks import forward
from equirouter.routers.networks.template import NetworkRouter, Task


@dataclass(kw_only=True, eq=False)
class EmbedLLMRouter(NetworkRouter):
    """Probability of a right answer from a projected query times a learned model embedding.

    The loss is cross-entropy with performance as the probability, so it must lie in [0, 1].

    Presets: `default` is the variant of the paper's authors: width 256, a bias per model, noise
    0.001 on queries and models; the schedule is the one of App. A.2. `original` is EmbedLLM
    (Zhuang et al. 2024): width 232, a classifier that the models share, noise 0.05 on queries,
    50 epochs, Adam 1e-4 with weight decay 1e-5. Its batches hold 2048 pairs of query and model,
    which is 18 queries of its 112 models, and so many queries are a batch here, in random order;
    its labels are 0 or 1 only.
    """

    presets = MappingProxyType(
        {
            "default": {},
            "original": {
                "width": 232,
                "noise": 0.05,
                "classifier": True,
                "epochs": 50,
                "batch_size": 18,
                "learning_rate": 1e-4,
                "weight_decay": 1e-5,
                "patience": None,
            },
        }
    )

    model_axes = MappingProxyType({"weights_.models": 0, "weights_.bias": 0})
    scores_are = "expected_performance"

    width: PositiveInt = 256
    """Width of the space that queries and models share."""

    noise: NonNegativeFloat = 0.001
    """Standard deviation of the noise on the embeddings during training."""

    classifier: bool = False
    """Whether two linear maps that all models share make the product a logit; else it is the logit,
    with a bias per model."""

    def _task(self, training: Training) -> Task:
        from equirouter.routers.fitting import losses, networks

        check_probabilities(training.outcomes.performance, router="embedllm")
        part = training.outcomes
        n_in, n_models = part.embeddings.shape[1], part.performance.shape[1]
        return Task(
            lambda: networks.EmbedLLMNet(
                n_in, n_models, width=self.width, noise=self.noise, classifier=self.classifier
            ),
            lambda net, batch: losses.cross_entropy(net(batch[0]), batch[1]),
        )

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Predicted performance (N, K), between 0 and 1."""
        weights = self.weights_
        projected = forward.linear(weights, "query", embeddings.astype(np.float32, copy=False))
        if self.classifier:
            wrong, right = weights["classifier.weight"]
            bias = weights["classifier.bias"][1] - weights["classifier.bias"][0]
            logits = (projected * (right - wrong)) @ weights["models"].T + bias
        else:
            logits = projected @ weights["models"].T + weights["bias"]
        return forward.sigmoid(logits)

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the projection and the logits."""
        weights, models = self.weights_, self.weights_["models"]
        query = forward.add_linear(graph, weights, "query", embeddings)
        if self.classifier:
            wrong, right = weights["classifier.weight"]
            bias = weights["classifier.bias"][1] - weights["classifier.bias"][0]
            models, offset = models * (right - wrong), np.full(len(models), bias)
        else:
            offset = weights["bias"]
        return graph.op("Sigmoid", graph.affine("router.models", query, models, offset))
