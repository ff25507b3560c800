"""The report: one HTML file that needs nothing else, not even a network, with its charts."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from equirouter.evaluation.measured import Difference
from equirouter.evaluation.metrics import COLUMNS, METRICS, Column
from equirouter.evaluation.results import Results
from equirouter.extras import is_installed
from equirouter.output import atomic_write
from equirouter.report.explorer import Samples, page_data, read_samples
from equirouter.report.figures import models_by_cost, write_figures
from equirouter.report.tables import (
    PUBLISHED_COLUMNS,
    caption,
    cells,
    counted_queries,
    headline,
    published_notes,
    published_rows,
)
from equirouter.words import interval, plain

_PAIRED = [column for column in COLUMNS if METRICS[column.metric].is_paired]
_EFFORT = {
    "fit_seconds": "fit, s",
    "predict_us_per_query": "predict, µs per query",
    "n_parameters": "parameters",
}


def write_report(results: Results, path: str | Path, samples: Samples | None = None) -> None:
    """Write results as one HTML page with tables, an explorer, curves and all that was stated.

    The page asks nothing of any server: scripts and styles are in it, and its own security policy
    forbids requests. samples: queries of which the page says who answers them. Raises OutputError
    when path cannot be written.
    """
    text = render("equirouter.report", "report.html.j2", _context(results, samples))
    with atomic_write(path) as stream:
        stream.write(text)


def render(
    package: str,
    template: str,
    context: Mapping[str, Any],
    filters: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """A page from a template of a package, which may include those of this one."""
    import jinja2

    loaders = [jinja2.PackageLoader(each) for each in (package, "equirouter.report")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN would break the page
    environment.filters |= {"plain": plain, **filters}
    text: str = environment.get_template(template).render(context)
    return text


def _context(results: Results, samples: Samples | None) -> dict[str, Any]:
    protocol = results.protocol.model_dump()
    del protocol["encoder_notes"]  # among the warnings
    return {
        "results": results,
        "protocol": protocol,
        "headline": headline(results),
        "caption": caption(results),
        "columns": COLUMNS,
        "cells": [cells(results, column) for column in COLUMNS],
        "published_columns": PUBLISHED_COLUMNS,
        "published_rows": published_rows(results),
        "published_notes": published_notes(results),
        "paired_columns": _PAIRED,
        "held_against": _held_against(results),
        "difference": _difference,
        "points": _points,
        "side": SIDE,
        "effort": _EFFORT,
        "amount": _amount,
        "models": models_by_cost(results),
        "warnings": _warnings(results),
        "counted": counted_queries(results),
        "command": shlex.join(results.command),
        "data": page_data(results, samples),
    }


def _held_against(results: Results) -> list[str]:
    """The task anchor and, where that is another, the best that reads no text."""
    known = dict.fromkeys(("task", results.best_text_free("0.98")))
    return [anchor for anchor in known if anchor in results.anchors]


def _difference(difference: Difference | None, column: Column) -> tuple[str, str, str]:
    """A paired difference as text, its interval, and a verdict in a word."""
    if difference is None or difference.low is None or difference.high is None:
        return "–", "", ""
    mean, low, high = difference.mean, difference.low, difference.high
    direction = column.direction
    least, most = sorted((direction * low, direction * high))
    verdict = "better" if least > 0 else "worse" if most < 0 else "no difference shown"
    return f"{mean:+.4f}", interval(low, high, "+.4f"), verdict


def _amount(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


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


SIDE = 120
"""Width and height of a picture; both axes run over the range of the performances shown."""


def _points(predicted: Sequence[float], observed: Sequence[float]) -> str:
    """Points of an SVG polyline in a box of SIDE by SIDE, predicted right, observed upwards."""
    low, high = min(0.0, *predicted, *observed), max(1.0, *predicted, *observed)
    place = [
        (SIDE * (x - low) / (high - low), SIDE * (high - y) / (high - low))
        for x, y in zip(predicted, observed, strict=True)
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in place)


def note_on_figures() -> tuple[str, ...]:
    """A note where write_all draws no figures; else ()."""
    if is_installed("matplotlib"):
        return ()
    return ("no figures/*.svg: they need matplotlib (pip install 'equirouter[train]')",)


def write_all(
    results: Results, folder: str | Path, *, texts: Mapping[str, str] | None = None
) -> Path:
    """Write report.html, and figures/*.svg where matplotlib is installed, into a run's folder.

    texts: by query id; some of them are then on the page. Returns the report's path.
    """
    folder = Path(folder)
    if is_installed("matplotlib"):
        write_figures(results, folder / "figures")
    report = folder / "report.html"
    write_report(results, report, read_samples(folder / "decisions.parquet", results, texts))
    return report
