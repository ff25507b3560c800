"""`equirouter report`: the HTML report again, from saved results."""

from pathlib import Path
from typing import Annotated

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder from `bench --out`.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001  # every command has it
) -> None:
    """Write the HTML report and the figures again from DIR/results.json."""
    from equirouter.evaluation.results import read_results
    from equirouter.report.html import write_all

    written = write_all(read_results(folder / "results.json"), folder)
    if as_json:
        print_json({"report": str(written)})
    else:
        typer.echo(f"report: {written}")
