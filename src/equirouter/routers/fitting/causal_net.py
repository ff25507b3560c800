"""The network and the loss of CausalRouter."""

import torch
from torch import Tensor, nn

__all__ = ["CausalNet", "regret_of"]


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
