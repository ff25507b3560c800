"""`equirouter score`: the answers that were collected, scored: an outcomes table."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli.bars import Bars
from equirouter.cli.common import JsonOption, QuietOption, print_json, say
from equirouter.cli.labels.collect import ConcurrencyOption, LimitOption, estimate_table
from equirouter.errors import ConfigError
from equirouter.words import interval, number_of

if TYPE_CHECKING:
    from equirouter.labelling.estimate import CostEstimate
    from equirouter.labelling.grading import Scored
    from equirouter.labelling.review.correcting import Corrected

CollectionArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="A folder of `equirouter collect`.")
]
WithOption = Annotated[
    list[str],
    typer.Option(
        "--with",
        metavar="GRADER[,...]",
        help="Graders as NAME[:key=value]; the first that knows a score counts: exact, choice, "
        "number, math, regex, json, contains, command, reference, judge, compare, feedback, "
        "agreement, or that of another package. May be given several times.",
    ),
]
JudgeOption = Annotated[
    str | None,
    typer.Option(metavar="MODEL[+...]", help="Who judges or compares: models of the pool."),
]
RubricOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A text that says what a judge looks at.")
]
ReferencesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A table with query_id (or query) and reference, a right answer for each.",
    ),
]
AnswersByOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How final answers are read: number, choice, boxed, json:/path, label, exact.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        metavar="gateway.toml", help="The pool; default: the one that was collected with."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="TABLE", help="A .parquet, .csv or .jsonl file to write."),
]
LabelsOption = Annotated[
    bool, typer.Option("--labels", help="Correct the scores by labels of `equirouter review`.")
]
ChecksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        metavar="CHECK",
        help="A check of every answer, as NAME[:key=value]: json, sql, command, "
        "judge:model=NAME (paid), or that of another package. Its result is the column "
        "signal.NAME. May be given several times.",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Only say what judges would cost; free graders run."),
]


def score(
    folder: CollectionArgument,
    graders: WithOption,
    out: OutOption = None,
    judge: JudgeOption = None,
    rubric: RubricOption = None,
    references: ReferencesOption = None,
    answers_by: AnswersByOption = None,
    labels: LabelsOption = False,
    checks: ChecksOption = None,
    config: ConfigOption = None,
    limit_usd: LimitOption = None,
    dry_run: DryRunOption = False,
    concurrency: ConcurrencyOption = 8,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score the answers of a collection, and write an outcomes table, which `train` reads.

    It first says what judges will cost. Their scores are kept, and not paid for twice.
    """
    from equirouter.labelling.graders.base import split_specs
    from equirouter.labelling.scoring import estimate_score
    from equirouter.labelling.scoring import score as score_answers

    specs = [spec for given in graders for spec in split_specs(given)]
    options: dict[str, Any] = {
        "references": references,
        "answers_by": answers_by,
        "judge": judge,
        "rubric": rubric,
        "checks": checks or (),
        "config": config,
    }
    if dry_run:
        with Bars(quiet=quiet) as bars:
            estimate = estimate_score(folder, specs, **options, progress=bars)
        _say_estimate(estimate, as_json=as_json, quiet=quiet)
        return
    if out is None:
        raise ConfigError("say where the table is written: --out TABLE")

    with Bars(quiet=quiet) as bars:
        scored = score_answers(
            folder,
            specs,
            out,
            **options,
            labels=labels,
            limit_usd=limit_usd,
            concurrency=concurrency,
            progress=bars,
            spending=bars.spent,
            told=(lambda _: None) if as_json or quiet else _tell,
        )
    if as_json:
        print_json({"written": str(out), **_document(scored)})
        return
    typer.echo(_text(scored, out))
    if not quiet:
        _remarks(scored)
        say(f"next: equirouter diagnose {out}; equirouter train {out} --out DIR")


def _tell(estimate: "CostEstimate") -> None:
    if estimate.calls:
        typer.echo(estimate_table(estimate))


def _say_estimate(estimate: "CostEstimate", *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"dry_run": True, "estimate": asdict(estimate)})
        return
    if not estimate.calls:
        typer.echo("no model is to be asked: nothing to pay")
        return
    typer.echo(estimate_table(estimate))
    if not quiet:
        say("next: the same without --dry-run asks; --limit-usd USD bounds what it may cost")


def _document(scored: "Scored") -> dict[str, Any]:
    performance, cost_usd = scored.table.means()
    return {
        "n_queries": scored.table.n_queries,
        "n_complete": int(scored.table.is_complete.sum()),
        "models": {
            model: {
                "performance": _or_null(performance[place]),
                "cost_usd": _or_null(cost_usd[place]),
                **asdict(scored.marks[model]),
            }
            for place, model in enumerate(scored.table.models)
        },
        "scored_by": scored.by,
        "unknown": scored.unknown,
        "length_bias": {by: asdict(slope) for by, slope in scored.length.items()},
        "order_bias": {
            by: {**asdict(first), "same": same} for by, (first, same) in scored.order.items()
        },
        "labels": None if scored.corrected is None else _of_labels(scored.corrected),
        "spent_usd": scored.spent_usd,
        "stopped": scored.stopped,
        "given_up": scored.given_up,
        "constant": scored.constant,
    }


def _of_labels(corrected: "Corrected") -> dict[str, Any]:
    agreement = corrected.correlation
    return {
        "n_queries": corrected.n_queries,
        "n_labels": corrected.n_labels,
        "correlation": None if agreement is None else asdict(agreement),
        "means": {model: asdict(mean) for model, mean in corrected.means.items()},
    }


def _or_null(value: float) -> float | None:
    return None if value != value else float(value)


def _text(scored: "Scored", out: Path) -> str:
    """The table in short: a line per model, the strongest first."""
    table = scored.table
    performance, cost_usd = table.means()
    width = max(map(len, (*table.models, "model")))
    lines = [
        f"{out}: {number_of(table.n_queries, 'query', 'queries')}, "
        f"{_complete(scored)}; scored by "
        + ", ".join(f"{by} ({count})" for by, count in scored.by.items()),
        f"{scored.spent_usd:.6f} USD spent in all",
        f"{'model':{width}}  performance  USD per call  answers  failed  empty  cut  refused",
    ]
    order = sorted(range(table.n_models), key=lambda place: -(performance[place] or 0.0))
    for place in order:
        marks = scored.marks[table.models[place]]
        lines.append(
            f"{table.models[place]:{width}}  {performance[place]:11.3f}  {cost_usd[place]:12.6f}  "
            f"{marks.answers:7}  {marks.failed:6}  {marks.empty:5}  {marks.cut:3}  "
            f"{marks.refused:7}"
        )
    return "\n".join(lines)


def _complete(scored: "Scored") -> str:
    """How many queries have every outcome, as the means are theirs where there are any."""
    n = int(scored.table.is_complete.sum())
    if n == scored.table.n_queries:
        return f"{n} complete"
    return f"{n} complete, of which the means are" if n else "0 complete, so no mean compares"


def _remarks(scored: "Scored") -> None:
    for note, count in scored.unknown.items():
        say(f"note: {number_of(count, 'answer has', 'answers have')} no score: {note}")
    for model in scored.marks:
        if model not in scored.table.models:
            say(
                f"warning: {model} is not in the table, as none of its answers has a score; a "
                "second judge (--judge A+B) grades what the first may not"
            )
    if scored.corrected is not None:
        _say_corrected(scored.corrected)
    _say_bias(scored)
    if scored.stopped is not None:
        say(f"warning: stopped: {scored.stopped}")
    for model, why in scored.given_up.items():
        say(f"warning: {model} was given up: {why}")
    for by, value in scored.constant.items():
        say(
            f"warning: {by} gave every answer {value:g}, from which nothing can be learned; is "
            "it the right grader for these answers?"
        )


def _say_bias(scored: "Scored") -> None:
    """How judges lean, where lengths differ enough to tell."""
    for by, slope in scored.length.items():
        if slope.high - slope.low > 1.0:
            continue  # wider than the scale: lengths hardly differ
        say(
            f"note: {by} gives an answer twice as long as another to the same query "
            f"{slope.mean:+.3f} {interval(slope.low, slope.high, '+.3f')}; some of it may be "
            "deserved"
        )
    for by, (first, same) in scored.order.items():
        say(
            f"note: {by} prefers the answer shown first {first.mean:.1%} of the time "
            f"{interval(first.low, first.high, '.1%')} (fair is 50 %), and judges {same:.0%} of "
            f"{first.n} pairs alike in both orders"
        )


def _say_corrected(corrected: "Corrected") -> None:
    correlation = corrected.correlation
    agree = (
        ""
        if correlation is None
        else f"; scores and labels correlate at {correlation.mean:.2f} "
        f"{interval(correlation.low, correlation.high, '.2f')}"
    )
    labels = number_of(corrected.n_labels, "label")
    queries = number_of(corrected.n_queries, "query", "queries")
    say(f"note: corrected by {labels} on {queries}{agree}")
    for model, mean in corrected.means.items():
        say(f"note: {model}: {mean.mean:.3f} {interval(mean.low, mean.high)} on such queries")
