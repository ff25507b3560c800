"""EmbedLLM's factorisation as a torch module: for training only."""

import torch
from torch import Tensor, nn

__all__ = ["EmbedLLMNet"]

SMALL = 0.02  # standard deviation of the model embeddings at first, without the classifier


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
