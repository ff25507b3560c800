"""A quality target: the cheapest operating point that kept it on validation data.

Always the strongest model is one of the points, so every quality can be kept.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.data.logged import effective_size
from equirouter.errors import ConfigError
from equirouter.policy.utility import StrongestPolicy

MOST_FOUND = 1024
"""Targets whose operating points are remembered."""

DEFAULT_CONFIDENCES = (0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55)
"""Tried in turn where none is asked for; 0.5, the means as they are, if none can be promised."""


@dataclass(frozen=True)
class Calibration:
    """The operating points of a policy on V validation queries, the most expensive first.

    setting: the policy's name for a point (budget_usd or lambda). points (T,), performance (T,) and
    cost_usd (T,): means per point. variance, covariance (T,): of a query's performance at the
    point, and with the strongest model's. strongest_*: the same of always choosing it. lowest,
    highest: the range of performance. counts (T,): as many queries tell as much of the choices at a
    point, at least n_queries, where not all outcomes are known; else empty.
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
    lowest: float
    highest: float
    counts: tuple[float, ...] = ()

    def operating_point(
        self,
        quality: float | None = None,
        confidence: float | None = 0.5,
        *,
        performance: float | None = None,
    ) -> "OperatingPoint":
        """The cheapest point that keeps a target: one of `quality` and `performance`.

        quality: share in (0, 1] of the strongest model's performance. performance: a mean
        performance as such. confidence: that the mean over queries like these reaches the target,
        by a one-sided bound on paired differences (see _bounds); 0.5 compares the means as they
        are, None takes the highest that can be promised (see surest). A point that cost more than
        the strongest model is never taken; where no other keeps the target, the strongest model
        answers every query (setting "strongest").
        Raises ConfigError for a performance that not even the strongest model keeps; the message
        says which one can be promised.
        """
        asked = quality, confidence, performance
        point = self._found.get(asked)
        if point is None:
            point = self._searched(quality, confidence, performance)
            if len(self._found) >= MOST_FOUND:
                self._found.clear()
            self._found[asked] = point
        return point

    @cached_property
    def _found(self) -> dict[tuple[float | None, float | None, float | None], "OperatingPoint"]:
        """Points by what was asked for: a search takes longer than the decision of a query."""
        return {}

    def _searched(
        self, quality: float | None, confidence: float | None, performance: float | None
    ) -> "OperatingPoint":
        target = _target(quality, performance)
        if confidence is None:
            confidence = self.surest(quality, performance=performance)
        check_confidence(confidence)
        passing = self._passing(target, confidence)
        if not passing.size:
            return self._strongest(target, confidence)
        index = int(passing[np.asarray(self.cost_usd)[passing].argmin()])
        return OperatingPoint(
            setting=self.setting,
            value=self.points[index],
            relative_performance=self.performance[index] / self.strongest_performance,
            relative_cost=self.cost_usd[index] / self.strongest_cost_usd,
            confidence=confidence,
        )

    def _strongest(self, target: "_Target", confidence: float) -> "OperatingPoint":
        """The strongest model for every query, which keeps every share of itself."""
        if target.level > self._highest_level(confidence):
            raise ConfigError(self._refusal(target, confidence))
        return OperatingPoint(StrongestPolicy.setting, 1.0, 1.0, 1.0, confidence)

    def surest(self, quality: float | None = None, *, performance: float | None = None) -> float:
        """With which confidence a target is promised when none is asked for: 0.85, or what can be.

        Of DEFAULT_CONFIDENCES the first with which a point below the strongest model's cost keeps
        it, else 0.5; where none does at all, 0.85, which the strongest model keeps.
        """
        target = _target(quality, performance)
        surest = next((c for c in DEFAULT_CONFIDENCES if self._passes(target, c)), None)
        if surest is None:
            return 0.5 if self._passes(target, 0.5) else DEFAULT_CONFIDENCES[0]
        return surest

    def largest_quality(self, confidence: float) -> float:
        """The largest quality in [0, 1] that a point below the strongest model's cost keeps."""
        check_confidence(confidence)
        return _largest(lambda q: self._passes(_Target(q, 0.0), confidence), 0.0, 1.0)

    def lambda_at(self, spend_usd: float) -> float | None:
        """The lambda above 0 at which validation queries cost most nearly spend_usd on average.

        None where the points are no lambdas above 0.
        """
        known = [
            (abs(cost - spend_usd), point)
            for point, cost in zip(self.points, self.cost_usd, strict=True)
            if point > 0
        ]
        return min(known)[1] if known and self.setting == "lambda" else None

    def _passing(self, target: "_Target", confidence: float) -> IntArray:
        """The points that keep the target for less than the strongest model costs."""
        cheaper = np.asarray(self.cost_usd) < self.strongest_cost_usd
        return np.flatnonzero(cheaper & (self._bounds(target, confidence) >= -1e-12))

    def _passes(self, target: "_Target", confidence: float) -> bool:
        """Whether a point keeps it."""
        return bool(self._passing(target, confidence).size)

    def _highest_level(self, confidence: float) -> float:
        """The highest performance that can be promised, by the strongest model or another point."""
        error = math.sqrt(self.strongest_variance / self.n_queries)
        alone = self.strongest_performance - NormalDist().inv_cdf(confidence) * error
        others = max(0.0, *self.performance)
        return max(
            alone, _largest(lambda a: self._passes(_Target(0.0, a), confidence), 0.0, others)
        )

    def _refusal(self, target: "_Target", confidence: float) -> str:
        level = math.floor(self._highest_level(confidence) * 10.0**4) / 10.0**4
        return (
            f"{target} cannot be promised with confidence {confidence:g} from {self.n_queries} "
            "validation queries, not even by the strongest model, whose mean performance is "
            f"{self.strongest_performance:.4f} there; with this confidence ask for a performance "
            f"of {level:g} at most. More outcomes to train on allow more"
        )

    def _bounds(self, target: "_Target", confidence: float) -> FloatArray:
        """(T,): lower bounds of the mean of performance - share * the strongest's - level.

        The normal bound on the mean of the paired differences. What was never seen to fail among a
        few queries may still fail, and a spread of 0 does not know: so, above a confidence of 0.5,
        as if some more queries had shown the worst difference that there can be. Their number
        (1.02 at 0.9, 1.20 at 0.95) makes the bound, where no failure was seen, that of the exact
        binomial test (Clopper and Pearson 1934): a failure rate of -ln(1 - confidence) / n.
        """
        mean = np.asarray(self.performance) - target.share * self.strongest_performance
        mean -= target.level
        variance = (
            np.asarray(self.variance)
            + target.share**2 * self.strongest_variance
            - 2 * target.share * np.asarray(self.covariance)
        )
        known = np.asarray(self.counts or self.n_queries)
        variance = np.maximum(variance, 0.0) * known / self.n_queries
        z = NormalDist().inv_cdf(confidence)
        added = _worst_queries(confidence, z)
        n = known + added
        share = added / n
        worst = self.lowest - target.share * self.highest - target.level
        # of the sample with the added queries: its mean, and its variance by the two groups
        bound_mean = (1 - share) * mean + share * worst
        spread = (1 - share) * variance + share * (1 - share) * (mean - worst) ** 2
        return np.asarray(bound_mean - z * np.sqrt(spread / n))


@dataclass(frozen=True)
class _Target:
    """performance >= share * the strongest model's performance + level."""

    share: float
    level: float

    def __str__(self) -> str:
        return f"quality {self.share:g}" if self.share else f"performance {self.level:g}"


def _target(quality: float | None, performance: float | None) -> _Target:
    if (quality is None) == (performance is None):
        raise ConfigError("a target is either a quality or a performance: give one of the two")
    if quality is not None:
        check_quality(quality)
        return _Target(quality, 0.0)
    level = 0.0 if performance is None else performance
    if not 0 < level < math.inf:
        raise ConfigError(
            f"performance is {level}: expected a mean performance above 0, for example 0.8"
        )
    return _Target(0.0, level)


def _worst_queries(confidence: float, z: float) -> float:
    """How many: the root a of a + z * sqrt(a) = -ln(1 - confidence); none at 0.5."""
    if confidence <= 0.5:
        return 0.0
    root = (-z + math.sqrt(z * z - 4 * math.log1p(-confidence))) / 2
    return float(root * root)


def _largest(passes: Callable[[float], bool], low: float, high: float) -> float:
    """The largest number in [low, high] that passes, by halving; low if none above it does."""
    if passes(high):
        return high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low


@dataclass(frozen=True)
class OperatingPoint:
    """setting, value: of the policy, or "strongest" and 1.

    relative_*: to the strongest model, as measured on validation.

    confidence: with which the target is promised.
    """

    setting: str
    value: float
    relative_performance: float
    relative_cost: float
    confidence: float

    def is_better(self, other: "OperatingPoint") -> bool:
        """Whether it saves money and the other does not, or promises more surely, or for less."""

        def key(point: OperatingPoint) -> tuple[bool, float, float]:
            saves = point.setting != StrongestPolicy.setting
            return saves, point.confidence, -point.relative_cost

        return key(self) > key(other)


def check_quality(quality: float) -> None:
    """Raise ConfigError for a quality that makes no sense."""
    if not 0 < quality <= 1:
        raise ConfigError(
            f"quality is {quality}: expected a share of the strongest model's performance, "
            "above 0 and up to 1, for example 0.98"
        )


def check_confidence(confidence: float) -> None:
    """Raise ConfigError for a confidence that makes no sense."""
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
    log: FloatArray | None = None,
) -> Calibration:
    """Record a sweep over validation queries: chosen (V, T) at points (T,), truth (V, K).

    points run from the least to the largest spending, as Policy.points gives them. log (V, 3, K):
    of a log, of which performance and cost_usd are estimates, see training/off_policy.py. The
    promises then count as many queries as the choices at a point are known on, weighted.
    """
    if math.prod(chosen.shape) == 0:
        raise ConfigError("no complete validation query to calibrate on")
    rows = np.arange(len(chosen))[:, None]
    calibration = calibrate_served(
        performance[rows, chosen],
        cost_usd[rows, chosen],
        points,
        performance,
        cost_usd,
        strongest=strongest,
        setting=setting,
    )
    if log is None:
        return calibration
    columns = np.column_stack([chosen, np.full(len(chosen), strongest)])
    return _as_from_log(calibration, log, log[rows, 2, columns])


def _as_from_log(calibration: Calibration, log: FloatArray, weight: FloatArray) -> Calibration:
    """The calibration by estimates, with the uncertainty of a log.

    weight (V, T + 1): of the choices, and of always the strongest model. The variance of an
    estimate is that of many queries of which few are known: scaled, it is that of one of the
    queries that are as good as known, so that means keep their errors. The range is that of known
    outcomes.
    """
    counts = [max(1.0, effective_size(column)) for column in weight.T]
    n = math.floor(min(counts))
    scale = n / len(weight)
    known = log[:, 0]
    return replace(
        calibration,
        n_queries=n,
        variance=tuple(scale * value for value in calibration.variance),
        covariance=tuple(scale * value for value in calibration.covariance),
        strongest_variance=scale * calibration.strongest_variance,
        lowest=float(np.nanmin(known)),
        highest=float(np.nanmax(known)),
        counts=_down(np.array(counts[:-1])),
    )


def calibrate_served(
    got: FloatArray,
    paid: FloatArray,
    points: FloatArray,
    performance: FloatArray,
    cost_usd: FloatArray,
    *,
    strongest: int,
    setting: str,
) -> Calibration:
    """Record what was served: its performance and the cost of all its calls, (V, T) each."""
    best = performance[:, strongest]
    centred = got - got.mean(axis=0)
    covariance = (centred * (best - best.mean())[:, None]).mean(axis=0)
    return Calibration(
        setting=setting,
        n_queries=len(got),
        points=_down(points),
        performance=_down(got.mean(axis=0)),
        cost_usd=_down(paid.mean(axis=0)),
        variance=_down(got.var(axis=0)),
        covariance=_down(covariance),
        strongest_performance=float(best.mean()),
        strongest_variance=float(best.var()),
        strongest_cost_usd=float(cost_usd[:, strongest].mean()),
        lowest=float(performance.min()),
        highest=float(performance.max()),
    )


def _down(values: FloatArray) -> tuple[float, ...]:
    return tuple(np.asarray(values)[::-1].tolist())
