"""The series of the interactive charts, as plain numbers that the page's script draws."""

import html
from collections.abc import Sequence
from typing import Any

from equirouter.report.figures import share_axis
from equirouter.report.results import Results, entries, strongest_model
from equirouter.report.style import colour_of, dash_of, model_colours

__all__ = ["chart_data"]


def chart_data(results: Results) -> dict[str, Any]:
    """What the script in report.js draws.

    "series": per router and anchor its curve and look; "models": names and colours from the
    cheapest to the dearest, as the stacked areas are laid; "share": axis of the call shares.
    Names are escaped for plotly, which reads a subset of HTML in every text.
    """
    outcomes = results["outcomes"]
    order = sorted(
        range(len(outcomes["models"])), key=lambda index: outcomes["mean_cost_usd"][index]
    )
    models = [outcomes["models"][index] for index in order]
    key, label = share_axis(results)
    strongest = strongest_model(results)
    series = []
    for name, _, is_anchor in entries(results):
        curve = results["curves"][name]
        series.append(
            {
                "name": html.escape(name, quote=False),
                "anchor": is_anchor,
                "colour": colour_of(name),
                "dash": dash_of(name),
                "cost": _short(curve["cost_usd"]),
                "performance": _short(curve["performance"]),
                "x": _short(curve[key]),
                "shares": [_short(curve["call_share"][model]) for model in models],
            }
        )
    return {
        "series": series,
        "models": [
            {"name": html.escape(model, quote=False), "colour": colour}
            for model, colour in zip(models, model_colours(len(models)), strict=True)
        ],
        "strongest": models.index(strongest),
        "shareLabel": label,
    }


def _short(values: Sequence[float | None]) -> list[float | None]:
    """Six digits: more cannot be seen and would double the size of the page."""
    return [None if value is None else float(f"{value:.6g}") for value in values]
