"""The report: one HTML file that needs nothing else, not even a network."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equirouter.extras import require
from equirouter.output import atomic_write
from equirouter.report.charts import chart_data
from equirouter.report.headline import headline
from equirouter.report.reliability import SIDE, reliability_rows
from equirouter.report.results import (
    COLUMNS,
    Results,
    check_results,
    counted_queries,
    entries,
    measured,
    plain,
    strongest_model,
)
from equirouter.report.tables import caption, cells, published_notes, published_rows

__all__ = ["write_report"]

_PAIRED = {"nauc": 1, "peak_score": 1, "rci": -1}  # the direction that is better
_EFFORT = {
    "fit_seconds": "fit, s",
    "predict_us_per_query": "predict, µs per query",
    "n_parameters": "parameters",
}


def write_report(results: Results, path: str | Path) -> None:
    """Write results as one HTML page with tables, interactive curves and all that was stated.

    The page asks nothing of any server: scripts and styles are in it, and its own security policy
    forbids requests. Raises DataError when results lack something, OutputError when path cannot be
    written, MissingExtraError without jinja2 or plotly.
    """
    check_results(results)
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
    command = results.get("command")
    if command is not None and not isinstance(command, str):
        command = shlex.join(command)
    return {
        "dataset": results["dataset"],
        "outcomes": results["outcomes"],
        "protocol": {k: v for k, v in results["protocol"].items() if k != "encoder_notes"},
        "headline": headline(results),
        "caption": caption(results),
        "columns": COLUMNS,
        "rows": _rows(results),
        "published": results.get("published"),
        "published_rows": published_rows(results) if results.get("published") else [],
        "published_notes": published_notes(results) if results.get("published") else [],
        "paired": _paired(results),
        "reliability": reliability_rows(results),
        "side": SIDE,
        "effort": _effort(results),
        "effort_heads": list(_EFFORT.values()),
        "models": _models(results),
        "warnings": _warnings(results),
        "counted": counted_queries(results),
        "cost_model": results.get("cost_model"),
        "visibility": results.get("visibility"),
        "split_hashes": results.get("split_hashes") or {},
        "versions": results.get("versions") or {},
        "command": command,
        "charts": chart_data(results),
    }


def _rows(results: Results) -> list[dict[str, Any]]:
    columns = [cells(results, column) for column in COLUMNS]
    strongest = strongest_model(results)
    rows = []
    for name, entry, is_anchor in entries(results):
        shown = [
            {
                "text": column[name][0],
                "interval": column[name][1],
                "best": column[name][2],
                "value": measured(entry, definition, strongest).mean,
            }
            for definition, column in zip(COLUMNS, columns, strict=True)
        ]
        rows.append({"name": name, "anchor": is_anchor, "cells": shown})
    return rows


def _paired(results: Results) -> list[tuple[str, list[dict[str, str]]]]:
    """Per router its differences to the task anchor, each with a verdict in a word."""
    paired = results.get("paired") or {}
    rows = []
    for name in (name for name, _, _ in entries(results) if name in paired):
        found = paired[name]
        rows.append((name, [_difference(found.get(key), sign) for key, sign in _PAIRED.items()]))
    return rows


def _difference(figure: Mapping[str, float | None] | None, sign: int) -> dict[str, str]:
    values = [None] * 3 if figure is None else [figure[key] for key in ("mean", "low", "high")]
    mean, low, high = values
    if mean is None or low is None or high is None:
        return {"text": "–", "interval": "", "verdict": ""}
    worst, kindest = sorted((sign * low, sign * high))
    verdict = "better" if worst > 0 else "worse" if kindest < 0 else "no difference shown"
    return {
        "text": f"{mean:+.4f}",
        "interval": f"[{low:+.4f}, {high:+.4f}]",
        "verdict": verdict,
    }


def _effort(results: Results) -> list[tuple[str, list[str]]]:
    """Per router what fitting and predicting took, where it was measured."""
    rows = []
    for name, entry, is_anchor in entries(results):
        if not is_anchor and all(key in entry for key in _EFFORT):
            rows.append((name, [_amount(entry[key]["mean"]) for key in _EFFORT]))
    return rows


def _amount(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _models(results: Results) -> list[dict[str, Any]]:
    """The models from the cheapest to the dearest, with what is known of each."""
    outcomes = results["outcomes"]
    count = len(outcomes["models"])
    errors = (results.get("cost_model") or {}).get("relative_error", {})
    shares: Sequence[float | None] = outcomes.get("oracle_call_share") or [None] * count
    models = [
        {
            "name": name,
            "performance": outcomes["mean_performance"][index],
            "cost": outcomes["mean_cost_usd"][index],
            "oracle": shares[index],
            "error": errors.get(name),
            "strongest": name == outcomes["strongest"],
            "cheapest": name == outcomes["cheapest"],
        }
        for index, name in enumerate(outcomes["models"])
    ]
    return sorted(models, key=lambda model: float(model["cost"]))


def _warnings(results: Results) -> list[str]:
    """What a reader must know before believing the figures."""
    warnings = []
    visibility = results.get("visibility")
    if visibility is not None and visibility.get("warning"):
        warnings.append(str(visibility["warning"]))
    left_out = results["left_out"]["incomplete_test_queries"]
    if left_out:
        warnings.append(
            f"{left_out:,} of the test queries without the outcome of some model: left out of "
            "every measure."
        )
    warnings.extend(str(note) for note in results["outcomes"].get("notes") or ())
    warnings.extend(str(note) for note in results["protocol"].get("encoder_notes") or ())
    return warnings
