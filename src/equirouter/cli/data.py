"""`equirouter data`: data sets in, one outcomes table out."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from equirouter.cli import common
from equirouter.cli.bars import Bars
from equirouter.words import in_columns, number_of

if TYPE_CHECKING:
    from equirouter.data.description import Description
    from equirouter.data.merging import Source
    from equirouter.data.outcomes import Outcomes

app = typer.Typer(
    help="List, fetch, import, convert, merge and describe data sets.",
    rich_markup_mode=None,
)


@app.command("list")
def list_(as_json: common.JsonOption = False, quiet: common.QuietOption = False) -> None:  # noqa: ARG001
    """List the data sets that have a name."""
    from equirouter.registry import DATASETS

    descriptions = {name: kind().description for name, kind in DATASETS.load_all().items()}
    if as_json:
        common.print_json(
            [{"name": name, "description": text} for name, text in descriptions.items()]
        )
        return
    width = max(map(len, descriptions))
    for name, text in descriptions.items():
        typer.echo(in_columns(name, text, width))


@app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name from `equirouter data list`, as NAME[:key=value]."
        ),
    ],
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Download a data set into the cache, check it, and say what it holds."""
    from equirouter.data.sources.by_name import load_named
    from equirouter.data.table_warnings import table_warnings

    with Bars(quiet=quiet) as progress:
        outcomes = load_named(name, progress=progress)
    warnings = table_warnings(outcomes)
    common.say_notes(outcomes, quiet=quiet or as_json)
    common.say_each("warning", warnings, quiet=quiet or as_json)
    _show(outcomes.describe(), as_json=as_json, warnings=warnings)


@app.command()
def convert(
    dataset: common.DatasetArgument,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A .parquet, .csv or .jsonl file to write.")
    ],
    layout: Annotated[
        Literal["long", "wide"], typer.Option(help="One row per query and model, or one per query.")
    ] = "long",
    answers_by: common.AnswersByOption = None,
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Write a data set as an outcomes table in another format or layout."""
    from equirouter.data.tables import write_table

    with Bars(quiet=quiet) as progress:
        outcomes = common.open_dataset(
            dataset, performance_range, answers_by=answers_by, quiet=quiet, progress=progress
        )
    write_table(outcomes, target, layout=layout)
    if as_json:
        common.print_json({"written": str(target), "layout": layout})
    elif not quiet:
        typer.echo(f"{target}: {_sized(outcomes)}")


@app.command()
def merge(
    tables: Annotated[
        list[str],
        typer.Argument(metavar="TABLE...", help="Outcomes tables: files, or names of data sets."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="A .parquet, .csv or .jsonl file to write.")
    ],
    conflicts: Annotated[
        Literal["refuse", "first", "mean"],
        typer.Option(
            help="Where two tables differ on a query and a model: stop and name the first ones, "
            "take what the first table says, or the mean of the numbers."
        ),
    ] = "refuse",
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Join outcomes tables of the same queries, or of the same models, into one.

    A query is the same if its id and its text are. What no table knows stays unknown.
    """
    from equirouter.data.merging import merge_tables
    from equirouter.data.tables import write_table

    with Bars(quiet=quiet) as progress:
        merged = merge_tables(
            [
                common.open_dataset(name, performance_range, quiet=True, progress=progress)
                for name in tables
            ],
            conflicts=conflicts,
        )
    write_table(merged.table, out)
    n_complete = int(merged.table.is_complete.sum())
    if as_json:
        sources = [asdict(source) for source in merged.sources]
        sizes = {"n_queries": merged.table.n_queries, "n_models": merged.table.n_models}
        common.print_json(
            {"written": str(out), **sizes, "n_complete": n_complete, "sources": sources}
        )
    elif not quiet:
        for name, source in zip(tables, merged.sources, strict=True):
            typer.echo(
                f"{name}: {_sized(source)}; {number_of(source.n_outcomes, 'outcome')}, "
                f"{source.n_new} new, {source.n_conflicts} in conflict"
            )
        typer.echo(f"{out}: {_sized(merged.table)}; complete queries: {n_complete}")


@app.command()
def describe(
    dataset: common.DatasetArgument = "real",
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    models: common.ModelsOption = None,
    exclude_models: common.ExcludeModelsOption = None,
    encoder: common.EncoderOption = "minilm",
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Say what a data set holds, and what looks wrong in it.

    Sizes, missing cells, equal queries, models, ties and the oracle; warnings are on stderr.
    """
    from equirouter.data.table_warnings import table_warnings

    with Bars(quiet=quiet) as progress:
        outcomes = common.open_dataset(
            dataset, performance_range, quiet=quiet or as_json, progress=progress
        )
    outcomes = common.choose_models(outcomes, models, exclude_models, quiet=quiet or as_json)
    warnings = (*table_warnings(outcomes), *_unread(encoder, outcomes))
    common.say_each("warning", warnings, quiet=quiet or as_json)
    _show(outcomes.describe(), as_json=as_json, warnings=warnings)


def _unread(encoder: str, outcomes: "Outcomes") -> tuple[str, ...]:
    """A warning about texts that the encoder does not read, or that this could not be found out."""
    from equirouter.encoders.visibility import unread_warning
    from equirouter.errors import DownloadError, MissingExtraError

    made = common.make_text_encoder(encoder)
    try:
        return unread_warning(made, outcomes.texts, outcomes.query_ids)
    except (DownloadError, MissingExtraError) as error:
        return (f"there are texts that encoder {encoder} may not read, not checked: {error}",)


def _sized(table: "Outcomes | Source") -> str:
    queries = number_of(table.n_queries, "query", "queries")
    return f"{queries}, {number_of(table.n_models, 'model')}"


def _show(description: "Description", *, as_json: bool, warnings: tuple[str, ...] = ()) -> None:
    if as_json:
        common.print_json({**asdict(description), "warnings": warnings})
        return
    typer.echo(str(description))
