"""From a measurement per seed to the figures of results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.bootstrap import ENOUGH, pooled_interval
from equirouter.evaluation.curve import Draws, Measurement, Point
from equirouter.evaluation.measured import Difference, Measured, MeasuredByKey
from equirouter.evaluation.metrics import METRICS, RouterMetrics
from equirouter.evaluation.reliability import Reliability
from equirouter.evaluation.results import CalibrationResults, MeanCurve, RouterResults

__all__ = ["SeedRecords", "differences", "metrics_over_seeds"]


@dataclass(eq=False)
class SeedRecords:
    """Measurements of one router or anchor, an entry per seed."""

    measurements: list[Measurement] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    """(T,): the operating points."""
    fit_seconds: list[float] = field(default_factory=list)
    predict_us: list[float] = field(default_factory=list)
    """Microseconds per query."""
    n_parameters: list[float] = field(default_factory=list)
    calibrated: list[Reliability] = field(default_factory=list)
    uncalibrated: list[Reliability] = field(default_factory=list)
    """Of the scores as they are, where they estimate performance; else empty."""

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
        return MeanCurve(
            point=np.mean(self.points, axis=0).tolist(),
            performance=np.mean([curve.performance for curve in curves], axis=0).tolist(),
            cost_usd=np.mean([curve.cost_usd for curve in curves], axis=0).tolist(),
            rci=np.mean([curve.rci for curve in curves], axis=0).tolist(),
            call_share={model: share[:, column].tolist() for column, model in enumerate(models)},
        )

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


def differences(
    measurements: Sequence[Measurement], reference: Sequence[Measurement]
) -> dict[str, Difference]:
    """Differences of the paired metrics from a reference on the same resamples."""
    result = {}
    for name, metric in METRICS.items():
        if not metric.is_paired:
            continue
        pairs = list(zip(measurements, reference, strict=True))
        means = [float(a.point[name]) - float(b.point[name]) for a, b in pairs]  # type: ignore[arg-type]
        draws = [a.draws[name] - b.draws[name] for a, b in pairs if a.draws]  # type: ignore[operator]
        low, high = (pooled_interval(draws) if draws else None) or (None, None)
        result[name] = Difference(mean=float(np.mean(means)), low=low, high=high)
    return result


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
    low, high = (pooled_interval(draws) if draws else None) or (None, None)
    enough = len(reached) / len(values) >= ENOUGH
    return Measured(
        mean=float(np.mean(reached)) if enough else None,
        low=low,
        high=high,
        per_seed=tuple(values),
    )
