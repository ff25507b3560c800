"""Training objectives. Missing outcomes are NaN in the targets and take no part.

This module imports torch; nothing imports it but the `fit` methods.
"""

import torch
from torch import Tensor

__all__ = ["masked_mse", "pairwise_ranking"]


def masked_mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the cells of target (B, K) that are known."""
    known = ~target.isnan()
    difference = torch.where(known, predicted - target.nan_to_num(), 0.0)
    return difference.square().sum() / known.sum().clamp(min=1)


def pairwise_ranking(
    scores: Tensor, performance: Tensor, cost_usd: Tensor, tie_weight: float
) -> Tensor:
    """The logistic pairwise loss of Eq. 8, averaged over the queries that have a pair.

    scores, performance, cost_usd: (B, K). A pair (i, j) is ordered when i performs better, or
    performs the same and costs less; the second kind counts tie_weight (1.0 is Eq. 8, 0 ignores
    ties). Each query's sum is divided by the number of its pairs of both kinds, whatever
    tie_weight is, so that the loss moves continuously with it.
    """
    known = ~(performance.isnan() | cost_usd.isnan())
    both = known[:, :, None] & known[:, None, :]  # (B, K, K)
    gap = performance[:, :, None] - performance[:, None, :]
    cheaper = cost_usd[:, :, None] < cost_usd[:, None, :]
    better = both & (gap > 0)
    tied = both & (gap == 0) & cheaper
    weight = better.to(scores.dtype) + tie_weight * tied.to(scores.dtype)
    n_pairs = (better | tied).sum(dim=(1, 2))
    margin = scores[:, :, None] - scores[:, None, :]
    per_query = (weight * torch.nn.functional.softplus(-margin)).sum(dim=(1, 2))
    has_pair = n_pairs > 0
    return (per_query / n_pairs.clamp(min=1)).sum() / has_pair.sum().clamp(min=1)
