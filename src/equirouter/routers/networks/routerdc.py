"""RouterDCRouter: model embeddings learned by two contrastive losses on frozen query embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from equirouter.arrays import Float32Array
from equirouter.onnxgraph import OnnxGraph
from equirouter.routers.base import Training, Validation
from equirouter.routers.neighbours import kmeans
from equirouter.routers.networks.template import NetworkRouter, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

SLOW = np.float32(0.1)  # of RouterDCNet, which a process that only decides cannot import


@dataclass(kw_only=True, eq=False)
class RouterDCRouter(NetworkRouter):
    """A model scores by the cosine between its learned embedding and the query's.

    The first loss sets each of a query's best models against its worst, sample_llm_loss. With
    projection, a square matrix turns the queries, and a second loss sets a query of the same
    cluster against queries of other clusters, sample_sample_loss; without it that loss compares
    frozen embeddings, has nothing to learn and is left out. Validation is judged by the first loss
    alone.

    RouterDC (Chen et al. 2024) trains the encoder itself. Here it is frozen, and the matrix stands
    in for it; the clusters are made on the embeddings, without t-SNE; a negative must be worse than
    its positive, so that two models are enough; of equally good models the positives are drawn at
    random. Cost takes no part: the policy weighs it.

    Presets: `default` is the form of the paper's authors, who train the model embeddings only, with
    5 best, 5 worst and temperature 0.07; the paper itself does not measure RouterDC. `original` has
    both losses and the source's numbers: 3 best, 3 worst, temperature 1, 8 clusters, 3 negatives,
    batches of 16. Learning rate and epochs are made for a frozen encoder in both. On validation
    parts, five seeds, nAUC is 0.846 without the matrix and 0.830 with it on a part of RouterBench,
    0.725 and 0.724 on MMLU + GSM8K.
    """

    fitted_with = ("torch", "sklearn")
    presets = MappingProxyType(
        {
            "default": {},
            "original": {
                "projection": True,
                "temperature": 1.0,
                "n_top": 3,
                "n_bottom": 3,
                "n_clusters": 8,
                "n_negatives": 3,
                "batch_size": 16,
                "epochs": 10,
                "patience": None,
            },
        }
    )

    model_axes = MappingProxyType({"weights_.models": 0})
    scores_are = "ranking"

    projection: bool = False
    """Whether a matrix turns the queries, and the second loss takes part."""

    temperature: PositiveFloat = 0.07
    """Divides all cosines."""

    n_top: PositiveInt = 5
    """How many of a query's best models are positives."""

    n_bottom: PositiveInt = 5
    """How many of a query's worst models are negatives."""

    n_clusters: PositiveInt = 20
    """Clusters of training queries, by KMeans, for the second loss."""

    n_negatives: PositiveInt = 30
    """Queries of other clusters in the second loss."""

    sample_weight: NonNegativeFloat = 1.0
    """Weight of the second loss."""

    batch_size: PositiveInt = 128

    def _task(self, training: Training) -> Task:
        from equirouter.routers.fitting import networks

        outcomes = training.outcomes
        n_in, n_models = outcomes.embeddings.shape[1], outcomes.performance.shape[1]
        labels = np.zeros(len(outcomes.embeddings), dtype=np.int64)
        if self._has_second_loss:
            _, labels = kmeans(outcomes.embeddings, self.n_clusters, rng=training.rng)

        def rows(part: Validation) -> tuple[NDArray[np.generic], ...]:
            known = part is outcomes  # the second loss is for training only
            clusters = labels if known else np.zeros(len(part.embeddings))
            return part.embeddings, part.performance, clusters

        return Task(
            lambda: networks.RouterDCNet(n_in, n_models, projection=self.projection),
            self._loss_of,
            rows,
        )

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Cosines (N, K) divided by the temperature."""
        queries = np.asarray(embeddings, dtype=np.float32)
        if self.projection:
            queries = queries + SLOW * (queries @ self.weights_["turn"].T)
        cosine = _unit(queries) @ _unit(self.weights_["models"]).T
        return np.asarray(cosine / np.float32(self.temperature))

    def add_to_graph(self, graph: OnnxGraph, embeddings: str) -> str:
        """Add the turn of the query and the cosines."""
        queries = embeddings
        if self.projection:
            turn = SLOW * self.weights_["turn"]
            moved = graph.affine("router.turn", queries, turn, np.zeros(len(turn)))
            queries = graph.op("Add", queries, moved)
        models = _unit(self.weights_["models"]) / np.float32(self.temperature)
        product = graph.affine("router.models", queries, models, np.zeros(len(models)))
        axis = graph.const("axis_1", np.array([1]))
        length = graph.op("ReduceL2", queries, axis)  # (N, 1)
        least = graph.const("router.least", np.float32(1e-12))
        return graph.op("Div", product, graph.op("Max", length, least))

    def _loss_of(self, network: "nn.Module", batch: "Sequence[Tensor]") -> "Tensor":
        from equirouter.routers.fitting.networks import sample_llm_loss, sample_sample_loss

        embeddings, performance, cluster = batch
        cosine, turned = network(embeddings)
        k = performance.shape[1]
        loss = sample_llm_loss(
            cosine / self.temperature,
            performance,
            n_top=min(self.n_top, k),
            n_bottom=min(self.n_bottom, k),
        )
        if not (network.training and self._has_second_loss):
            return loss  # the first alone ranks models: it says when to stop
        similarity = turned @ turned.T / self.temperature
        second = sample_sample_loss(similarity, cluster, n_negatives=self.n_negatives)
        return loss + self.sample_weight * second

    @property
    def _has_second_loss(self) -> bool:
        """Without the matrix it compares queries by their frozen embeddings: nothing to learn."""
        return self.projection and self.sample_weight > 0


def _unit(rows: Float32Array) -> Float32Array:
    """Rows scaled to length 1; a zero row stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, np.float32(1e-12)))
