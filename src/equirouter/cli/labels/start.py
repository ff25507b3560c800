"""`equirouter start`: a pipeline without any label."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equirouter.cli.common import JsonOption, QuietOption, print_json, say_each
from equirouter.cli.labels.collect import ConfigArgument
from equirouter.words import in_columns

if TYPE_CHECKING:
    from equirouter.labelling.starting import Started


def start(
    config: ConfigArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pipeline is saved.")],
    answers_by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How final answers are read, so that two can be compared: number, choice, boxed, "
            "json:/path, label, exact.",
        ),
    ] = None,
    strongest: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Asked where the two differ; default: by public level."),
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Default: the cheapest two of different families."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Save a pipeline that needs no outcomes: two cheap models, the strongest where they differ.

    It is for answers that can be compared: a number, a letter, a label, a value of JSON.
    """
    from equirouter.errors import ConfigError
    from equirouter.labelling.starting import start as start_pipeline
    from equirouter.pipeline.versions import PipelineVersions

    if answers_by is None:
        raise ConfigError(
            "say how final answers are read (--answers-by number, choice, boxed, json:/path, label "
            "or exact). Free text cannot be compared: for that collect answers to some 200 queries "
            "(equirouter collect), score them with a judge (equirouter score --with judge), check "
            "some by hand (equirouter review), and train"
        )
    versions = PipelineVersions(out)
    if not versions.is_empty:
        raise ConfigError(f"{out}: a pipeline is there already, this makes a first: name another")
    names = None if pair is None else [name.strip() for name in pair.split(",")]
    started = start_pipeline(config, answers_by=answers_by, strongest=strongest, pair=names)
    versions.promote(versions.add(started.pipeline, how="start"), over=None, how="start")
    if as_json:
        print_json(
            {
                "pipeline": str(out),
                "pair": started.pair,
                "families": started.families,
                "strongest": started.strongest,
                "public_level": started.level,
                "answers_by": started.answers_by,
                "call_usd": dict(started.call_usd),
                "break_even": started.break_even,
                "notes": started.notes,
            }
        )
        return
    typer.echo(_text(started, out))
    say_each("note", started.notes, quiet=quiet)


def _text(started: "Started", folder: Path) -> str:
    from equirouter.labelling.starting import measure

    first, second = started.pair
    families = " and ".join(dict.fromkeys(started.families))
    why = "as you said" if started.level is None else f"{started.level:g} on {measure()}"
    lines = {
        "saved": f"to {folder}",
        "does": f"each query goes to {first} and {second} ({families}); where their answers, read "
        f"by {started.answers_by}, are equal, that is served; else {started.strongest} ({why}) "
        "answers",
        "known": f"by price the pair costs {started.break_even:.0%} of {started.strongest}, so "
        f"money is saved where they agree on more than {started.break_even:.0%} of the queries",
        "not known": "how often they agree on your queries, and how often they are then right. On "
        "two published sets of questions such a rule kept the strongest model's quality for half "
        "to two thirds of its cost; measure it on yours: collect, score, train",
        "serve it": f'[pipeline] path = "{folder}" in gateway.toml, and [cascade] enabled = true',
    }
    return "\n".join(in_columns(name, text, 9) for name, text in lines.items())
