"""`equirouter report`: the HTML report again, from saved results."""

from pathlib import Path
from typing import Annotated

import typer

from equirouter.cli.common import IntervalsOption, JsonOption, QuietOption, print_json, say_each


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder from `bench --out`.")],
    intervals: IntervalsOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the table, and write the HTML report and the figures again, from DIR/results.json."""
    from equirouter.evaluation.results import read_results
    from equirouter.report.html import write_all

    results = read_results(folder / "results.json")
    written = write_all(results, folder)
    if as_json:
        print_json({"report": str(written)})
        return
    if not quiet:
        from rich.console import Console

        from equirouter.report.html import note_on_figures
        from equirouter.report.tables import print_results

        print_results(results, Console(), intervals=intervals)
        say_each("note", note_on_figures())
    typer.echo(f"report: {written}")
