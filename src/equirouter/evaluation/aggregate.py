"""From one measurement per seed to the entries of results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.bootstrap import ENOUGH, pooled_interval
from equirouter.evaluation.curve import Measurement

__all__ = ["curve_entry", "metric_entries", "paired_entries", "spread_entry"]

PAIRED_METRICS = ("nauc", "peak_score", "rci")


def metric_entries(
    measurements: Sequence[Measurement], models: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Metric -> {"mean", "low", "high", "per_seed"}; maps stay maps inside each of the four.

    Where a seed never reached a quality, its value is None, "reached" (for maps: of those keys) is
    the share of seeds that did, and the mean is over those; with fewer than half there is no mean.
    """
    points = [_named(measurement.point, models) for measurement in measurements]
    draws = [_named(measurement.draws, models) for measurement in measurements]
    return {
        name: _entry([point[name] for point in points], [draw.get(name) for draw in draws])
        for name in points[0]
    }


def paired_entries(
    measurements: Sequence[Measurement], reference: Sequence[Measurement]
) -> dict[str, dict[str, float | None]]:
    """Differences from a reference on the same resamples: metric -> {"mean", "low", "high"}."""
    entries = {}
    for name in PAIRED_METRICS:
        pairs = list(zip(measurements, reference, strict=True))
        means = [float(a.point[name]) - float(b.point[name]) for a, b in pairs]  # type: ignore[arg-type]
        draws = [a.draws[name] - b.draws[name] for a, b in pairs if a.draws]  # type: ignore[operator]
        low, high = (pooled_interval(draws) if draws else None) or (None, None)
        entries[name] = {"mean": float(np.mean(means)), "low": low, "high": high}
    return entries


def spread_entry(values: Sequence[float]) -> dict[str, Any]:
    """A figure without resamples, such as seconds: low and high are the extremes over seeds."""
    return {
        "mean": float(np.mean(values)),
        "low": float(min(values)),
        "high": float(max(values)),
        "per_seed": [float(value) for value in values],
    }


def curve_entry(
    measurements: Sequence[Measurement], points: Sequence[FloatArray], models: Sequence[str]
) -> dict[str, Any]:
    """The curve, each operating point averaged over the seeds."""
    curves = [measurement.curve for measurement in measurements]
    share = np.mean([curve.call_share for curve in curves], axis=0)  # (T, K)
    return {
        "point": np.mean(points, axis=0).tolist(),
        "performance": np.mean([curve.performance for curve in curves], axis=0).tolist(),
        "cost_usd": np.mean([curve.cost_usd for curve in curves], axis=0).tolist(),
        "rci": np.mean([curve.rci for curve in curves], axis=0).tolist(),
        "call_share": {model: share[:, column].tolist() for column, model in enumerate(models)},
    }


def _named(metrics: Mapping[str, Any], models: Sequence[str]) -> dict[str, Any]:
    """The same with call shares, (K,) or (R, K), as a map from model to its values."""
    if "call_share" not in metrics:
        return dict(metrics)
    shares = np.moveaxis(np.asarray(metrics["call_share"]), -1, 0)
    by_model = {
        model: share if share.ndim else float(share)
        for model, share in zip(models, shares, strict=True)
    }
    return {**metrics, "call_share": by_model}


def _entry(values: Sequence[Any], draws: Sequence[Any]) -> dict[str, Any]:
    if isinstance(values[0], Mapping):
        entries: dict[str, dict[str, Any]] = {
            key: _entry(
                [value[key] for value in values],
                [None if draw is None else draw[key] for draw in draws],
            )
            for key in values[0]
        }
        missed = {key: entry["reached"] for key, entry in entries.items() if "reached" in entry}
        parts = {
            part: {key: entry[part] for key, entry in entries.items()}
            for part in ("mean", "low", "high")
        }
        return parts | {"per_seed": list(values)} | ({"reached": missed} if missed else {})
    reached = [value for value in values if value is not None]
    known = [draw for draw in draws if draw is not None]
    low, high = (pooled_interval(known) if known else None) or (None, None)
    share = len(reached) / len(values)
    entry = {
        # The mean of a few lucky seeds would flatter a router that mostly misses the quality
        "mean": float(np.mean(reached)) if share >= ENOUGH else None,
        "low": low,
        "high": high,
        "per_seed": list(values),
    }
    return entry if share == 1 else entry | {"reached": share}
