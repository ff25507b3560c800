"""The networks as torch modules: for training only, `forward.py` runs them afterwards.

This module imports torch; nothing imports it but the `fit` methods.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["MLP", "EquiRouterNet"]


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


class EquiRouterNet(nn.Module):
    """Query trunk, model embeddings, FiLM, joint feature and shared head (Eq. 5-7).

    The first layer of the head is linear in three of the four parts of the joint feature, so it is
    applied without building them: with W = [W1 W2 W3 W4] it is
    W1 z_j + W2 e_j + W3 (z_j * e_j) + W4 |z_j - e_j|, and as z_j = gamma_j * z + beta_j the first
    and third term together are ((W1 + W3 diag(e_j)) diag(gamma_j)) z plus a constant per model.
    That halves the work; a test compares it with the concatenation as Eq. 7 writes it.
    """

    def __init__(
        self,
        n_in: int,
        n_models: int,
        *,
        trunk: Sequence[int],
        model_width: int,
        head_width: int,
        dropout: float,
        joint_feature: bool,
    ) -> None:
        super().__init__()
        widths = [n_in, *trunk]
        self.trunk = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.trunk_norm = nn.ModuleList(nn.LayerNorm(width) for width in trunk)
        self.dropout = nn.Dropout(dropout)
        width = widths[-1]
        self.joint_feature = joint_feature
        self.models = nn.Parameter(torch.randn(n_models, model_width) * 0.02)
        self.psi = nn.Linear(model_width, width)
        if joint_feature:
            self.phi = nn.Linear(model_width, 2 * width)
        self.head = nn.Linear((4 if joint_feature else 2) * width, head_width)
        self.head_norm = nn.LayerNorm(head_width)
        self.score = nn.Linear(head_width, 1)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        if self.joint_feature:
            with torch.no_grad():  # gamma = 1, beta = 0 at first: FiLM starts as the identity
                self.phi.bias[: self.psi.out_features] = 1.0

    def encode(self, q: Tensor) -> Tensor:
        """The trunk f: (B, d) -> (B, D)."""
        z = q
        for layer, norm in zip(self.trunk, self.trunk_norm, strict=True):
            z = self.dropout(norm(nn.functional.gelu(layer(z), approximate="tanh")))
        return z

    def forward(self, q: Tensor) -> Tensor:
        """Scores (B, K) of queries (B, d)."""
        z = self.encode(q)
        e = self.psi(self.models)  # (K, D)
        before = self._joint(z, e) if self.joint_feature else self._plain(z, e)  # (B, K, H)
        hidden = self.head_norm(nn.functional.gelu(before, approximate="tanh"))
        scores: Tensor = self.score(self.dropout(hidden)).squeeze(-1)
        return scores

    def _plain(self, z: Tensor, e: Tensor) -> Tensor:
        """W [z, e_j] + b: the ablation without the joint feature."""
        w_query, w_model = self.head.weight.chunk(2, dim=1)  # (H, D) each
        return (z @ w_query.T)[:, None, :] + (e @ w_model.T + self.head.bias)[None, :, :]

    def _joint(self, z: Tensor, e: Tensor) -> Tensor:
        gamma, beta = self.phi(self.models).chunk(2, dim=1)  # (K, D) each
        w1, w2, w3, w4 = self.head.weight.chunk(4, dim=1)  # (H, D) each
        mixed = w1 + w3 * e[:, None, :]  # (K, H, D)
        linear = (mixed * gamma[:, None, :]).flatten(0, 1)  # (K H, D)
        constant = torch.einsum("khd,kd->kh", mixed, beta) + e @ w2.T + self.head.bias  # (K, H)
        offset = torch.addcmul(beta - e, gamma, z[:, None, :]).abs()  # (B, K, D), |z_j - e_j|
        through_z: Tensor = (z @ linear.T).unflatten(1, constant.shape)  # (B, K, H)
        joint: Tensor = through_z + constant + offset @ w4.T
        return joint
