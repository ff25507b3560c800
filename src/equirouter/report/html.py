"""The report: one HTML file that needs nothing else, not even a network."""

import shlex
from pathlib import Path
from typing import Any

from equirouter.evaluation.measured import Difference
from equirouter.evaluation.metrics import COLUMNS, METRICS
from equirouter.evaluation.metrics.base import Direction
from equirouter.evaluation.results import Results
from equirouter.extras import require
from equirouter.output import atomic_write
from equirouter.report.charts import SIDE, chart_data, reliability_rows
from equirouter.report.figures import models_by_cost
from equirouter.report.headline import headline
from equirouter.report.tables import (
    PUBLISHED_COLUMNS,
    caption,
    cells,
    counted_queries,
    published_notes,
    published_rows,
)
from equirouter.report.wording import plain

__all__ = ["write_report"]

_PAIRED = [column for column in COLUMNS if METRICS[column.metric].is_paired]
_EFFORT = {
    "fit_seconds": "fit, s",
    "predict_us_per_query": "predict, µs per query",
    "n_parameters": "parameters",
}


def write_report(results: Results, path: str | Path) -> None:
    """Write results as one HTML page with tables, interactive curves and all that was stated.

    The page asks nothing of any server: scripts and styles are in it, and its own security policy
    forbids requests. Raises OutputError when path cannot be written, MissingExtraError without
    jinja2 or plotly.
    """
    jinja2 = require("jinja2", extra="report", purpose="write the report")
    markupsafe = require("markupsafe", extra="report", purpose="write the report")
    plotly = require("plotly.offline", extra="report", purpose="write the report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("equirouter.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN would break the page
    environment.filters["plain"] = plain
    text = environment.get_template("report.html.j2").render(
        _context(results), plotly=markupsafe.Markup(plotly.get_plotlyjs())
    )
    with atomic_write(path) as stream:
        stream.write(text)


def _context(results: Results) -> dict[str, Any]:
    """All that the template shows."""
    protocol = results.protocol.model_dump()
    del protocol["encoder_notes"]  # among the warnings
    return {
        "results": results,
        "protocol": protocol,
        "headline": headline(results),
        "caption": caption(results),
        "columns": COLUMNS,
        "rows": _rows(results),
        "published_columns": PUBLISHED_COLUMNS,
        "published_rows": published_rows(results),
        "published_notes": published_notes(results),
        "paired_columns": _PAIRED,
        "paired": _paired(results),
        "reliability": reliability_rows(results),
        "side": SIDE,
        "effort": _effort(results),
        "effort_heads": list(_EFFORT.values()),
        "models": _models(results),
        "warnings": _warnings(results),
        "counted": counted_queries(results),
        "command": shlex.join(results.command),
        "charts": chart_data(results),
    }


def _rows(results: Results) -> list[dict[str, Any]]:
    columns = [cells(results, column) for column in COLUMNS]
    rows = []
    for name, _, is_anchor in results.rows():
        shown = [
            {
                "text": column[name][0],
                "interval": column[name][1],
                "best": column[name][2],
                "value": results.measured(name, definition).mean,
            }
            for definition, column in zip(COLUMNS, columns, strict=True)
        ]
        rows.append({"name": name, "anchor": is_anchor, "cells": shown})
    return rows


def _paired(results: Results) -> list[tuple[str, list[dict[str, str]]]]:
    """Per router its differences from the task anchor, each with a verdict in a word."""
    return [
        (
            name,
            [_difference(results.paired[name][c.metric], c.direction) for c in _PAIRED],
        )
        for name, _, _ in results.rows()
        if name in results.paired
    ]


def _difference(difference: Difference, direction: Direction) -> dict[str, str]:
    mean, low, high = difference.mean, difference.low, difference.high
    if low is None or high is None:
        return {"text": "–", "interval": "", "verdict": ""}
    least, most = sorted((direction * low, direction * high))
    verdict = "better" if least > 0 else "worse" if most < 0 else "no difference shown"
    return {
        "text": f"{mean:+.4f}",
        "interval": f"[{low:+.4f}, {high:+.4f}]",
        "verdict": verdict,
    }


def _effort(results: Results) -> list[tuple[str, list[str]]]:
    """Per router what fitting and predicting took."""
    return [
        (name, [_amount(getattr(router, key).mean) for key in _EFFORT])
        for name, router, is_anchor in results.rows()
        if not is_anchor
    ]


def _amount(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _models(results: Results) -> list[dict[str, Any]]:
    """The models from the cheapest to the most expensive, with what is known of each."""
    outcomes = results.outcomes
    columns = zip(
        outcomes.models,
        outcomes.mean_performance,
        outcomes.mean_cost_usd,
        outcomes.oracle_call_share,
        strict=True,
    )
    models = {
        name: {
            "name": name,
            "performance": performance,
            "cost": cost,
            "oracle": share,
            "error": results.cost_model.relative_error.get(name),
            "strongest": name == outcomes.strongest,
            "cheapest": name == outcomes.cheapest,
        }
        for name, performance, cost, share in columns
    }
    return [models[name] for name in models_by_cost(results)]


def _warnings(results: Results) -> list[str]:
    """Facts to know before believing the figures."""
    warnings = [] if results.visibility.warning is None else [results.visibility.warning]
    left_out = results.left_out.incomplete_test_queries
    if left_out:
        warnings.append(
            f"{left_out:,} of the test queries lack the outcome of some model and are left out of "
            "every measure."
        )
    return [*warnings, *results.outcomes.notes, *results.protocol.encoder_notes]
