"""Experiments by name: what came out, what could not be made of this data set, and its files."""

import base64
import csv
import io
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from equirouter.errors import DataError
from equirouter.extras import versions
from equirouter.output import atomic_write, make_folder
from equirouter.paper.base import Cell, Section, Table, Value
from equirouter.paper.context import Context
from equirouter.registry import EXPERIMENTS
from equirouter.report import markdown
from equirouter.report.html import render
from equirouter.words import NEVER

Experiment: TypeAlias = Callable[[Context], Section]


@dataclass(frozen=True)
class NotRun:
    """An experiment that this data set cannot give, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Paper:
    """The sections in the order they were asked for, and the experiments that have none."""

    sections: tuple[Section, ...]
    not_run: tuple[NotRun, ...]


def experiments(names: Sequence[str]) -> dict[str, Experiment]:
    """The experiments of these names, each once; "all" stands for every one.

    Raises UnknownNameError with the nearest name.
    """
    chosen: dict[str, Experiment] = {}
    for name in names:
        chosen |= EXPERIMENTS.load_all() if name == "all" else {name: EXPERIMENTS.load(name)}
    return chosen


def run_experiments(
    names: Sequence[str], context: Context, *, on_section: Callable[[Section], None] | None = None
) -> Paper:
    """Run experiments one after the other on one context.

    on_section: is given each section as soon as it is there. An experiment that raises DataError,
    because the table lacks what it needs, is listed with the reason and the others go on; if it is
    the only one, the error is raised.
    """
    wanted = experiments(names)
    sections: list[Section] = []
    not_run: list[NotRun] = []
    for name, experiment in wanted.items():
        context.progress("experiments", len(sections) + len(not_run), len(wanted))
        try:
            section = experiment(context)
        except DataError as error:
            if len(wanted) == 1:
                raise
            not_run.append(NotRun(name, str(error)))
            continue
        if on_section is not None:
            on_section(section)
        sections.append(section)
    context.progress("experiments", len(wanted), len(wanted))
    return Paper(tuple(sections), tuple(not_run))


def write_section(section: Section, folder: str | Path) -> None:
    """Write tables/NAME.csv, tables/NAME.md and figures/NAME.svg. Raises OutputError."""
    tables, figures = (make_folder(Path(folder) / name) for name in ("tables", "figures"))
    for table in section.tables:
        for suffix, text in (("csv", as_csv(table)), ("md", as_markdown(table))):
            with atomic_write(tables / f"{table.name}.{suffix}") as stream:
                stream.write(text)
    for figure in section.figures:
        with atomic_write(figures / f"{figure.name}.svg", "wb") as stream:
            stream.write(figure.svg)


def write_paper(
    paper: Paper, context: Context, folder: str | Path, *, command: Sequence[str] = ()
) -> tuple[dict[str, Any], Path]:
    """Write every section, paper.json and report.html; returns what the former holds, and the page.

    The page asks nothing of any server.
    """
    folder = make_folder(folder)
    for section in paper.sections:
        write_section(section, folder)
    text = json.dumps(_document(paper, context, command=command), indent=1, allow_nan=False)
    with atomic_write(folder / "paper.json") as stream:
        stream.write(f"{text}\n")
    document: dict[str, Any] = json.loads(text)
    report = folder / "report.html"
    with atomic_write(report) as stream:
        stream.write(_page(paper, document))
    return document, report


def _document(paper: Paper, context: Context, *, command: Sequence[str] = ()) -> dict[str, Any]:
    """All that was found, as JSON can hold it: what paper.json holds (docs/paper.md)."""
    outcomes, encoder = context.outcomes, context.encoder
    return {
        "schema": 1,
        "command": command,
        "dataset": {
            "name": outcomes.name,
            "n_queries": outcomes.n_queries,
            "n_models": outcomes.n_models,
            "fingerprint": outcomes.fingerprint,
        },
        "protocol": {
            "routers": context.routers,
            "policy": context.policy,
            "seeds": context.seeds,
            "resamples": context.resamples,
            "encoder": encoder.name,
            "encoder_settings": encoder.settings,
        },
        "versions": versions(),
        "sections": [_section_json(section) for section in paper.sections],
        "not_run": [asdict(each) for each in paper.not_run],
    }


def _section_json(section: Section) -> dict[str, Any]:
    document = asdict(section)
    for figure in document["figures"]:
        del figure["svg"]  # it has a file of its own
    return document


def _page(paper: Paper, document: dict[str, Any]) -> str:
    command = shlex.join(document["command"])
    filters = {"value": value_text, "interval": interval_text, "data_uri": _data_uri}
    context = document | {"paper": paper, "command": command}
    return render("equirouter.paper", "paper.html.j2", context, filters)


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def as_csv(table: Table) -> str:
    """One line per row; a column of intervals is three: NAME, NAME low, NAME high.

    A value that was never reached is an empty cell, and so is one that there is not.
    """
    places = range(len(table.columns))
    wide = [any(isinstance(row[place], Value) for row in table.rows) for place in places]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            head
            for name, is_wide in zip(table.columns, wide, strict=True)
            for head in ((name, f"{name} low", f"{name} high") if is_wide else (name,))
        ]
    )
    for row in table.rows:
        writer.writerow(
            [
                part
                for cell, is_wide in zip(row, wide, strict=True)
                for part in _csv_cells(cell, is_wide)
            ]
        )
    return stream.getvalue()


def as_markdown(table: Table) -> str:
    """The table with its caption below; an interval is "[low, high]", "/" was never reached."""
    lines = markdown.head(table.columns)
    for first, *rest in table.rows:
        cells = [f"{value_text(cell)} {interval_text(cell)}".strip() for cell in rest]
        parts = [markdown.code(str(first)), *(markdown.escaped(cell) for cell in cells)]
        lines.append(markdown.row(parts))
    return "\n".join(lines) + f"\n\n{markdown.escaped(table.caption)}\n"


def value_text(cell: Cell) -> str:
    """A cell without its interval: four significant digits, thousands with commas."""
    if isinstance(cell, Value):
        return f"{_number(cell.value)} {cell.note}".rstrip()
    return cell if isinstance(cell, str) else _number(cell)


def interval_text(cell: Cell) -> str:
    """The interval as "[low, high]", or nothing."""
    if not isinstance(cell, Value) or (cell.low is None and cell.high is None):
        return ""
    return f"[{_number(cell.low)}, {_number(cell.high)}]"


def _number(value: float | None) -> str:
    if value is None:
        return NEVER
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.01:
        return f"{value:.3g}"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 4
    return f"{value:.{min(digits, 4)}f}"


def _csv_cells(cell: Cell, is_wide: bool) -> list[str | int | float]:
    parts: list[str | int | float | None]
    if isinstance(cell, Value):
        parts = [cell.value, cell.low, cell.high]
    else:
        parts = [cell, None, None] if is_wide else [cell]
    return ["" if part is None else part for part in parts]
