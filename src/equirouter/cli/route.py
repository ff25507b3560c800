"""`equirouter route`: decide."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli.common import JsonOption, QuietOption, WeightsOption, print_json

if TYPE_CHECKING:
    from equirouter.pipeline import Decision, RoutingPipeline

__all__ = ["route"]

BLOCK = 256  # lines decided together: enough to encode efficiently, few enough to see results flow


def route(
    pipeline: Annotated[Path, typer.Argument(metavar="DIR", help="A folder from `train`.")],
    query: Annotated[
        str,
        typer.Argument(
            metavar="[QUERY|-]",
            help='The query, or - for JSON lines {"query": ...} on stdin, decisions on stdout.',
        ),
    ] = "-",
    budget: Annotated[
        float | None, typer.Option(metavar="USD", help="Most that one call may cost.")
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of the strongest model's performance, such as 0.98."),
    ] = None,
    lambda_: Annotated[
        float | None,
        typer.Option("--lambda", metavar="X", help="Performance that one USD must buy."),
    ] = None,
    weights: WeightsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001  # every command has it; a decision is the result
) -> None:
    """Decide which model should answer a query, or every query of a stream."""
    from equirouter.pipeline import RoutingPipeline

    loaded = RoutingPipeline.load(pipeline, weights=weights)
    control = {"budget_usd": budget, "quality": quality, "lambda_": lambda_}
    loaded.policy_for(**control)  # a wrong control is said before anything is read
    if query == "-":
        for line in _decided_lines(loaded, control):
            typer.echo(line)
        return
    decision = loaded.decide(query, **control)
    if as_json:
        print_json(asdict(decision))
    else:
        typer.echo(_in_words(decision))


def _decided_lines(loaded: "RoutingPipeline", control: dict[str, Any]) -> Iterator[str]:
    """One JSON line per JSON line of stdin, in order; other fields of a line are kept."""
    lines = _read_lines()
    while block := list(islice(lines, BLOCK)):
        decisions = loaded.decide_many([line["query"] for line in block], **control)
        for line, decision in zip(block, decisions, strict=True):
            yield json.dumps({**line, **asdict(decision)}, allow_nan=False)


def _read_lines() -> Iterator[dict[str, Any]]:
    from equirouter.errors import DataError

    for number, raw in enumerate(sys.stdin.buffer, start=1):
        if not raw.strip():
            continue
        try:
            line = json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"stdin, line {number}: not valid UTF-8 ({error.reason})") from error
        except json.JSONDecodeError as error:
            raise DataError(f"stdin, line {number}: not JSON ({error.msg})") from error
        if not isinstance(line, dict) or not isinstance(line.get("query"), str):
            raise DataError(f'stdin, line {number}: expected {{"query": "..."}}')
        if not line["query"].strip():
            raise DataError(f"stdin, line {number}: the query is empty")
        yield line


def _in_words(decision: "Decision") -> str:
    if decision.model is None:
        return f"no model: nothing fits {decision.setting} {decision.value:g}"
    remark = "" if decision.fits else f"  (over {decision.setting} {decision.value:g}: cheapest)"
    fallbacks = ", ".join(decision.fallbacks[:3]) or "none"
    return (
        f"{decision.model}{remark}\n"
        f"predicted cost: {decision.predicted_cost_usd:.6f} USD, "
        f"{decision.setting} {decision.value:.6g}; next: {fallbacks}"
    )
