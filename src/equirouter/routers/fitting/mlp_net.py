"""The network of MLPRouter and of the cost models: for training only, forward.mlp runs it."""

import torch
from torch import Tensor, nn

__all__ = ["MLP"]


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
