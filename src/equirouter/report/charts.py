"""The series of the interactive charts, as plain numbers that the page's script draws."""

import html
from collections.abc import Sequence
from typing import Any

from equirouter.evaluation.results import Results
from equirouter.report.figures import models_by_cost, share_axis
from equirouter.report.style import colour_of, dash_of, model_colours

__all__ = ["chart_data"]


def chart_data(results: Results) -> dict[str, Any]:
    """What the script in report.js draws.

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
