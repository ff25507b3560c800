"""`equirouter log`: what the gateway logged."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json, say
from equirouter.cli.gateway.keys import ConfigArgument, with_store
from equirouter.cli.gateway.retrain import limit_process
from equirouter.words import number_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from equirouter.serve.money.log_export import Exported

app = typer.Typer(help="Use what the gateway logged.", rich_markup_mode=None)


@app.callback()
def _log() -> None:
    """Use what the gateway logged."""


SinceOption = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Requests from then on, such as 2027-01-31, in UTC."),
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="DATE", help="Requests before then, in UTC.")
]


@app.command()
def requests(
    config: ConfigArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="The file to write.")],
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the requests of the log, a JSON object per line, which `equirouter data import` reads.

    Each has its conversation, answer, tokens, cost, time and feedback: what `collect` needs
    to ask other models the same. The texts are there only if the gateway ran with log_texts = true.
    """
    from equirouter.output import atomic_write
    from equirouter.serve.money.request_lines import request_lines

    begin, end = _span(since, until)

    def work(connection: "Connection", _: object) -> int:
        written = 0
        with atomic_write(out) as stream:
            for line in request_lines(connection, since=begin, until=end):
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                written += 1
        return written

    written = with_store(config, work, writes=False)
    if as_json:
        print_json({"written": str(out), "requests": written})
    elif not quiet:
        typer.echo(f"{out}: {number_of(written, 'request')}")


@app.command()
def export(
    config: ConfigArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .parquet, .csv or .jsonl file to write.")
    ],
    since: SinceOption = None,
    until: UntilOption = None,
    scope: Annotated[
        Literal["last_user", "conversation", "first_user"] | None,
        typer.Option(
            help="Which part of a conversation is the query; default: as the gateway routes."
        ),
    ] = None,
    unrated: Annotated[
        bool, typer.Option("--unrated", help="Include requests without feedback, for their costs.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the log as an outcomes table, which `equirouter train` and `bench` read.

    A row per text that was asked, a column per model that answered: performance is the feedback
    that users gave, averaged, and cost what the calls cost. Where the gateway explored, propensity
    is how likely the model was to answer, which `pipeline compare` reads. The texts are there only
    if the gateway ran with log_texts = true.
    """
    from equirouter.data.tables import write_table
    from equirouter.serve.money.log_export import export_log

    begin, end = _span(since, until)
    exported = with_store(
        config,
        lambda connection, settings: export_log(
            connection,
            since=begin,
            until=end,
            scope=settings.pipeline.scope if scope is None else scope,
            window_turns=settings.pipeline.window_turns,
            unrated=unrated,
        ),
        writes=False,
    )
    write_table(exported.table, out)
    if as_json:
        print_json({"written": str(out), **_counts(exported)})
    elif not quiet:
        _tell(exported, out, unrated=unrated)


@app.command()
def score(config: ConfigArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Score the answers of shadows, and of the clients behind them, by the graders of shadow.score.

    The gateway does so by itself every few minutes; no answer is scored twice. `log export` has the
    scores as performance, and who gave them as scored_by.
    """
    from equirouter.serve.settings_file import read_settings

    settings = read_settings(config)
    limit_process(settings.retrain)
    from equirouter.labelling.log_scoring import score_log

    scored = score_log(config, settings)
    if as_json:
        print_json(asdict(scored))
    elif not quiet:
        typer.echo(
            f"{scored.scored} of {number_of(scored.answers, 'answer')} have a score now, for "
            f"{scored.spent_usd:.6f} USD"
        )
        for note, n in (scored.unknown or {}).items():
            say(f"note: {number_of(n, 'answer')} without a score: {note}")
        if scored.stopped is not None:
            say(f"note: the others wait: {scored.stopped}")


def _counts(exported: "Exported") -> dict[str, int]:
    return {
        "n_queries": exported.table.n_queries,
        "n_models": exported.table.n_models,
        "n_complete": exported.complete,
        "n_explored": exported.explored,
        "requests": exported.used,
        "rated": exported.rated,
        "unrated": exported.unrated,
        "without_text": exported.without_text,
    }


def _tell(exported: "Exported", out: Path, *, unrated: bool) -> None:
    """Say what was written, and what was left out and why."""
    from equirouter.training.floor import floor_of

    typer.echo(
        f"{out}: {number_of(exported.table.n_queries, 'query', 'queries')}, "
        f"{number_of(exported.table.n_models, 'model')}, from {number_of(exported.used, 'request')}"
    )
    if exported.without_text:
        left_out = number_of(exported.without_text, "request was", "requests were")
        say(f"note: {left_out} left out: logged without texts")
    if exported.unrated and not unrated:
        left_out = number_of(exported.unrated, "request was", "requests were")
        say(f"note: {left_out} left out: nobody gave feedback")
    if exported.explored:
        explored = number_of(exported.explored, "query has", "queries have")
        say(
            f"note: {explored} the propensity of their outcomes: `equirouter pipeline compare` "
            "estimates from them what a version is worth, without complete queries"
        )
    needed = floor_of(0.98)
    if exported.complete < needed:
        say(
            f"note: {number_of(exported.complete, 'query has', 'queries have')} an outcome of "
            f"every model; a promise of quality 0.98 needs {needed} of them. Send some queries to "
            "each model by its name, and rate them"
        )


def _span(since: str | None, until: str | None) -> tuple[float, float]:
    """Unix seconds of both ends: of all time where none is given."""
    begin = 0.0 if since is None else _seconds(since, "--since")
    return begin, 2.0**40 if until is None else _seconds(until, "--until")


def _seconds(date: str, option: str) -> float:
    """Unix seconds of a date or a time, in UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise typer.BadParameter(
            f"{date!r}: expected a date such as 2027-01-31, or 2027-01-31T12:00", param_hint=option
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
