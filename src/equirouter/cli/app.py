"""The commands put together, and the one place that turns errors into exit codes."""

import json
from collections.abc import Sequence
from typing import Annotated

import click
import typer

from equirouter import __version__
from equirouter.cli import bench, data, report, route, train
from equirouter.cli.common import say
from equirouter.errors import EquiRouterError, UserError

__all__ = ["app", "run"]

DONE, FAILED, USER_CAN_FIX, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="equirouter",
    help="Decide which language model should answer each query, and measure routing collapse.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)
app.command("bench")(bench.bench)
app.command("train")(train.train)
app.command("route")(route.route)
app.command("report")(report.report)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"equirouter {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # the callback acts on it
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Decide which language model should answer each query, and measure routing collapse."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns its exit code. Errors are said on stderr in one sentence.

    With --json an error is also one JSON document on stdout: {"error": {"type", "message"}}.
    """
    try:
        code = app(args=list(arguments), prog_name="equirouter", standalone_mode=False)
    except click.ClickException as error:
        return _failed(error.format_message(), "UsageError", arguments, USER_CAN_FIX)
    except UserError as error:
        return _failed(str(error), type(error).__name__, arguments, USER_CAN_FIX)
    except EquiRouterError as error:
        return _failed(str(error), type(error).__name__, arguments, FAILED)
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED  # whoever read our output has gone: there is nobody to tell
    return code if isinstance(code, int) else DONE


def _failed(message: str, kind: str, arguments: Sequence[str], code: int) -> int:
    if "--json" in arguments:
        typer.echo(json.dumps({"error": {"type": kind, "message": message}}))
    say(f"error: {message}")
    return code
