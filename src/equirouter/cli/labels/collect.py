"""`equirouter collect`: every model of the pool answers every query."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equirouter.cli.bars import Bars
from equirouter.cli.common import JsonOption, QuietOption, print_json, say
from equirouter.errors import ConfigError
from equirouter.words import aligned, in_columns, number_of

if TYPE_CHECKING:
    from equirouter.labelling.collecting import Collected
    from equirouter.labelling.estimate import CostEstimate

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="gateway.toml", help="The gateway's settings, with its pool.")
]
LimitOption = Annotated[
    float | None,
    typer.Option(
        metavar="USD",
        help="The most that the folder may cost in all: no call starts that could exceed it. "
        "Default: no limit.",
    ),
]


QueriesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="QUERIES",
        help="A table of queries, from `equirouter data import` or any with a column query.",
    ),
]
PoolOption = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="A,B,...", help="Only these models of the pool; default: all that chat."
    ),
]
SameOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LOGGED=POOL",
        help="A model's name in the log, and its name in the pool: its answers there count. May be "
        "given several times.",
    ),
]
ConcurrencyOption = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="The most calls to a provider at once, unless its settings say otherwise.",
    ),
]


_CTRL_C = "interrupted"


def collect(
    config: ConfigArgument,
    queries: QueriesArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where answers are kept.")],
    limit_usd: LimitOption = None,
    models: PoolOption = None,
    same: SameOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would cost.")
    ] = False,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            help="Ask in batches, and wait for them, where a provider's settings have "
            "batch_price_factor: cheaper, and up to a day later.",
        ),
    ] = False,
    concurrency: ConcurrencyOption = 8,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ask every model of a gateway's pool every query that lacks its answer.

    It first says what that will cost. It can be stopped and started again: no answer is
    paid for twice.
    """
    from equirouter.labelling.collecting import collect as collect_answers

    def told(estimate: "CostEstimate") -> None:
        if not as_json and not quiet:
            typer.echo(estimate_table(estimate))

    with Bars(quiet=quiet) as bars:
        done = collect_answers(
            config,
            queries,
            out,
            limit_usd=limit_usd,
            models=None if models is None else [name.strip() for name in models.split(",")],
            same=_pairs(same or ()),
            dry_run=dry_run,
            batch=batch,
            concurrency=concurrency,
            progress=bars,
            spending=bars.spent,
            told=told,
        )
    _say(done, out, as_json=as_json, quiet=quiet, dry_run=dry_run)
    if done.stopped == _CTRL_C:
        raise KeyboardInterrupt


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    for logged, sign, known in pairs:
        if not (logged and sign and known):
            raise ConfigError(f"--same {logged}{sign}{known}: expected LOGGED=POOL, two names")
    return {logged.strip(): known.strip() for logged, _, known in pairs}


def _say(done: "Collected", out: Path, *, as_json: bool, quiet: bool, dry_run: bool) -> None:
    if not quiet:
        _say_notes(done)
    if as_json:
        print_json({"out": str(out), "dry_run": dry_run, **asdict(done)})
        return
    if dry_run:
        if not quiet and done.estimate.calls:
            say("next: the same without --dry-run asks; --limit-usd USD bounds what it may cost")
        return
    typer.echo(
        f"{out}: {number_of(done.answered, 'new answer')}, {done.failed} failed, {done.missing} "
        f"missing; {done.spent_usd:.6f} USD spent in all"
    )
    for model, why in done.given_up.items():
        say(f"warning: {model} was given up: {why}")
    if done.waiting:
        say(
            f"note: {number_of(done.waiting, 'answer')} to come in batches, which go on at the "
            "provider; the same command with --batch waits for them"
        )
    if done.stopped is not None:
        say(f"stopped: {done.stopped}" + "; the same command goes on" * (done.stopped == _CTRL_C))
    elif done.missing and not quiet:
        say("next: the same command asks again for what failed")
    elif not quiet and not done.waiting:
        say(f"next: equirouter score {out} --with GRADER --out TABLE")


def _say_notes(done: "Collected") -> None:
    """Calls that were lost, and models of the log that are not in the pool: what counts them."""
    if done.lost:
        say(
            f"note: an earlier run was killed with {number_of(done.lost, 'call')} on the way; they "
            f"count as the most that they may have cost, {done.lost_usd:.6f} USD"
        )
    for other in done.other_names:
        answers = number_of(other.answers, "answer")
        if not other.likely:
            say(f"note: {answers} in the log, of {other.name}: not in the pool, and not counted")
            continue
        say(
            f"note: {answers} in the log, of {other.name}, which may be "
            f"{' or '.join(other.likely)}: not counted; if it is the same model, add "
            f"--same '{other.name}={other.likely[0]}'"
        )


def estimate_table(estimate: "CostEstimate") -> str:
    """The estimate as lines of text, a model each, the most expensive first."""
    there = f"{number_of(estimate.there, 'answer')} there already"
    impossible = int(estimate.total("impossible"))
    cannot = [f"{impossible} that a model cannot take, and is not asked"] if impossible else []
    if not estimate.calls:
        return "\n".join(["nothing to ask", there, *cannot])
    usd, low, high, most = map(estimate.total, ("usd", "low_usd", "high_usd", "most_usd"))
    total = ("all", estimate.calls, int(estimate.total("input_tokens")),
             int(estimate.total("output_tokens")), usd, most)  # fmt: skip
    rows = [
        (row.model, row.calls, row.input_tokens, row.output_tokens, row.usd, row.most_usd)
        for row in sorted(estimate.models, key=lambda row: -row.usd)
    ]
    cells: list[tuple[str, ...]] = [
        ("model", "calls", "tokens in", "tokens out", "USD", "at most USD")
    ]
    cells += [
        (name, *(f"{count:,}" for count in counts), f"{usual:,.4f}", f"{bound:,.4f}")
        for name, *counts, usual, bound in [*rows, total]
    ]
    lines = aligned(cells)
    lines.append(f"likely {low:,.4f} to {high:,.4f} USD, and {most:,.4f} at the very most")
    lines += [there] if estimate.there else []
    lines += _batches(estimate)
    return "\n".join([*lines, *cannot, *_lengths(estimate)])


def _batches(estimate: "CostEstimate") -> list[str]:
    """The models asked in batches, and at which price."""
    models_at: dict[float, list[str]] = {}
    for row in estimate.models:
        if row.batch_price_factor is not None and row.calls:
            models_at.setdefault(row.batch_price_factor, []).append(row.model)
    return [
        in_columns("batches", f"at {factor:g} of the price, within a day: {', '.join(models)}", 7)
        for factor, models in models_at.items()
    ]


def _lengths(estimate: "CostEstimate") -> list[str]:
    """Where the lengths of answers come from, of the models that are asked."""
    says = {
        "measured": "of their own answers",
        "log": "as the model in the log wrote, and half to twice of it; models that reason first "
        "write more",
        "unknown": "nothing says how long answers are; collect a few queries first",
        "grades": "of what such calls came to so far",
        "prompt": "of two sentences and a score; models that reason write more",
    }
    models_of: dict[str, list[str]] = {}
    for row in estimate.models:
        if row.calls:
            models_of.setdefault(row.by, []).append(row.model)
    of = {by: f" ({', '.join(models)})" for by, models in models_of.items() if len(models_of) > 1}
    return [in_columns("lengths", f"{by}{of.get(by, '')}: {says[by]}", 7) for by in models_of]
