"""The oracle with noise on its labels: how little error is enough to change decisions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError
from equirouter.evaluation.checks import checked_outcomes
from equirouter.evaluation.collapse_score import call_shares, collapse_table, pick
from equirouter.policy import BudgetPolicy
from equirouter.progress import Progress, silent

__all__ = ["SIGMAS", "NoiseSweep", "noise_sweep"]

SIGMAS = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
"""Standard deviations from none to where, on a scale from 0 to 1, nothing but noise is left."""


@dataclass(frozen=True, eq=False)
class NoiseSweep:
    """The oracle of Eq. 3 deciding on performance + N(0, sigma^2), measured on the truth.

    sigmas (S,). performance, rci (in [0, 1], App. D): (S, R), means over queries for each of R
    draws of the noise. call_share (S, R, K): rows sum to 1. budget_usd: USD, None for no limit.
    """

    sigmas: FloatArray
    performance: FloatArray
    rci: FloatArray
    call_share: FloatArray
    budget_usd: float | None


def noise_sweep(
    performance: ArrayLike,
    cost_usd: ArrayLike,
    *,
    sigmas: Sequence[float] = SIGMAS,
    draws: int = 20,
    budget_usd: float | None = None,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> NoiseSweep:
    """Disturb the oracle's labels by more and more Gaussian noise and see what it then chooses.

    performance, cost_usd: (N, K), no NaN. sigmas: standard deviations, on the scale of performance.
    draws: how often the noise is drawn; one draw is scaled to every sigma, so that two sigmas
    differ by nothing else. budget_usd: what a call may cost, None for no limit; where no model fits
    the cheapest is taken. Costs stay as they are: at sigma 0 it is the oracle itself.
    Raises DataError for other shapes or missing outcomes, ConfigError for a sigma below 0, no sigma
    or no draw. Source: paper, section 3.3.
    """
    performance, cost_usd = checked_outcomes(performance, cost_usd)
    scales = np.asarray(sigmas, dtype=np.float64)
    if scales.ndim != 1 or not scales.size or not (np.isfinite(scales) & (scales >= 0)).all():
        raise ConfigError(f"sigmas are {list(sigmas)}: expected finite numbers of 0 or more")
    if draws < 1:
        raise ConfigError(f"{draws} draws of the noise: at least one is needed")
    rule = BudgetPolicy() if budget_usd is None else BudgetPolicy(budget_usd)
    collapse = collapse_table(performance, cost_usd)
    sweep = NoiseSweep(
        scales,
        np.empty((len(scales), draws)),
        np.empty((len(scales), draws)),
        np.empty((len(scales), draws, performance.shape[1])),
        budget_usd,
    )
    for draw in range(draws):
        progress("noise", draw, draws)
        noise = rng.standard_normal(performance.shape)
        for row, sigma in enumerate(scales):
            chosen = rule.choose(performance + sigma * noise, cost_usd)
            scored, collapsed = pick(chosen, performance, collapse)
            sweep.performance[row, draw] = scored.mean()
            sweep.rci[row, draw] = collapsed.mean()
            sweep.call_share[row, draw] = call_shares(chosen, performance.shape[1])
    progress("noise", draws, draws)
    return sweep
