"""EquiRouter's network as a torch module: for training only, pool_head.py runs it afterwards."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

_GELU_SLOPE = 2 * math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


class _Gelu(torch.autograd.Function):
    """x * sigmoid(u) with u = slope * (x + cubic * x^3), which is the tanh form of the unit.

    As 1 + tanh(v) = 2 sigmoid(2 v), the two are one function; torch's sigmoid takes a third of the
    time of its tanh, and the gradient uses it again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401  # torch does not name its context
        square = x * x
        gate = (square * (_GELU_SLOPE * _GELU_CUBIC)).add_(_GELU_SLOPE).mul_(x).sigmoid_()
        ctx.save_for_backward(x, square, gate)
        return x * gate

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Tensor:  # noqa: ANN401
        x, square, gate = ctx.saved_tensors
        slope = (square * (3 * _GELU_SLOPE * _GELU_CUBIC)).add_(_GELU_SLOPE).mul_(x)  # u' * x
        slope.mul_(1 - gate).add_(1.0).mul_(gate)  # gate + x * gate * (1 - gate) * u'
        result: Tensor = slope.mul_(grad[0])
        return result


def gelu(x: Tensor) -> Tensor:
    """Gaussian error linear unit in its tanh form, as forward.gelu has it."""
    result: Tensor = _Gelu.apply(x)  # type: ignore[no-untyped-call]
    return result


class Dropout(nn.Module):
    """Zeroes each number with probability p while training, and scales the others by 1 / (1 - p).

    torch's own draws one number per element; here one of 64 bits serves four, with p to the
    nearest 1 / 65536. That takes a fifth of the time, which was a seventh of a training step's.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, kept."""
        if not self.training or self.p == 0:
            return x
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
        draws = bits.random_(-(2**63), None).view(torch.int16)[: x.numel()].view(x.shape)
        share = min(round(self.p * 2**16), 2**16 - 1)
        kept = (draws >= share - 2**15).to(x.dtype)
        return x * kept.mul_(1 / (1 - self.p))


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
        self.dropout = Dropout(dropout)
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

    def encode(self, q: Tensor) -> Tensor:
        """The trunk f: (B, d) -> (B, D)."""
        z = q
        for layer, norm in zip(self.trunk, self.trunk_norm, strict=True):
            z = self.dropout(norm(gelu(layer(z))))
        return z

    def forward(self, q: Tensor, columns: Tensor | None = None) -> Tensor:
        """Scores of queries (B, d): (B, K) for all models, (B, M) for those in columns (M,)."""
        z = self.encode(q)
        models = self.models if columns is None else self.models[columns]  # (K, d_m)
        before = self._joint(z, models) if self.joint_feature else self._plain(z, models)
        hidden = self.head_norm(gelu(before))  # (B, K, H)
        scores: Tensor = self.score(self.dropout(hidden)).squeeze(-1)
        return scores

    def _plain(self, z: Tensor, models: Tensor) -> Tensor:
        """W [z, e_j] + b: the ablation without the joint feature."""
        w_query, w_model = self.head.weight.chunk(2, dim=1)  # (H, D) each
        constant = self.psi(models) @ w_model.T + self.head.bias  # (K, H)
        plain: Tensor = (z @ w_query.T)[:, None, :] + constant[None, :, :]
        return plain

    def _joint(self, z: Tensor, models: Tensor) -> Tensor:
        e = self.psi(models)  # (K, D)
        gamma, beta = self.phi(models).chunk(2, dim=1)  # (K, D) each
        w1, w2, w3, w4 = self.head.weight.chunk(4, dim=1)  # (H, D) each
        matrix = torch.addcmul(w1 * gamma[:, None, :], w3, (e * gamma)[:, None, :])  # (K, H, D)
        constant = beta @ w1.T + e @ w2.T + (e * beta) @ w3.T + self.head.bias  # (K, H)
        offset = torch.addcmul(beta - e, gamma, z[:, None, :]).abs()  # (B, K, D), |z_j - e_j|
        through_z = torch.addmm(constant.flatten(), z, matrix.flatten(0, 1).T)  # (B, K H)
        joint = torch.addmm(through_z.view(-1, len(w1)), offset.flatten(0, 1), w4.T)  # (B K, H)
        return joint.view(len(z), len(models), len(w1))
