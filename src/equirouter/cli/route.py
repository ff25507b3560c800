"""`equirouter route`: decide."""

import json
import math
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
            metavar="QUERY|-",
            help='The query, or - for JSON lines {"query": ...} on stdin, decisions on stdout; a '
            'line may have an "image", the path of one.',
        ),
    ] = "-",
    image: Annotated[
        str | None, typer.Option(metavar="FILE", help="The query's image, where one is read.")
    ] = None,
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
        if image is not None:
            raise typer.BadParameter(
                'images of a stream are in its lines: {"query": ..., "image": ...}',
                param_hint="--image",
            )
        for line in _decided_lines(loaded, control):
            typer.echo(line)
        return
    decision = loaded.decide(query, image=image, **control)
    if as_json:
        print_json(_as_json(decision))
    else:
        typer.echo(_in_words(decision))


def _decided_lines(loaded: "RoutingPipeline", control: dict[str, Any]) -> Iterator[str]:
    """One JSON line per JSON line of stdin, in order; other fields of a line are kept."""
    from equirouter.errors import DataError

    lines = _read_lines()
    while block := list(islice(lines, BLOCK)):
        images = [line.get("image") for line in block]
        decisions = loaded.decide_many([line["query"] for line in block], images=images, **control)
        for line, decision in zip(block, decisions, strict=True):
            decided = _as_json(decision)
            taken = next((name for name in line if name in decided), None)
            if taken is not None:
                raise DataError(
                    f"stdin: the line of query {line['query'][:40]!r} has a field {taken!r}, which "
                    "the decision would overwrite; rename it"
                )
            yield json.dumps(line | decided, allow_nan=False)


def _read_lines() -> Iterator[dict[str, Any]]:
    from equirouter.errors import DataError

    for number, raw in enumerate(sys.stdin.buffer, start=1):
        if not raw.strip():
            continue
        place = f"stdin, line {number}"
        try:
            line = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse)
        except UnicodeDecodeError as error:
            raise DataError(f"{place}: byte {error.start} is not valid UTF-8") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: not JSON: {error}") from error
        if not isinstance(line, dict) or not isinstance(line.get("query"), str):
            raise DataError(f'{place}: expected {{"query": "..."}}')
        image = line.get("image")
        if image is not None and not isinstance(image, str):
            raise DataError(f"{place}: image is {image!r}; expected the path of a file, or null")
        if not line["query"].strip() and image is None:
            raise DataError(f"{place}: the query is empty; leave the line out or give it a text")
        yield line


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON; write null")


def _as_json(decision: "Decision") -> dict[str, Any]:
    """The decision's fields; JSON has no infinity, so the value is null where nothing limits."""
    value = decision.value if math.isfinite(decision.value) else None
    return asdict(decision) | {"value": value}


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
