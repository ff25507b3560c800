"""The commands put together, and the one place that turns errors into exit codes."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from equirouter import __version__
from equirouter.cli import (
    batch,
    bench,
    data,
    diagnose,
    export,
    models,
    newmodel,
    paper,
    pipeline,
    report,
    route,
    routers,
    train,
)
from equirouter.cli.common import GATE_REFUSED, say
from equirouter.cli.gateway import keys, log, retrain, serve, status
from equirouter.cli.grouped_help import GroupedCommand, GroupedGroup
from equirouter.cli.labels import collect, importing, review, score, start
from equirouter.errors import ConfigError, EquiRouterError, GateRefusedError, UserError

DONE, FAILED, USER_CAN_FIX, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="equirouter",
    help="Decide which language model should answer each query, and measure routing collapse.",
    cls=GroupedGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _command in (
    *(bench.bench, train.train, diagnose.diagnose, route.route, batch.batch, export.export),
    *(paper.paper, report.report, collect.collect, score.score, review.review, start.start),
    *(retrain.retrain, serve.serve, status.status),
):
    app.command(_command.__name__, cls=GroupedCommand)(_command)
data.app.command("import")(importing.import_)
app.add_typer(data.app, name="data")
app.add_typer(routers.app, name="routers")
app.add_typer(keys.app, name="keys")
app.add_typer(log.app, name="log")
models.app.command("add")(newmodel.add)
app.add_typer(models.app, name="models")
app.add_typer(pipeline.app, name="pipeline")


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
        _check_encoding(arguments)
        code = app(
            args=list(arguments) or ["--help"], prog_name="equirouter", standalone_mode=False
        )
    except typer.TyperException as error:
        return _failed(error.format_message(), "UsageError", arguments, USER_CAN_FIX)
    except UserError as error:
        return _failed(str(error), type(error).__name__, arguments, USER_CAN_FIX)
    except GateRefusedError as error:
        return _failed(str(error), type(error).__name__, arguments, GATE_REFUSED)
    except EquiRouterError as error:
        return _failed(str(error), type(error).__name__, arguments, FAILED)
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except OSError as error:  # files are read and written under errors of our own: this is stdout
        say(f"error: the system refused: {error}")
        return USER_CAN_FIX
    return code if isinstance(code, int) else DONE


def _check_encoding(arguments: Sequence[str]) -> None:
    """Refuse what the shell passed on as bytes that are no text: it can be no query and no name."""
    for argument in arguments:
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"the argument {argument!r} is not valid UTF-8 at character {error.start}; "
                "rename the file, or convert the text with iconv"
            ) from error


def _failed(message: str, kind: str, arguments: Sequence[str], code: int) -> int:
    if "--json" in arguments:
        typer.echo(json.dumps({"error": {"type": kind, "message": message}}))
    say(f"error: {message}")
    return code
