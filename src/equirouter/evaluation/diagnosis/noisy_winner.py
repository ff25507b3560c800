"""The maximum-mean-winner claim (paper, App. B.4, Eq. 11), by simulation.

Scores are performance plus independent Gaussian noise, and the highest wins. The claim: with the
same noise for every model, no model wins more often than the strongest. The proof needs noise of
one law: where the noise differs from model to model, the claim need not hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError

__all__ = ["ClaimCheck", "WinShares", "check_claim", "win_shares"]

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
    number is a pool in which the claim holds. beyond: standard errors above which a lead is called
    a failure. With noise of one law the chance alone exceeds it about 1e-5 times per pool at 4.
    """

    strongest_share: FloatArray
    top_share: FloatArray
    lead: FloatArray
    beyond: float

    @property
    def failures(self) -> int:
        """Pools in which a weaker model won more often, by more than chance explains."""
        return int((self.lead > self.beyond).sum())

    @property
    def n_pools(self) -> int:
        """P."""
        return len(self.lead)


def check_claim(
    pools: Sequence[tuple[FloatArray, FloatArray]],
    *,
    draws: int,
    rng: np.random.Generator,
    beyond: float = 4.0,
) -> ClaimCheck:
    """Test Eq. 11 on pools, each (means (K,), sigmas (K,)); errors as in win_shares."""
    strongest_share, top_share, lead = (np.empty(len(pools)) for _ in range(3))
    for row, (means, sigmas) in enumerate(pools):
        won = win_shares(means, sigmas, draws=draws, rng=rng)
        strongest = int(np.argmax(means))
        strongest_share[row] = won.share[strongest]
        top_share[row] = won.share.max()
        lead[row] = np.delete(won.lead_over(strongest), strongest).max()
    return ClaimCheck(strongest_share, top_share, lead, beyond)
