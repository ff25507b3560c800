"""The networks of MIRT and NIRT as torch modules: for training only."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MIRTNet", "NIRTNet"]


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
