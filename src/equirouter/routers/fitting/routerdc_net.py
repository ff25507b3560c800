"""RouterDC's similarities as a torch module, and its two losses: for training only."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

__all__ = ["RouterDCNet", "sample_llm_loss", "sample_sample_loss"]

SMALL = 0.02
"""Standard deviation of the model embeddings at first. The cosine does not see their length; short
ones are turned faster by Adam, whose steps have the same length for all."""

SLOW = 0.1
"""How far a step of Adam turns the queries, as a share of what it moves the models by."""

GOOD, BAD = 0.0, 0.5
"""A model above GOOD can be a positive, one up to BAD a negative, as in the source."""


class RouterDCNet(nn.Module):
    """Model embeddings in the space of the queries, and a matrix that may turn the queries.

    The matrix stands in for the encoder that the source trains. A query q becomes q + SLOW W q with
    W = 0 at first: it starts unturned and moves more slowly than the model embeddings.
    """

    def __init__(self, n_in: int, n_models: int, *, projection: bool) -> None:
        super().__init__()
        self.models = nn.Parameter(torch.randn(n_models, n_in) * SMALL)
        self.turn = nn.Parameter(torch.zeros(n_in, n_in)) if projection else None

    def forward(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines (B, K) with the models, and the turned queries (B, d) at length 1."""
        turned = normalize(q if self.turn is None else q + SLOW * (q @ self.turn.T))
        return turned @ normalize(self.models).T, turned


def sample_llm_loss(
    similarity: Tensor, performance: Tensor, *, n_top: int, n_bottom: int
) -> Tensor:
    """Each of a query's best models against its worst: the sum of -log softmax, mean over queries.

    similarity (B, K), divided by the temperature; performance (B, K), NaN = not known. The n_top
    best models are positives if above GOOD, the n_bottom worst negatives if not above BAD and worse
    than the positive; a positive without a negative adds nothing. Which of equally good models
    count as best is drawn anew in each batch.
    """
    order = torch.randperm(performance.shape[1]).to(performance.device)
    similarity, performance = similarity[:, order], performance[:, order]
    best = _sorted(performance.nan_to_num(nan=-math.inf), descending=True)[:, :n_top]
    worst = _sorted(performance.nan_to_num(nan=math.inf), descending=False)[:, :n_bottom]
    top, bottom = performance.gather(1, best), performance.gather(1, worst)
    positive = similarity.gather(1, best)[:, :, None]  # (B, top, 1)
    against = (bottom <= BAD)[:, None, :] & (bottom[:, None, :] < top[:, :, None])
    negative = similarity.gather(1, worst)[:, None, :].masked_fill(~against, -math.inf)
    loss = torch.cat([positive, negative], dim=2).logsumexp(dim=2) - positive[:, :, 0]
    return torch.where(top > GOOD, loss, 0.0).sum(dim=1).mean()


def _sorted(values: Tensor, *, descending: bool) -> Tensor:
    return values.sort(dim=1, descending=descending, stable=True).indices


def sample_sample_loss(similarity: Tensor, cluster: Tensor, *, n_negatives: int) -> Tensor:
    """A query against another one of its cluster and n_negatives of other clusters, all drawn.

    similarity (B, B), divided by the temperature; cluster (B,). The mean of -log softmax over the
    queries that have both in the batch; with fewer negatives than asked for, all of them count.
    """
    same = cluster[:, None] == cluster[None, :]
    fellow = same & ~torch.eye(len(cluster), dtype=torch.bool, device=cluster.device)
    chance = torch.rand(len(cluster), len(cluster)).to(cluster.device)  # CPU: one stream everywhere
    drawn = torch.where(fellow, chance, -1.0).argmax(dim=1, keepdim=True)
    positive = similarity.gather(1, drawn)
    luck, others = torch.where(same, -1.0, chance).topk(min(n_negatives, len(cluster)), dim=1)
    negative = similarity.gather(1, others).masked_fill(luck < 0, -math.inf)
    loss = torch.cat([positive, negative], dim=1).logsumexp(dim=1) - positive[:, 0]
    usable = fellow.any(dim=1) & ~same.all(dim=1)
    return torch.where(usable, loss, 0.0).sum() / usable.sum().clamp(min=1)
