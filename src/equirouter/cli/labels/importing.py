"""`equirouter data import`: logs of requests in, one table of queries out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from equirouter.cli import common
from equirouter.cli.bars import Bars
from equirouter.registry import LOG_FORMATS
from equirouter.words import number_of

if TYPE_CHECKING:
    from equirouter.labelling.intake.importing import ImportReport

LogsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="LOG...", help="Files and folders, also compressed (.gz, .zst)."),
]
OutOption = Annotated[
    Path, typer.Option(metavar="FILE.parquet", help="The table of queries to write.")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="The format of all files, if the first records do not tell it: "
        f"{', '.join(LOG_FORMATS.builtin)}, or that of another package.",
    ),
]
SampleOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Write N queries that look like the whole: drawn in proportion to their requests "
        "over tasks and clusters of texts, each with the requests that it stands for.",
    ),
]
RedactOption = Annotated[
    bool,
    typer.Option(
        "--redact",
        help="Replace e-mail addresses, phone, card and IBAN numbers and keys, and names where "
        "a spaCy model is installed (extra redact).",
    ),
]
ScopeOption = Annotated[
    Literal["last_user", "conversation", "first_user"],
    typer.Option(help="Which part of a conversation is routed on, as in gateway.toml."),
]
TurnsOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Messages of scope conversation.")
]
SeedOption = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the sample.")]


def import_(
    logs: LogsArgument,
    out: OutOption,
    format_name: FormatOption = None,
    sample: SampleOption = None,
    redact: RedactOption = False,
    scope: ScopeOption = "last_user",
    window_turns: TurnsOption = 8,
    seed: SeedOption = 42,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Read logs of requests and write what was asked as a table of queries.

    The format is told from the content: chat-format JSON lines, OpenAI batches and stored
    completions, LiteLLM, Langfuse, Helicone, OpenTelemetry, ShareGPT, a table with a column of
    prompts, a folder of text files, this gateway's own log. Requests of the same words, and
    long ones that differ in a few, are one query with a count. Kept: conversation, model, answer,
    tokens, cost, time, feedback.
    """
    from equirouter.labelling.intake.importing import import_log

    with Bars(quiet=quiet) as progress:
        report = import_log(
            logs,
            out,
            format_name=format_name,
            sample=sample,
            redact=redact,
            scope=scope,
            window_turns=window_turns,
            seed=seed,
            progress=progress,
        )
    if as_json:
        common.print_json(
            {
                "written": str(out),
                "n_written": report.n_written,
                "redacted": report.redacted,
                "log": report.summary.document(),
            }
        )
    elif not quiet:
        _tell(report, out)


def _tell(report: "ImportReport", out: Path) -> None:
    typer.echo("\n".join(report.summary.lines()))
    common.say_each("note", report.hints)
    if report.redacted is None:
        common.say("note: texts are written as they are; --redact replaces personal data")
    else:
        typer.echo(report.redacted)
    drawn = "" if report.n_written == report.summary.n_queries else ", a sample with weights"
    typer.echo(f"{out}: {number_of(report.n_written, 'query', 'queries')}{drawn}")
    common.say(f"next: equirouter collect gateway.toml {out} --out DIR --dry-run")
