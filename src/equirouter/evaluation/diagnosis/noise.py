"""Noise on the labels: what the oracle then chooses, and which model wins.

The maximum-mean-winner claim (paper, App. B.4, Eq. 11): scores are performance plus independent
Gaussian noise, and the highest wins. With the same noise for every model, no model wins more often
than the strongest. The proof needs noise of one law: where the noise differs from model to model,
the claim need not hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError
from equirouter.policy import BudgetPolicy
from equirouter.policy.collapse_score import call_shares, checked_outcomes, collapse_table, pick
from equirouter.progress import Progress, silent

SIGMAS = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
"""Standard deviations from none to where, on a scale from 0 to 1, nothing but noise is left."""


@dataclass(frozen=True, eq=False)
class NoiseSweep:
    """The oracle of Eq. 3 deciding on performance + N(0, sigma^2), measured on the truth.

    sigmas (S,). performance, rci (in [0, 1], App. D): (S, R), means over queries for each of R
    draws of the noise. call_share (S, R, K): rows sum to 1.
    """

    sigmas: FloatArray
    performance: FloatArray
    rci: FloatArray
    call_share: FloatArray


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


BEYOND = 4.0
"""Standard errors above which a lead refutes the claim: with noise of one law chance alone exceeds
it about 1e-5 times per pool."""

_BLOCK_CELLS = 2**22  # of noise drawn at once


@dataclass(frozen=True, eq=False)
class WinShares:
    """How often each of K models won n draws; share (K,) sums to 1."""

    share: FloatArray
    n_draws: int

    def lead_over(self, model: int) -> FloatArray:
        """By how many standard errors each model wins more often than this one, (K,).

        Negative where it wins less often, 0 for the model itself. The shares are those of one
        multinomial sample, so the variance of a difference is (p + q - (p - q)^2) / n.
        """
        other = self.share[model]
        gap = self.share - other
        variance = (self.share + other - gap**2) / self.n_draws
        return np.asarray(gap / np.sqrt(np.where(variance > 0, variance, 1.0)))


def win_shares(
    means: ArrayLike, sigmas: ArrayLike, *, draws: int, rng: np.random.Generator
) -> WinShares:
    """How often each model has the highest score (Eq. 9 and 10) when the noise is N(0, sigma_j^2).

    means (K,): true performance. sigmas: one for all, or (K,). draws: how often all are drawn. Two
    models win with the probabilities Phi(+-(a_1 - a_2) / sqrt(s_1^2 + s_2^2)).
    Raises ConfigError for other shapes, a sigma that is not above 0, or no draw.
    """
    true = np.asarray(means, dtype=np.float64)
    noise = np.asarray(sigmas, dtype=np.float64)
    if true.ndim != 1 or len(true) < 2 or noise.shape not in ((), true.shape):
        raise ConfigError(
            f"means have shape {true.shape}, sigmas {noise.shape}: expected (K,) with two models "
            "or more, and one sigma or (K,)"
        )
    if not (np.isfinite(true).all() and np.isfinite(noise).all() and (noise > 0).all()):
        raise ConfigError("means must be finite numbers, and sigmas finite numbers above 0")
    if draws < 1:
        raise ConfigError(f"{draws} draws: at least one is needed")
    wins = np.zeros(len(true), dtype=np.int64)
    block = max(1, _BLOCK_CELLS // len(true))
    for start in range(0, draws, block):
        n = min(block, draws - start)
        scores = true + noise * rng.standard_normal((n, len(true)))
        wins += np.bincount(scores.argmax(axis=1), minlength=len(true))
    return WinShares(wins / draws, draws)


@dataclass(frozen=True, eq=False)
class ClaimCheck:
    """Many pools of models, and in how many of them the claim of Eq. 11 failed.

    strongest_share, top_share (P,): how often the strongest model won, and the model that won most.
    lead (P,): by how many standard errors the best of the others beat the strongest; a negative
    number is a pool in which the claim holds, one above BEYOND a failure.
    """

    strongest_share: FloatArray
    top_share: FloatArray
    lead: FloatArray

    @property
    def failures(self) -> int:
        """Pools in which a weaker model won more often, by more than chance explains."""
        return int((self.lead > BEYOND).sum())

    @property
    def n_pools(self) -> int:
        """P."""
        return len(self.lead)


def check_claim(
    pools: Sequence[tuple[FloatArray, FloatArray]],
    *,
    draws: int,
    rng: np.random.Generator,
) -> ClaimCheck:
    """Test Eq. 11 on pools, each (means (K,), sigmas (K,)); errors as in win_shares."""
    strongest_share, top_share, lead = (np.empty(len(pools)) for _ in range(3))
    for row, (means, sigmas) in enumerate(pools):
        won = win_shares(means, sigmas, draws=draws, rng=rng)
        strongest = int(np.argmax(means))
        strongest_share[row] = won.share[strongest]
        top_share[row] = won.share.max()
        lead[row] = np.delete(won.lead_over(strongest), strongest).max()
    return ClaimCheck(strongest_share, top_share, lead)
