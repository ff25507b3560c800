"""From a measurement per seed to the figures of results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.bootstrap import ENOUGH, interval
from equirouter.evaluation.curve import Measurement, Point
from equirouter.evaluation.measured import (
    Difference,
    Differences,
    Measured,
    MeasuredByKey,
)
from equirouter.evaluation.metrics import METRICS, Draws, RouterMetrics
from equirouter.evaluation.plan_runs import CheckAUC
from equirouter.evaluation.reliability import Reliability
from equirouter.evaluation.results import (
    CalibrationResults,
    CheckResults,
    MeanCurve,
    RouterResults,
)


@dataclass(eq=False)
class SeedRecords:
    """Measurements of one router or anchor, an entry per seed."""

    measurements: list[Measurement] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    """(T,): the operating points."""
    asked: list[dict[str, FloatArray]] = field(default_factory=list)
    """Of what asks more than one model: see figures_of; else empty."""
    checks: list[CheckAUC] = field(default_factory=list)
    """Of the same, what its check knows; empty too where it has none."""
    notes: list[str] = field(default_factory=list)
    """Remarks on its plans, such as why there are none."""
    fit_seconds: list[float] = field(default_factory=list)
    predict_us: list[float] = field(default_factory=list)
    """Microseconds per query."""
    n_parameters: list[float] = field(default_factory=list)
    calibrated: list[Reliability] = field(default_factory=list)
    uncalibrated: list[Reliability] = field(default_factory=list)
    """Of the scores as they are, where they estimate performance; else empty."""

    def extend(self, other: "SeedRecords") -> None:
        """Take over the entries of another, behind the own."""
        for name, entries in vars(other).items():
            getattr(self, name).extend(entries)

    def learned_nothing(self) -> None:
        """Count a seed in which nothing was fitted and nothing predicted."""
        for effort in (self.fit_seconds, self.predict_us, self.n_parameters):
            effort.append(0.0)

    def is_of(self, n_seeds: int) -> bool:
        """Whether it was measured for each of so many seeds."""
        return len(self.measurements) == n_seeds

    def router_results(self, models: Sequence[str]) -> RouterResults:
        """Every metric, and what fitting and predicting took."""
        return RouterResults(
            **dict(metrics_over_seeds(self.measurements, models)),
            fit_seconds=_spread(self.fit_seconds),
            predict_us_per_query=_spread(self.predict_us),
            n_parameters=_spread(self.n_parameters),
        )

    def curve(self, models: Sequence[str]) -> MeanCurve:
        """The curve, each operating point averaged over the seeds."""
        curves = [measurement.curve for measurement in self.measurements]
        share = np.mean([curve.call_share for curve in curves], axis=0)  # (T, K)
        rci = np.mean([curve.rci for curve in curves], axis=0)
        return MeanCurve(
            point=np.mean(self.points, axis=0).tolist(),
            performance=np.mean([curve.performance for curve in curves], axis=0).tolist(),
            cost_usd=np.mean([curve.cost_usd for curve in curves], axis=0).tolist(),
            rci=None if np.isnan(rci).any() else rci.tolist(),
            call_share={model: share[:, column].tolist() for column, model in enumerate(models)},
            **{
                name: np.mean([figures[name] for figures in self.asked], axis=0).tolist()
                for name in (self.asked[0] if self.asked else ())
                if all(name in figures for figures in self.asked)
            },
        )

    def check(self) -> CheckResults | None:
        """Figures of the check of a pair of answers, over the seeds; None without any."""
        if not self.checks:
            return None
        figures = {
            name: _of_values([getattr(seed, name) for seed in self.checks], [])
            for name in CheckAUC._fields
            if name != "pair"
        }
        return CheckResults(pairs=tuple(seed.pair for seed in self.checks), **figures)

    def calibration(self) -> CalibrationResults:
        """Means over the seeds of the calibration on the test part."""
        seeds = self.calibrated
        return CalibrationResults(
            calibration_error=_spread([seed.error for seed in seeds]),
            squared_error=_spread([seed.squared for seed in seeds]),
            uncalibrated_error=_spread([seed.error for seed in self.uncalibrated])
            if self.uncalibrated
            else None,
            predicted=np.mean([seed.predicted for seed in seeds], axis=0).tolist(),
            observed=np.mean([seed.observed for seed in seeds], axis=0).tolist(),
        )


def metrics_over_seeds(measurements: Sequence[Measurement], models: Sequence[str]) -> RouterMetrics:
    """Every metric of one router, from a measurement per seed."""
    estimates = {
        name: _estimate(
            [_by_key(measurement.point[name], models) for measurement in measurements],
            [_by_key(measurement.draws.get(name), models) for measurement in measurements],
        )
        for name in METRICS
    }
    return RouterMetrics.model_validate(estimates)


PAIRED_QUALITIES = ("0.98", "0.95", "0.90")


def differences(measurements: Sequence[Measurement], others: Sequence[Measurement]) -> Differences:
    """Differences of the paired metrics between two routers, a measurement per seed of each."""
    by_metric: dict[str, Difference | dict[str, Difference] | None] = {}
    for name in (name for name, metric in METRICS.items() if metric.is_paired):
        sides = [[_values(each, name) for each in side] for side in (measurements, others)]
        by_key = {
            key: difference([[values[key] for values in side] for side in sides])
            for key in sides[0][0]
            if all(values[key][0] is not None for side in sides for values in side)
        }
        by_metric[name] = by_key.get("") if "" in sides[0][0] else by_key
    return Differences.model_validate(by_metric)


_Valued: TypeAlias = tuple[float | None, FloatArray | None]
"""A figure of one seed, and its draws (R,), None without resamples."""


def _values(measurement: Measurement, metric: str) -> dict[str, _Valued]:
    """A paired metric: by quality, or under the key "" where it has one value."""
    keys = PAIRED_QUALITIES if isinstance(measurement.point[metric], dict) else ("",)
    return {key: (measurement.value(metric, key), measurement.drawn(metric, key)) for key in keys}


def difference(sides: Sequence[Sequence[_Valued]]) -> Difference:
    """The first of two sides minus the other; of each a figure per seed with its draws, all known.

    Draws are None without resamples, and there is no interval then.
    """
    pairs = list(zip(*sides, strict=True))
    means = [(a or 0.0) - (b or 0.0) for (a, _), (b, _) in pairs]
    draws = [a - b for (_, a), (_, b) in pairs if a is not None and b is not None]
    low, high = interval(*draws) or (None, None)
    return Difference(mean=float(np.mean(means)), low=low, high=high)


def _spread(values: Sequence[float]) -> Measured:
    """A figure without resamples, such as seconds: low and high are the extremes over seeds."""
    return Measured(
        mean=float(np.mean(values)),
        low=float(min(values)),
        high=float(max(values)),
        per_seed=tuple(float(value) for value in values),
    )


def _by_key(values: Point | Draws, models: Sequence[str]) -> Any:  # noqa: ANN401
    """A value per model, (K,) or (R, K), as a map from model to its values; others as they are."""
    if isinstance(values, list):
        return dict(zip(models, values, strict=True))
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return dict(zip(models, values.T, strict=True))
    return values


def _estimate(points: Sequence[Any], draws: Sequence[Any]) -> Measured | MeasuredByKey:
    """points: a value per seed, or a map of values. draws: their resamples, None without any."""
    if not isinstance(points[0], Mapping):
        return _of_values(points, [draw for draw in draws if draw is not None])
    known = [draw for draw in draws if draw is not None]
    return MeasuredByKey(
        {
            key: _of_values([point[key] for point in points], [draw[key] for draw in known])
            for key in points[0]
        }
    )


def _of_values(values: Sequence[float | None], draws: Sequence[FloatArray]) -> Measured:
    reached = [value for value in values if value is not None]
    low, high = interval(*draws) or (None, None)
    enough = len(reached) / len(values) >= ENOUGH
    return Measured(
        mean=float(np.mean(reached)) if enough else None,
        low=low,
        high=high,
        per_seed=tuple(values),
    )
