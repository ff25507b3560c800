"""`equirouter route`: decide."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli.common import (
    EncoderSettingOption,
    FactsOption,
    JsonOption,
    QuietOption,
    WeightsOption,
    load_pipeline,
    print_json,
    say,
)
from equirouter.words import number_of

if TYPE_CHECKING:
    from equirouter.pipeline.decision import Ask, Decision
    from equirouter.pipeline.pipeline import RoutingPipeline
    from equirouter.policy import Control, Needs
    from equirouter.policy.pacer import Pacer

__all__ = ["route"]

BLOCK = 256  # lines decided together: enough to encode efficiently, few enough to see results flow


QueryArgument = Annotated[
    str,
    typer.Argument(
        metavar="QUERY|-",
        help='The query, or - for JSON lines {"query": ...} on stdin, decisions on stdout; a line '
        'may have an "image", the path of one, and constraints of its own: "exclude", "needs" and '
        '"region", lists of names, and "context_tokens".',
    ),
]
ImageOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="An image that belongs to the query, for encoders that read images."
    ),
]
BudgetOption = Annotated[
    float | None,
    typer.Option(
        "--predicted-cost",
        "--budget",
        metavar="USD",
        help="Most that one call may cost, by prediction. The gateway's budget limits what it "
        "can cost at most.",
    ),
]
QualityOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Share of the strongest model's performance to reach, such as 0.98."
    ),
]
PerformanceOption = Annotated[
    float | None, typer.Option(metavar="X", help="Mean performance to reach, such as 0.8.")
]
LambdaOption = Annotated[
    float | None,
    typer.Option("--lambda", metavar="X", help="Performance that one USD must buy."),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="How surely the quality or performance is kept, 0.5 to below 1; default: as trained.",
    ),
]
SpendOption = Annotated[
    float | None,
    typer.Option(metavar="USD", help="Mean cost of a query of the stream, by predicted costs."),
]
CapOption = Annotated[
    float | None,
    typer.Option(metavar="USD", help="Most that the whole stream may cost, with --spend."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B,...", help="Models that must not answer; may be repeated."),
]
NeedsOption = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B,...", help="What the model must have: vision, tools, json."),
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B,...", help="The only regions that the data may go to, such as eu."),
]
ContextOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Tokens that the model must hold, the answer included."),
]


def route(
    pipeline: Annotated[Path, typer.Argument(metavar="DIR", help="A folder from `train`.")],
    query: QueryArgument = "-",
    image: ImageOption = None,
    budget: BudgetOption = None,
    quality: QualityOption = None,
    performance: PerformanceOption = None,
    lambda_: LambdaOption = None,
    confidence: ConfidenceOption = None,
    spend: SpendOption = None,
    cap: CapOption = None,
    exclude: ExcludeOption = None,
    needs: NeedsOption = None,
    region: RegionOption = None,
    context_tokens: ContextOption = None,
    model_facts: FactsOption = None,
    encoder_option: EncoderSettingOption = None,
    weights: WeightsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Decide which model should answer a query, or every query of a stream."""
    from equirouter.pipeline.decision import Ask
    from equirouter.policy import Control, read_model_facts, removed_by

    control = Control(budget, quality, performance, lambda_, confidence)
    constraints = _needs(exclude, needs, region, context_tokens)
    loaded = load_pipeline(pipeline, encoder_option, weights)
    if model_facts is not None:
        known = read_model_facts(model_facts, loaded.models)
        loaded.model_facts = {**loaded.model_facts, **known}
    loaded.policy_for(control)  # a wrong control or constraint is said before anything is read
    removed_by(constraints, loaded.models, loaded.model_facts)
    _check_stream(query, image, spend, cap)
    if query == "-":
        pacer = None if spend is None else loaded.pacer(spend, cap_usd=cap or math.inf)
        for line in _decided_lines(loaded, control, constraints, pacer):
            typer.echo(line)
        if pacer is not None and not quiet:
            _say_spent(pacer)
        return
    decision = loaded.decide_each([Ask(query, image, control, constraints)])[0]
    if as_json:
        print_json(_as_json(decision))
    else:
        typer.echo(_in_words(decision))


def _check_stream(query: str, image: str | None, spend: float | None, cap: float | None) -> None:
    """Options that only a stream, or only a single query, can have."""
    if query == "-" and image is not None:
        raise typer.BadParameter(
            'images of a stream are in its lines: {"query": ..., "image": ...}',
            param_hint="--image",
        )
    if query != "-" and spend is not None:
        raise typer.BadParameter(
            "a mean needs a stream: give the queries on stdin, with - as QUERY",
            param_hint="--spend",
        )
    if cap is not None and spend is None:
        raise typer.BadParameter("it goes with --spend", param_hint="--cap")
    if cap is not None and not cap > 0:
        raise typer.BadParameter(f"{cap} USD: expected a number above 0", param_hint="--cap")


def _say_spent(pacer: "Pacer") -> None:
    done = pacer.state
    mean = done.spent_usd / done.n_queries if done.n_queries else 0.0
    say(
        f"predicted cost: {done.spent_usd:.6f} USD for "
        f"{number_of(done.n_queries, 'answered query', 'answered queries')}, "
        f"{mean:.6f} each; asked for {pacer.spend_usd:.6f}"
    )


def _needs(
    exclude: list[str] | None,
    abilities: list[str] | None,
    regions: list[str] | None,
    context_tokens: int | None,
) -> "Needs":
    from equirouter.policy import Needs

    return Needs(
        exclude=frozenset(_named(exclude)),
        context_tokens=context_tokens,
        abilities=frozenset(_named(abilities)),
        regions=None if regions is None else frozenset(_named(regions)),
    )


def _named(lists: list[str] | None) -> list[str]:
    """The names in several lists of an option, each with commas between."""
    return [name for given in lists or [] for name in given.split(",") if name.strip()]


def _decided_lines(
    loaded: "RoutingPipeline", control: "Control", needs: "Needs", pacer: "Pacer | None"
) -> Iterator[str]:
    """One JSON line per JSON line of stdin, in order; other fields of a line are kept."""
    from equirouter.errors import DataError

    asks = _asks(loaded, control, needs)
    while block := list(islice(asks, BLOCK)):
        decisions = _decided([ask for _, ask in block], loaded, pacer)
        for (line, _), decision in zip(block, decisions, strict=True):
            decided = _as_json(decision)
            taken = next((name for name in line if name in decided), None)
            if taken is not None:
                raise DataError(
                    f"stdin: the line of query {line['query'][:40]!r} has a field {taken!r}, which "
                    "the decision would overwrite; rename it"
                )
            yield json.dumps(line | decided, allow_nan=False)


def _decided(
    asks: "list[Ask]", loaded: "RoutingPipeline", pacer: "Pacer | None"
) -> "list[Decision]":
    """Decisions by each ask's control, or by a pacer that takes calls to cost what is predicted."""
    if pacer is None:
        return loaded.decide_each(asks)
    return [decision for decision, _ in loaded.pace(asks, pacer, settled=True)]


def _asks(
    loaded: "RoutingPipeline", control: "Control", needs: "Needs"
) -> Iterator[tuple[dict[str, Any], "Ask"]]:
    """Each line of stdin, and what it asks: its own constraints beside those of the options."""
    from equirouter.errors import ConfigError, DataError
    from equirouter.pipeline.decision import Ask
    from equirouter.policy import removed_by

    for place, line in _read_lines():
        try:
            own = _needs_of(line)
            removed_by(own, loaded.models, loaded.model_facts)  # raises for a name of no model
        except ConfigError as error:
            raise DataError(f"{place}: {error}") from error
        yield line, Ask(line["query"], line.get("image"), control, needs.joined(own))


def _needs_of(line: dict[str, Any]) -> "Needs":
    """The constraints of a line; a field that is null or not there asks nothing."""
    from equirouter.errors import ConfigError
    from equirouter.policy import Needs

    named: dict[str, frozenset[str] | None] = {}
    for field in ("exclude", "needs", "region"):
        value = line.get(field)
        if value is not None and not (isinstance(value, list) and all(map(_is_text, value))):
            raise ConfigError(f"{field} is {value!r}; expected a list of names, or null")
        named[field] = None if value is None else frozenset(value)
    return Needs(
        exclude=named["exclude"] or frozenset(),
        context_tokens=line.get("context_tokens"),
        abilities=named["needs"] or frozenset(),
        regions=named["region"],
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _read_lines() -> Iterator[tuple[str, dict[str, Any]]]:
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
            raise DataError(f'{place}: {_found(line)}; expected {{"query": "..."}}')
        image = line.get("image")
        if image is not None and not isinstance(image, str):
            raise DataError(f"{place}: image is {image!r}; expected the path of a file, or null")
        if not line["query"].strip() and image is None:
            raise DataError(f"{place}: the query is empty; leave the line out or give it a text")
        yield place, line


def _found(line: object) -> str:
    """Describe what was found in place of an object with the text of a query."""
    if not isinstance(line, dict):
        kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
        return f"the line is {kinds.get(type(line), 'a number')}"
    if "query" in line:
        return f"query is {line['query']!r:.60}"
    names = ", ".join(map(repr, line))
    return f"no query among the fields {names:.200}" if line else "the object is empty"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON; write null")


def _as_json(decision: "Decision") -> dict[str, Any]:
    """The decision's fields; JSON has no infinity, so the value is null where nothing limits."""
    value = decision.value if math.isfinite(decision.value) else None
    fields = decision._asdict()
    del fields["plan"]  # never asked for
    by_model = {
        name: dict(numbers) for name, numbers in fields.items() if isinstance(numbers, Mapping)
    }
    return fields | by_model | {"value": value}


def _in_words(decision: "Decision") -> str:
    removed = [f"removed: {name} ({why})" for name, why in decision.removed.items()]
    far = ["unlike all training queries: the scores say little"] if decision.far else []
    return "\n".join([_chosen(decision), *far, *removed])


def _chosen(decision: "Decision") -> str:
    if decision.model is None:
        if len(decision.removed) == len(decision.scores):
            return "no model: constraints removed all of them"
        return f"no model: nothing fits {decision.setting} {decision.value:g}"
    remark = "" if decision.fits else f"  (over {decision.setting} {decision.value:g}: cheapest)"
    fallbacks = ", ".join(decision.fallbacks[:3]) or "none"
    return (
        f"{decision.model}{remark}\n"
        f"predicted cost: {decision.predicted_cost_usd:.6f} USD, "
        f"{decision.setting} {decision.value:.6g}; next: {fallbacks}"
    )
