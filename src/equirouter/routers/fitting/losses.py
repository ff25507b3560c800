"""Training objectives. Missing outcomes are NaN in the targets and take no part."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equirouter.arrays import Float32Array, FloatArray

BLOCK_CELLS = 2**20  # queries x models that count_pairs sorts at once: 8 MB of keys


def masked_mse(
    predicted: Tensor,
    target: Tensor,
    *,
    n_known: Tensor | None = None,
    n_models: int | None = None,
) -> Tensor:
    """Mean squared error over the cells of target (B, M) that are known.

    n_models: K, when the M models are a sample from K, drawn uniformly without replacement; n_known
    (B,) is then how many of each query's K outcomes are known. The sum over the sample times K / M,
    divided by the known cells among all K, estimates the mean over all K without bias.
    """
    known = ~target.isnan()
    difference = torch.where(known, predicted - target.nan_to_num(), 0.0)
    total = difference.square().sum()
    if n_models is None or n_known is None or n_models == target.shape[1]:
        return total / known.sum().clamp(min=1)
    return total * (n_models / target.shape[1]) / n_known.sum().clamp(min=1)


def cross_entropy(logits: Tensor, performance: Tensor) -> Tensor:
    """Mean cross-entropy over the known cells of performance (B, K), each in [0, 1]."""
    known = ~performance.isnan()
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, performance.nan_to_num(), reduction="none"
    )
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)


def pairwise_ranking(
    scores: Tensor,
    performance: Tensor,
    cost_usd: Tensor,
    tie_weight: float,
    *,
    n_pairs: Tensor,
    n_models: int | None = None,
) -> Tensor:
    """The logistic pairwise loss of Eq. 8, averaged over the queries that have a pair.

    scores, performance, cost_usd: (B, M). A pair (i, j) is ordered when i performs better, or
    performs the same and costs less; the second kind counts tie_weight (1.0 is Eq. 8, 0 ignores
    ties). Each query's sum is divided by n_pairs (B,), the number of its pairs of both kinds among
    all its models (count_pairs), whatever tie_weight is, so that the loss moves continuously with
    it.

    n_models: K, when the M models are a sample from K, drawn uniformly without replacement. Every
    pair is then in the sample with the same probability, M (M - 1) / (K (K - 1)), by which the sum
    is divided; n_pairs stays exact, so loss and gradient are unbiased. Memory is (B, M, M).
    """
    n_sampled = scores.shape[1]
    k = n_sampled if n_models is None else n_models
    share = n_sampled * (n_sampled - 1) / (k * (k - 1)) if n_sampled < k else 1.0
    n_queries = (n_pairs > 0).sum().clamp(min=1)
    per_pair = 1.0 / (share * n_pairs.clamp(min=1) * n_queries)  # (B,)
    weight = _pair_weights(performance, cost_usd, tie_weight)
    loss: Tensor = _Logistic.apply(scores, weight, per_pair)  # type: ignore[no-untyped-call]
    return loss


def strict_ranking(scores: Tensor, performance: Tensor) -> Tensor:
    """The logistic loss of the pairs that differ in performance, averaged over all of the batch.

    scores, performance: (B, M), NaN = not known. A query counts by the number of its pairs, and
    ties take no part; without any pair the loss is 0. Memory is (B, M, M).
    """
    weight = (performance[:, :, None] > performance[:, None, :]).to(torch.float32)
    per_query = (1.0 / weight.sum().clamp(min=1)).expand(len(scores))
    loss: Tensor = _Logistic.apply(scores, weight, per_query)  # type: ignore[no-untyped-call]
    return loss


def _pair_weights(performance: Tensor, cost_usd: Tensor, tie_weight: float) -> Tensor:
    """(B, M, M): how much the pair counts in which the first model should be above the second."""
    performance = performance.masked_fill(cost_usd.isnan(), torch.nan)  # NaN compares as False
    first, second = performance[:, :, None], performance[:, None, :]
    weight = (first > second).to(torch.float32)
    if tie_weight > 0:
        tied = (first == second) & (cost_usd[:, :, None] < cost_usd[:, None, :])
        weight.add_(tied.to(torch.float32), alpha=tie_weight)
    return weight


class _Logistic(torch.autograd.Function):
    """Sum over pairs of weight * softplus(-(s_i - s_j)), with its gradient worked out by hand.

    The gradient of a pair is -weight * sigmoid(-(s_i - s_j)) for s_i and the opposite for s_j;
    autograd would go through half a dozen (B, M, M) arrays for it.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, weight: Tensor, per_query: Tensor) -> Tensor:  # noqa: ANN401  # torch does not name its context
        behind = scores[:, None, :] - scores[:, :, None]  # (B, M, M), s_j - s_i
        loss = (torch.nn.functional.softplus(behind) * weight).sum(dim=(1, 2))
        pull = behind.sigmoid_().mul_(weight)
        ctx.save_for_backward((pull.sum(dim=1) - pull.sum(dim=2)) * per_query[:, None])
        return (loss * per_query).sum()

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (slope,) = ctx.saved_tensors
        return slope * grad[0], None, None


def count_pairs(performance: FloatArray, cost_usd: FloatArray) -> Float32Array:
    """How many pairs of each query pairwise_ranking orders: (N,) for performance and cost (N, K).

    All pairs of known models but those that are equal in both; one sort per query finds these, so
    this takes K log K per query and not K squared. Values are compared as float32, as in training.
    """
    n_queries, n_models = performance.shape
    counts = np.empty(n_queries, dtype=np.float32)
    block = max(1, BLOCK_CELLS // n_models)
    for start in range(0, n_queries, block):
        rows = slice(start, start + block)
        counts[rows] = _count(_bits(performance[rows]), _bits(cost_usd[rows]))
    return counts


def _bits(values: FloatArray) -> NDArray[np.int64]:
    """A number for each float32 value: the same for equal values, -1 for NaN."""
    single = values.astype(np.float32) + np.float32(0)  # adding 0 makes -0.0 and 0.0 the same
    bits = single.view(np.uint32).astype(np.int64)
    return np.asarray(np.where(np.isnan(single), -1, bits))


def _count(performance: NDArray[np.int64], cost_usd: NDArray[np.int64]) -> NDArray[np.int64]:
    known = (performance >= 0) & (cost_usd >= 0)
    keys = (performance << 32 | cost_usd).view(np.uint64)
    keys[~known] = np.uint64(2**64 - 1)  # both NaN: no known cell has this key
    keys.sort(axis=1)
    n_known = known.sum(axis=1)
    starts = np.ones(keys.shape, dtype=bool)  # of a run of equal keys
    starts[:, 1:] = keys[:, 1:] != keys[:, :-1]
    place = np.arange(keys.shape[1])
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    equal_before = (place - first) * (place < n_known[:, None])  # unknown cells sort last
    return np.asarray(n_known * (n_known - 1) // 2 - equal_before.sum(axis=1))
