"""`equirouter pipeline`: the versions of a pipeline, and which of them is current."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equirouter.cli import common
from equirouter.words import aligned, interval

OFF_POLICY = {"dr": "doubly robust", "snips": "self-normalised IPS", "ips": "IPS"}

if TYPE_CHECKING:
    from equirouter.evaluation.off_policy.comparing import LoggedComparison
    from equirouter.evaluation.promotion.comparison import Comparison, Paired
    from equirouter.pipeline.evidence import DescribedVersion
    from equirouter.pipeline.versions import Event, PipelineVersions

app = typer.Typer(
    help="List, show and compare the versions of a pipeline, and make one of them current.",
    rich_markup_mode=None,
)

DirArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder with the versions of a pipeline.")
]
VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="A version, as `pipeline list` has it.")
]
SomeVersionArgument = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="A version; default: the current one.")
]


@app.command("list")
def list_(
    folder: DirArgument,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,  # noqa: ARG001
) -> None:
    """List the versions: when and how each was made, its data and its figures."""
    from equirouter.pipeline.evidence import described_version

    versions = _opened(folder)
    rows = [described_version(versions, name) for name in versions.names]
    if as_json:
        documents = [row.document() for row in rows]
        common.print_json({"current": versions.current, "versions": documents})
        return
    header = ("version", "made", "how", "data", "queries", "kept", "cost")
    typer.echo("\n".join(aligned([header, *map(_cells, rows)], numbers=False)))
    if versions.current is not None and versions.current not in versions.names:
        common.say(
            f"warning: the current version is {versions.current}, which is not there: copy it "
            f"there again, or `equirouter pipeline promote {folder} VERSION`"
        )


@app.command()
def show(
    folder: DirArgument,
    version: SomeVersionArgument = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,  # noqa: ARG001
) -> None:
    """Show a version: what its promise rests on, and all that happened to it."""
    from equirouter.pipeline.evidence import described_version

    versions = _opened(folder)
    name = version or versions.path().name
    document = described_version(versions, name).document()
    events = [event for event in versions.history if name in (event.version, event.over)]
    if as_json:
        common.print_json(
            {**document, "history": [event.model_dump(mode="json") for event in events]}
        )
        return
    for key, value in document.items():
        if value is not None:
            typer.echo(f"{_LABELS.get(key, key):20}{_shown(value)}")
    typer.echo("history")
    for event in events:
        typer.echo(f"  {_said(event)}")


@app.command()
def compare(
    folder: DirArgument,
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="Outcomes, such as of recent queries.")
    ],
    version: SomeVersionArgument = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The version to compare it with; default: the current one."
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="The difference that does not matter, as a share of the strongest model's "
            "quality and cost.",
        ),
    ] = 0.02,
    encoder_option: common.EncoderSettingOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,  # noqa: ARG001
) -> None:
    """Compare a version, the latest by default, with the current one, query by query.

    Only queries with the outcomes of all models count that neither version has learned from. What
    the gate would say is the last line; the exit code is 0 either way. A log of a gateway that
    explores is read off-policy: from an outcome per query and its propensity.
    """
    from equirouter.data import load_dataset
    from equirouter.data.logged import is_estimated
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.errors import DataError
    from equirouter.evaluation.off_policy.comparing import compare_from_log
    from equirouter.evaluation.promotion.comparison import compare as compared
    from equirouter.evaluation.promotion.gate import Gate
    from equirouter.evaluation.promotion.retrain import new_queries

    versions, gate, outcomes = _opened(folder), Gate(margin), load_dataset(table)
    names = _two(versions, against, version)
    pair = [common.load_pipeline(versions.path(name), encoder_option) for name in names]
    new = new_queries(outcomes, *pair)
    if not len(new):
        raise DataError(
            f"{table}: no query that is new to both versions has the outcomes of all models, or "
            "the chances of all ([explore] share): give a table with others, such as recent ones"
        )
    rows, cache = outcomes.take(new), EmbeddingCache()
    first, second = pair
    logged = compare_from_log(first, second, rows, cache=cache) if is_estimated(rows) else None
    comparison = compared(first, second, rows, cache=cache)
    verdict = gate.judge(comparison)
    if as_json:
        estimates = None if logged is None else logged.document()
        names_of = {"champion": names[0], "challenger": names[1], "estimates": estimates}
        common.print_json(
            {**names_of, **comparison.document(), "objections": list(verdict.objections)}
        )
        return
    if logged is not None:
        _tell_logged(logged, names)
    print_comparison(comparison, names)
    typer.echo(f"gate: {verdict.why or 'passes'}")


@app.command()
def promote(
    folder: DirArgument,
    version: VersionArgument,
    force: Annotated[
        bool,
        typer.Option("--force", help="Even if it was refused, or has too little evidence."),
    ] = False,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Make a version current; a gateway that serves the folder takes it within seconds.

    A version that the gate refused, or that was rolled back as a canary, stays as it is (exit code
    3), and so does one whose evidence is far below that of the current one: one promised on less
    than a tenth of the queries, or shown to keep less quality.
    """
    from equirouter.errors import GateRefusedError
    from equirouter.pipeline.evidence import Evidence, stored_evidence
    from equirouter.pipeline.folder import read_folder

    versions = _opened(folder)
    path, before = versions.path(version), versions.current
    read_folder(path)  # whole, or it could not be served
    served = None if before is None else stored_evidence(versions, before)
    lack = None if isinstance(served, str | None) else Evidence.stored(path).far_below(served)
    refused = versions.refusal(version)
    why = "; ".join(reason for reason in (_refused(refused), lack) if reason is not None)
    if why and not force:
        raise GateRefusedError(
            f"{version} is not made current: {why}; `equirouter pipeline compare {folder} TABLE "
            f"{version}` tells which is better, and --force makes it current anyway"
        )
    versions.promote(version, over=before, how="pipeline promote", forced=force, why=why)
    _tell_current(folder, version, before, as_json=as_json, quiet=quiet)


def _refused(event: "Event | None") -> str | None:
    """Why a version was refused, by whom and in favour of which."""
    if event is None:
        return None
    over = "" if event.over is None else f" in favour of {event.over}"
    return f"it was refused by {event.how} on {event.at:%Y-%m-%d}{over}, because {event.why}"


@app.command()
def rollback(
    folder: DirArgument, as_json: common.JsonOption = False, quiet: common.QuietOption = False
) -> None:
    """Make the version current again that was current before."""
    from equirouter.pipeline.folder import read_folder

    versions = _opened(folder)
    read_folder(versions.previous())  # whole, or it could not be served
    now, before = versions.roll_back(how="pipeline rollback")
    _tell_current(folder, now, before, as_json=as_json, quiet=quiet)


def print_comparison(comparison: "Comparison", names: tuple[str, str]) -> None:
    """The paired figures as a table. names: of champion and challenger."""

    def line(what: str, paired: "Paired") -> tuple[str, ...]:
        figures = (paired.champion, paired.challenger, paired.difference, paired.low, paired.high)
        first, second, difference, low, high = (f"{figure:.3f}" for figure in figures)
        return what, first, second, difference, f"{low} to {high}"

    typer.echo(
        f"{comparison.n_queries} queries that are new to both, "
        f"worth {comparison.n_effective:.0f} different ones; "
        f"{comparison.same:.1%} go to the same model; shares of always {comparison.strongest}"
    )
    rows = [line("quality", comparison.quality), line("cost", comparison.cost)]
    rows += [line(f"quality, {task}", paired) for task, paired in comparison.tasks.items()]
    if comparison.decision_ms is not None:
        rows.append(line("ms per decision", comparison.decision_ms))
    head = ("", *names, "difference", "95 % interval")
    typer.echo("\n".join(aligned([head, *rows], numbers=False)))
    for name, kept, promised in zip(names, comparison.kept, comparison.promised, strict=True):
        typer.echo(f"{name} promises {promised:g}, keeps {interval(kept.low, kept.high)}")


def _tell_logged(comparison: "LoggedComparison", names: tuple[str, str]) -> None:
    """The estimates three ways, as a table."""
    first, second = comparison.values
    left_out = f", {comparison.n_left_out} left out" if comparison.n_left_out else ""
    typer.echo(
        "off-policy: few queries have the outcomes of all models, so both are estimated from an "
        f"outcome per query and its propensity\n{comparison.n_queries} queries that are new to both"
        f"{left_out}; the outcomes of their choices are known as if on "
        f"{first.n_effective:.0f} and {second.n_effective:.0f} of equal weight; "
        f"{comparison.same:.1%} go to the same model"
    )
    rows: list[tuple[str, ...]] = [("", *names, "difference", "95 % interval")]
    for what, form in (("performance", ".3f"), ("cost_usd", ".6f")):
        for method, title in OFF_POLICY.items():
            pair = [getattr(estimates, what)[method] for estimates in (first, second)]
            cells = [
                f"{estimates.value:{form}} {interval(estimates.low, estimates.high, form)}"
                for estimates in pair
            ]
            less = getattr(comparison, what)
            paired = (f"{less.value:+{form}}", interval(less.low, less.high, f"+{form}"))
            rows.append((f"{what}, {title}", *cells, *(paired if method == "dr" else ("", ""))))
    typer.echo("\n".join(aligned(rows, numbers=False)))


def _opened(folder: Path) -> "PipelineVersions":
    """The versions in a folder. Raises PipelineError where there are none."""
    from equirouter.errors import PipelineError
    from equirouter.pipeline.versions import PipelineVersions

    versions = PipelineVersions(folder)
    if not versions.names:
        raise PipelineError(
            f"{folder}: no versions of a pipeline there; `equirouter train DATASET --out {folder}` "
            "makes the first"
        )
    return versions


def _two(versions: "PipelineVersions", against: str | None, version: str | None) -> tuple[str, str]:
    """The two to compare: the current one and the latest by default. Raises ConfigError."""
    from equirouter.errors import ConfigError

    names = (against or versions.path().name, version or versions.names[-1])
    if names[0] == names[1]:
        raise ConfigError(
            f"{versions.folder}: {names[0]} would be compared with itself; name another version, "
            f"or one with --against: there are {', '.join(versions.names)}"
        )
    return names


def _tell_current(
    folder: Path, now: str, before: str | None, *, as_json: bool, quiet: bool
) -> None:
    if as_json:
        common.print_json({"pipeline": str(folder), "current": now, "before": before})
    elif not quiet:
        typer.echo(f"{folder}: {now} is current" + (f", it was {before}" if before else ""))


def _cells(row: "DescribedVersion") -> tuple[str, ...]:
    marks = [mark for mark in ("current", "canary", "damaged", "refused") if getattr(row, mark)][:2]
    made = (
        " ".join([row.version, *marks]),
        "?" if row.made_at is None else f"{row.made_at:%Y-%m-%d %H:%M}",
        row.how or "?",
    )
    evidence = row.evidence
    if evidence is None:
        return (*made, "?", "?", "", "?")
    cost = evidence.expected_cost if evidence.cost is None else evidence.cost
    return (
        *made,
        evidence.data or "?",
        _shown(evidence.n_queries),
        "" if evidence.kept is None else f"{evidence.kept:.3f}",
        f"{cost:.1%}",
    )


_LABELS = {
    "made_at": "made at",
    "made_by": "made by",
    "n_rows": "queries in it",
    "quality": "promised quality",
    "n_queries": "promise rests on",
    "expected_cost": "expected cost",
    "n_tested": "tested on",
    "kept": "quality kept",
    "interval": "95 % interval",
    "cost": "cost in the test",
}
"""What `show` calls the fields; costs and qualities are shares of the strongest model's."""


def _said(event: "Event") -> str:
    moved = "" if event.over is None else f" (current before: {event.over})"
    why = f": {event.why}" if event.why else ""
    did = f"{event.version} {event.did} by {event.by}, {event.how}"
    return f"{event.at:%Y-%m-%d %H:%M} {did}{moved}{why}"


def _shown(value: object) -> str:
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return interval(*value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
