"""Files of a run of experiments: tables, figures, paper.json and one HTML page."""

import base64
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from equirouter.extras import require, versions
from equirouter.output import atomic_write, make_folder
from equirouter.paper.base import Section, Value
from equirouter.paper.context import Context
from equirouter.paper.formats import as_csv, as_markdown, interval_text, value_text
from equirouter.paper.run import Paper
from equirouter.report.wording import plain

__all__ = ["write_paper", "write_section"]


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

    The page asks nothing of any server. Raises OutputError when the system refuses,
    MissingExtraError without jinja2.
    """
    folder = make_folder(folder)
    for section in paper.sections:
        write_section(section, folder)
    document = _document(paper, context, command=command)
    with atomic_write(folder / "paper.json") as stream:
        stream.write(json.dumps(document, indent=1, allow_nan=False) + "\n")
    report = folder / "report.html"
    with atomic_write(report) as stream:
        stream.write(_page(paper, document))
    return document, report


def _document(paper: Paper, context: Context, *, command: Sequence[str] = ()) -> dict[str, Any]:
    """All that was found, as JSON can hold it: what paper.json holds (docs/paper.md)."""
    outcomes, encoder = context.outcomes, context.encoder
    return {
        "schema": 1,
        "command": list(command),
        "dataset": {
            "name": outcomes.name,
            "n_queries": outcomes.n_queries,
            "n_models": outcomes.n_models,
            "fingerprint": outcomes.fingerprint,
        },
        "protocol": {
            "routers": list(context.routers),
            "policy": context.policy,
            "seeds": list(context.seeds),
            "resamples": context.resamples,
            "encoder": encoder.name,
            "encoder_settings": encoder.settings,
        },
        "versions": versions(),
        "sections": [_section_json(section) for section in paper.sections],
        "not_run": [asdict(each) for each in paper.not_run],
    }


def _section_json(section: Section) -> dict[str, Any]:
    shown = {key: getattr(section, key) for key in ("name", "title", "claim", "verdict", "finding")}
    tables = [
        {
            "name": table.name,
            "columns": list(table.columns),
            "rows": [
                [cell._asdict() if isinstance(cell, Value) else cell for cell in row]
                for row in table.rows
            ],
            "caption": table.caption,
        }
        for table in section.tables
    ]
    figures = [
        {"name": figure.name, "alt": figure.alt, "caption": figure.caption}
        for figure in section.figures
    ]
    return shown | {"tables": tables, "figures": figures}


def _page(paper: Paper, document: dict[str, Any]) -> str:
    jinja2 = require("jinja2", extra="report", purpose="write the report")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("equirouter.paper"), jinja2.PackageLoader("equirouter.report")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": plain,
        "value": value_text,
        "interval": interval_text,
        "data_uri": _data_uri,
    }
    text: str = environment.get_template("paper.html.j2").render(
        paper=paper, command=shlex.join(document["command"]), **_facts(document)
    )
    return text


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("dataset", "protocol", "versions")}


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"
