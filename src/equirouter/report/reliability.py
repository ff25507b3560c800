"""The calibration of every router, as numbers and as a small picture each that needs no script."""

from collections.abc import Sequence
from typing import Any

from equirouter.evaluation.results import Results

__all__ = ["SIDE", "reliability_rows"]

SIDE = 120
"""Width and height of a picture; both axes run over the range of the performances shown."""


def reliability_rows(results: Results) -> list[dict[str, Any]]:
    """Per router: name, error, uncalibrated error ("–" if there is none), squared error, points.

    points: of an SVG polyline in a box of SIDE by SIDE, predicted to the right, observed upwards.
    """
    rows = []
    for name in (name for name, _, is_anchor in results.rows() if not is_anchor):
        calibration = results.calibration[name]
        before = calibration.uncalibrated_error
        rows.append(
            {
                "name": name,
                "error": f"{calibration.calibration_error.mean:.4f}",
                "before": "–" if before is None else f"{before.mean:.4f}",
                "squared": f"{calibration.squared_error.mean:.4f}",
                "points": _points(calibration.predicted, calibration.observed),
            }
        )
    return rows


def _points(predicted: Sequence[float], observed: Sequence[float]) -> str:
    low, high = min(0.0, *predicted, *observed), max(1.0, *predicted, *observed)
    place = [
        (SIDE * (x - low) / (high - low), SIDE * (high - y) / (high - low))
        for x, y in zip(predicted, observed, strict=True)
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
