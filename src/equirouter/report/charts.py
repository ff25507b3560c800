"""Series of the interactive charts, which a script draws, and pictures that need no script."""

import html
from collections.abc import Sequence
from typing import Any

from equirouter.evaluation.results import Results
from equirouter.report.figures import models_by_cost, share_axis
from equirouter.report.style import colour_of, dash_of, model_colours

__all__ = ["SIDE", "chart_data", "reliability_rows"]

SIDE = 120
"""Width and height of a picture; both axes run over the range of the performances shown."""


def chart_data(results: Results) -> dict[str, Any]:
    """The data that report.js draws.

    "series": per router and anchor its curve and look; "models": names and colours from the
    cheapest to the most expensive, as the stacked areas are laid; "share": axis of the call shares.
    Names are escaped for plotly, which reads a subset of HTML in every text.
    """
    models = models_by_cost(results)
    x_of, label = share_axis(results)
    series = []
    for name, _, is_anchor in results.rows():
        curve = results.curves[name]
        series.append(
            {
                "name": html.escape(name, quote=False),
                "anchor": is_anchor,
                "colour": colour_of(name),
                "dash": dash_of(name),
                "cost": _short(curve.cost_usd),
                "performance": _short(curve.performance),
                "x": _short(x_of(curve)),
                "shares": [_short(curve.call_share[model]) for model in models],
            }
        )
    return {
        "series": series,
        "models": [
            {"name": html.escape(model, quote=False), "colour": colour}
            for model, colour in zip(models, model_colours(len(models)), strict=True)
        ],
        "strongest": models.index(results.strongest),
        "shareLabel": label,
    }


def _short(values: Sequence[float]) -> list[float]:
    """Six digits: more cannot be seen and would double the size of the page."""
    return [float(f"{value:.6g}") for value in values]


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
