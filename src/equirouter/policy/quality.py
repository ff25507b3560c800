"""A quality target: the cheapest operating point that kept it on validation data."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import ConfigError

__all__ = ["Calibration", "OperatingPoint", "calibrate", "check_target"]


@dataclass(frozen=True)
class Calibration:
    """What each operating point of a policy did on V validation queries, from the dearest down.

    setting: the policy's name for a point (budget_usd or lambda). points (T,), performance (T,) and
    cost_usd (T,): means per point. variance, covariance (T,): of a query's performance at the
    point, and with the strongest model's. strongest_*: the same of always choosing it.
    """

    setting: str
    n_queries: int
    points: tuple[float, ...]
    performance: tuple[float, ...]
    cost_usd: tuple[float, ...]
    variance: tuple[float, ...]
    covariance: tuple[float, ...]
    strongest_performance: float
    strongest_variance: float
    strongest_cost_usd: float

    def operating_point(self, quality: float, confidence: float = 0.5) -> "OperatingPoint":
        """The cheapest point that keeps `quality` times the strongest model's performance.

        quality: share in (0, 1]. confidence: that the mean difference of performance from the
        target is not negative, by a one-sided normal bound on paired differences; 0.5 compares the
        means as they are. Points are tried from the dearest down and the search ends at the first
        that fails, so that trying many costs no confidence (fixed-sequence testing, as in
        Angelopoulos et al. 2021, "Learn then Test").
        Raises ConfigError when not even the dearest point passes; it says what can be promised.
        """
        check_target(quality, confidence)
        bound = self._bounds(quality, confidence)
        passing = np.logical_and.accumulate(bound >= -1e-12)
        if not passing[0]:
            raise ConfigError(
                f"quality {quality:g} cannot be promised with confidence {confidence:g} from "
                f"{self.n_queries} validation queries: the dearest operating point reached "
                f"{self.performance[0] / self.strongest_performance:.4f} of the strongest model's "
                "performance. Use a lower quality or confidence, or train on more outcomes"
            )
        index = int(np.flatnonzero(passing)[np.asarray(self.cost_usd)[passing].argmin()])
        return OperatingPoint(
            value=self.points[index],
            relative_performance=self.performance[index] / self.strongest_performance,
            relative_cost=self.cost_usd[index] / self.strongest_cost_usd,
        )

    def _bounds(self, quality: float, confidence: float) -> FloatArray:
        """(T,): lower bounds of mean(performance - quality * the strongest's)."""
        mean = np.asarray(self.performance) - quality * self.strongest_performance
        variance = (
            np.asarray(self.variance)
            + quality**2 * self.strongest_variance
            - 2 * quality * np.asarray(self.covariance)
        )
        error = np.sqrt(np.maximum(variance, 0.0) / self.n_queries)
        return np.asarray(mean - NormalDist().inv_cdf(confidence) * error)


@dataclass(frozen=True)
class OperatingPoint:
    """value: of the setting. relative_*: to the strongest model, as measured on validation."""

    value: float
    relative_performance: float
    relative_cost: float


def check_target(quality: float, confidence: float) -> None:
    """Raise ConfigError for a quality or a confidence that makes no sense."""
    if not 0 < quality <= 1:
        raise ConfigError(
            f"quality is {quality}: expected a share of the strongest model's performance, "
            "above 0 and up to 1, for example 0.98"
        )
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence is {confidence}: expected 0.5 to below 1")


def calibrate(
    chosen: IntArray,
    points: FloatArray,
    performance: FloatArray,
    cost_usd: FloatArray,
    *,
    strongest: int,
    setting: str,
) -> Calibration:
    """Record a sweep over validation queries: chosen (V, T) at points (T,), truth (V, K).

    points run from the least to the largest spending, as Policy.points gives them.
    """
    if math.prod(chosen.shape) == 0:
        raise ConfigError("no complete validation query to calibrate on")
    rows = np.arange(len(chosen))[:, None]
    got = performance[rows, chosen]  # (V, T)
    paid = cost_usd[rows, chosen]
    best = performance[:, strongest]
    centred = got - got.mean(axis=0)
    covariance = (centred * (best - best.mean())[:, None]).mean(axis=0)
    return Calibration(
        setting=setting,
        n_queries=len(chosen),
        points=_down(points),
        performance=_down(got.mean(axis=0)),
        cost_usd=_down(paid.mean(axis=0)),
        variance=_down(got.var(axis=0)),
        covariance=_down(covariance),
        strongest_performance=float(best.mean()),
        strongest_variance=float(best.var()),
        strongest_cost_usd=float(cost_usd[:, strongest].mean()),
    )


def _down(values: FloatArray) -> tuple[float, ...]:
    return tuple(np.asarray(values)[::-1].tolist())
