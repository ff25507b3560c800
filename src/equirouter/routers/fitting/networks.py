"""Networks of the routers and cost models, and losses of one router each: for training only."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from equirouter.routers.networks.forward import FROM_QUERY, FROM_SELF

SMALL = 0.02
"""Standard deviation of the model embeddings of embedllm and routerdc at first. A cosine does not
see their length; short ones are turned faster by Adam, whose steps have the same length for all."""


class MLP(nn.Module):
    """Two layers with a ReLU between them, linear output (paper, App. A.2 and C.1)."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_in, hidden)
        self.out = nn.Linear(hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, d) -> (B, K)."""
        out: Tensor = self.out(torch.relu(self.hidden(x)))
        return out


class EmbedLLMNet(nn.Module):
    """Query projection q' = W q + b times model embeddings z_j, and a logit of being right.

    With the classifier the logit is that of "right" less that of "wrong", two linear maps of
    q' * z_j that all models share; without it the logit is q' . z_j + b_j. Noise of the standard
    deviation `noise` is added to the query in training, without the classifier also to z_j.
    """

    def __init__(
        self, n_in: int, n_models: int, *, width: int, noise: float, classifier: bool
    ) -> None:
        super().__init__()
        self.noise = noise
        self.query = nn.Linear(n_in, width)
        spread = 1.0 if classifier else SMALL
        self.models = nn.Parameter(torch.randn(n_models, width) * spread)
        self.classifier = nn.Linear(width, 2) if classifier else None
        if not classifier:
            self.bias = nn.Parameter(torch.zeros(n_models))

    def forward(self, q: Tensor) -> Tensor:
        """Logits (B, K) of queries (B, d)."""
        projected: Tensor = self.query(self._noisy(q))  # (B, width)
        if self.classifier is None:
            logits: Tensor = projected @ self._noisy(self.models).T + self.bias
            return logits
        wrong, right = self.classifier.weight  # (width,) each
        bias = self.classifier.bias[1] - self.classifier.bias[0]
        difference: Tensor = (projected * (right - wrong)) @ self.models.T + bias
        return difference

    def _noisy(self, x: Tensor) -> Tensor:
        if not self.training or self.noise == 0:
            return x
        noisy: Tensor = x + self.noise * torch.randn_like(x)
        return noisy


class MIRTNet(nn.Module):
    """Logit alpha(q) . theta_j - b(q), with theta linear in the description of model j.

    descriptions: (K, d). Three linear maps without biases; a softplus keeps alpha above 0.
    """

    descriptions: Tensor

    def __init__(self, descriptions: Tensor, *, abilities: int) -> None:
        super().__init__()
        n_in = descriptions.shape[1]
        self.register_buffer("descriptions", descriptions, persistent=False)
        self.ability = nn.Linear(n_in, abilities, bias=False)
        self.discrimination = nn.Linear(n_in, abilities, bias=False)
        self.difficulty = nn.Linear(n_in, 1, bias=False)

    def forward(self, q: Tensor) -> Tensor:
        """Logits (B, K) of queries (B, d)."""
        theta = self.ability(self.descriptions)  # (K, abilities)
        alpha = functional.softplus(self.discrimination(q))  # (B, abilities)
        logits: Tensor = alpha @ theta.T - self.difficulty(q)
        return logits


class NIRTNet(nn.Module):
    """Logit of a two-layer network that rises with every ability of a model.

    descriptions: (K, d). Its input is x = e r * (theta_j - k), (abilities,): what the model can do
    less what the query requires, by how relevant each ability is. The network uses the absolute
    values of its weights, so that it is monotone in theta.
    """

    descriptions: Tensor

    def __init__(
        self, descriptions: Tensor, *, abilities: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        n_in = descriptions.shape[1]
        self.register_buffer("descriptions", descriptions, persistent=False)
        self.ability = nn.Linear(n_in, abilities)
        self.required = nn.Linear(n_in, abilities)
        self.discrimination = nn.Linear(n_in, 1)
        self.hidden = nn.Linear(abilities, hidden)
        self.out = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.ability, self.required, self.discrimination, self.hidden, self.out):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, q: Tensor, relevance: Tensor) -> Tensor:
        """Logits (B, K) of queries (B, d) with relevance (B, abilities), shares that sum to 1."""
        theta = torch.sigmoid(self.ability(self.descriptions))  # (K, abilities)
        required = torch.sigmoid(self.required(q))  # (B, abilities)
        weight = 9.0 * torch.sigmoid(self.discrimination(q)) * relevance  # (B, abilities)
        x = weight[:, None] * (theta - required[:, None])  # (B, K, abilities)
        hidden = torch.tanh(functional.linear(x, self.hidden.weight.abs(), self.hidden.bias))
        logits: Tensor = functional.linear(
            self.dropout(hidden), self.out.weight.abs(), self.out.bias
        )
        return logits[..., 0]


class StarNet(nn.Module):
    """Two graph convolutions on a star per query and a network per edge: see graphrouter.py."""

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


class CausalNet(nn.Module):
    """Embedding to K logits: three layers with ReLUs between them."""

    def __init__(self, n_in: int, hidden: int, n_models: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, 2 * hidden)
        self.second = nn.Linear(2 * hidden, hidden)
        self.out = nn.Linear(hidden, n_models)

    def forward(self, x: Tensor) -> Tensor:
        """(B, d) -> (B, K)."""
        out: Tensor = self.out(torch.relu(self.second(torch.relu(self.first(x)))))
        return out


def regret_of(logits: Tensor, utility: Tensor, *, as_classes: bool = False) -> Tensor:
    """Mean over queries of the regret of a softmax choice, or of the cross-entropy to the best.

    logits, utility: (B, K), NaN where a utility is not known: such a model is not there. A query
    without any counts as 0. Of equal utilities the first column counts as the best.
    """
    known = torch.isfinite(utility)
    there = known.any(dim=1)
    logits, utility, known = logits[there], utility[there], known[there]
    if not len(logits):
        return logits.sum()
    masked = logits.masked_fill(~known, -torch.inf)
    value = utility.masked_fill(~known, -torch.inf)
    best = value.max(dim=1)
    if as_classes:
        return nn.functional.cross_entropy(masked, best.indices)
    lost = (best.values[:, None] - value).masked_fill(~known, 0.0)
    return (torch.softmax(masked, dim=1) * lost).sum(dim=1).mean()


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
        turned = functional.normalize(q if self.turn is None else q + SLOW * (q @ self.turn.T))
        return turned @ functional.normalize(self.models).T, turned


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
