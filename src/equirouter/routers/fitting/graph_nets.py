"""The two graphs of GraphRouter as dense algebra in torch: for training only."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from equirouter.routers.networks.stargraph import FROM_QUERY, FROM_SELF

__all__ = ["StarNet", "WholeNet", "edge_loss"]

MOMENTUM, EPSILON = 0.1, 1e-5  # of a batch normalisation, as torch has them


class StarNet(nn.Module):
    """Two graph convolutions on a star per query, and a network on each edge: see stargraph.py."""

    descriptions: Tensor

    def __init__(self, descriptions: Tensor, *, width: int) -> None:
        super().__init__()
        self.register_buffer("descriptions", descriptions, persistent=False)
        self.first = nn.Linear(descriptions.shape[1], width)
        self.second = nn.Linear(width, width)
        for layer in (self.first, self.second):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.edge = nn.Linear(2 * width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, q: Tensor) -> Tensor:
        """Scores (B, K) of queries (B, d)."""
        query, models = q, self.descriptions[None]  # (B, d), (1, K, d)
        for layer in (self.first, self.second):
            sent = functional.linear(query, layer.weight)  # (B, width)
            own = functional.linear(models, layer.weight)  # (1 or B, K, width)
            models = torch.relu(FROM_QUERY * sent[:, None] + FROM_SELF * own + layer.bias)
            query = torch.relu(sent + layer.bias)
        of_query, of_model = self.edge.weight.chunk(2, dim=1)
        hidden = functional.linear(query, of_query)[:, None] + functional.linear(models, of_model)
        scores: Tensor = self.out(torch.relu(hidden + self.edge.bias))
        return scores[..., 0]


class WholeNet(nn.Module):
    """One graph of all training queries and models, with an edge from every query to every model.

    Two layers x_j + sum over the visible edges q -> j of (W x_q + U e_qj), each followed by a batch
    normalisation over all nodes, the first also by a ReLU. e_qj are the edge's three features after
    a linear map and a ReLU. A query has no incoming edge: the layers pass it on as it is.
    """

    descriptions: Tensor

    def __init__(self, descriptions: Tensor, *, width: int) -> None:
        super().__init__()
        n_in = descriptions.shape[1]
        self.register_buffer("descriptions", descriptions, persistent=False)
        self.query = nn.Linear(n_in, width)
        self.model = nn.Linear(n_in, width)
        self.features = nn.Linear(3, 3)
        self.messages = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.edges = nn.ModuleList(nn.Linear(3, width) for _ in range(2))
        self.norms = nn.ModuleList(_NodeNorm(width) for _ in range(2))

    def model_vectors(self, q: Tensor, features: Tensor, visible: Tensor) -> Tensor:
        """(M, K, width): the models after both layers, for queries (N, d) and M sets of edges.

        features: (N, K, 3). visible: (M, N, K), 1 where the edge is there and 0 where it is not.
        """
        edge = torch.relu(self.features(features))  # (N, K, 3)
        queries = self.query(q)[None]  # (1, N, width)
        models: Tensor = self.model(self.descriptions)[None]  # (1, K, width)
        of_edges = torch.einsum("mnk,nkc->mkc", visible, edge)
        count = visible.sum(dim=1)[..., None]  # (M, K, 1)
        for step in range(2):
            sent = self.messages[step](queries).expand(len(visible), -1, -1)  # (M, N, width)
            arrived = torch.einsum("mnk,mnw->mkw", visible, sent)
            edges = cast(nn.Linear, self.edges[step])
            models = models + arrived + edges(of_edges) + (count - 1) * edges.bias
            queries, models = self.norms[step](queries, models)
            if step == 0:
                queries, models = torch.relu(queries), torch.relu(models)
        return models

    def forward(self, q: Tensor, features: Tensor, visible: Tensor) -> Tensor:
        """Logits (M, N, K) of every edge: the mean product of its query's start and its model."""
        models = self.model_vectors(q, features, visible)
        start = self.query(q)  # (N, width)
        logits: Tensor = torch.einsum("nw,mkw->mnk", start, models) / start.shape[1]
        return logits


class _NodeNorm(nn.Module):
    """Batch normalisation over the nodes of each of M graphs, whichever kind they are."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, queries: Tensor, models: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (1 or M, N, width) and models (M, K, width), normalised together."""
        if not self.training:
            return self._scaled(queries, self.mean, self.variance), self._scaled(
                models, self.mean, self.variance
            )
        n = queries.shape[1] + models.shape[1]
        mean = (queries.sum(1, keepdim=True) + models.sum(1, keepdim=True)) / n  # (M, 1, width)
        squares = [(nodes - mean).square().sum(1, keepdim=True) for nodes in (queries, models)]
        variance = (squares[0] + squares[1]) / n
        with torch.no_grad():
            unbiased = variance.mean(dim=(0, 1)) * n / max(n - 1, 1)
            self.mean.lerp_(mean.mean(dim=(0, 1)), MOMENTUM)
            self.variance.lerp_(unbiased, MOMENTUM)
        return self._scaled(queries, mean, variance), self._scaled(models, mean, variance)

    def _scaled(self, nodes: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return (nodes - mean) / torch.sqrt(variance + EPSILON) * self.weight + self.bias


def edge_loss(network: nn.Module, batch: Sequence[Tensor], *, masks: int, visible: float) -> Tensor:
    """Cross-entropy of the edges that are hidden, for `masks` random choices of visible ones.

    batch: queries (N, d), features (N, K, 3) and labels (N, K), 1 on the best model, NaN where the
    edge is not known: it is then neither visible nor predicted. Each edge is visible with the
    probability `visible`.
    """
    q, features, labels = batch
    known = ~labels.isnan()
    shown = (torch.rand((masks, *labels.shape), device=labels.device) < visible) & known
    hidden = ~shown & known
    logits: Tensor = network(q, features, shown.to(q.dtype))
    each = functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num().expand_as(logits), reduction="none"
    )
    total = torch.where(hidden, each, 0.0).sum(dim=(1, 2))
    return (total / hidden.sum(dim=(1, 2)).clamp(min=1)).mean()
