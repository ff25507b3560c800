"""How wide an indifference zone may be: as wide as validation queries cannot tell from none."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.errors import DataError
from equirouter.policy import InZone, Policy

__all__ = ["zone_width"]

SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Shares of the decisions with more than one model in the zone, tried from the smallest up."""

N_POINTS = 25


def zone_width(
    rule: Policy,
    scores: FloatArray,
    predicted_cost_usd: FloatArray,
    performance: FloatArray,
    cost_usd: FloatArray,
) -> float:
    """The width of a zone for a policy, in the units of what it maximises; 0 for no zone.

    scores, predicted_cost_usd (V, K): of validation queries, by estimates that did not see their
    outcomes. performance, cost_usd (V, K): the truth. A width passes when, averaged over the
    operating points, the cheaper choices lose no more performance than one standard error of the
    paired difference, and cost less; the widest before the first that fails is taken (the one
    standard error rule of Breiman et al. 1984, section 3.4.3).
    Raises DataError for fewer than two queries.
    """
    if len(scores) < 2:
        raise DataError(f"{len(scores)} validation queries: at least 2 are needed for a noise")
    points = rule.points(scores, predicted_cost_usd, N_POINTS)
    rows = np.arange(len(scores))[:, None]
    without = rule.sweep(scores, predicted_cost_usd, points)
    margins = np.stack(
        [rule.at(point).margin(scores, predicted_cost_usd) for point in points.tolist()]
    )
    margins = margins[np.isfinite(margins)]
    found = 0.0
    for width in np.quantile(margins, SHARES).tolist() if margins.size else []:
        chosen = InZone(rule, width).sweep(scores, predicted_cost_usd, points)
        gain = (performance[rows, chosen] - performance[rows, without]).mean(axis=1)  # (V,)
        extra = (cost_usd[rows, chosen] - cost_usd[rows, without]).mean()
        noise = gain.std(ddof=1) / np.sqrt(len(gain))
        if gain.mean() < -noise or extra > 0:
            break
        found = width
    return float(found)
