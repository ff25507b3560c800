"""`equirouter route`: decide."""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from equirouter.cli import common, control_options
from equirouter.words import number_of

if TYPE_CHECKING:
    from equirouter.pipeline.decision import Ask, Decision
    from equirouter.policy.pacer import Pacer
    from equirouter.scale.asked_rows import Asking

QueryArgument = Annotated[
    str,
    typer.Argument(
        metavar="QUERY|-",
        help='The query, or - for JSON lines {"query": ...} on stdin, decisions on stdout; a line '
        'may have an "image", the path of one, a "budget_usd", "quality" or "lambda" in place of '
        'the options, and constraints of its own: "exclude", "needs" and "region", lists of '
        'names, and "context_tokens".',
    ),
]
ImageOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="An image that belongs to the query, for encoders that read images."
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


def route(
    pipeline: control_options.PipelineArgument,
    query: QueryArgument = "-",
    image: ImageOption = None,
    budget: control_options.BudgetOption = None,
    quality: control_options.QualityOption = None,
    performance: control_options.PerformanceOption = None,
    lambda_: control_options.LambdaOption = None,
    confidence: control_options.ConfidenceOption = None,
    spend: SpendOption = None,
    cap: CapOption = None,
    exclude: control_options.ExcludeOption = None,
    needs: control_options.NeedsOption = None,
    region: control_options.RegionOption = None,
    context_tokens: control_options.ContextOption = None,
    model_facts: common.FactsOption = None,
    encoder_option: common.EncoderSettingOption = None,
    weights: common.WeightsOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Decide which model should answer a query, or every query of a stream."""
    from equirouter.pipeline.decision import Ask
    from equirouter.policy import Control
    from equirouter.scale.lines import decision_fields

    control = Control(budget, quality, performance, lambda_, confidence)
    constraints = control_options.needs_of(exclude, needs, region, context_tokens)
    loaded = common.load_pipeline(pipeline, encoder_option, weights)
    asking = control_options.asking_of(loaded, control, constraints, model_facts)
    _check_stream(query, image, spend, cap)
    if query == "-":
        pacer = None if spend is None else loaded.pacer(spend, cap_usd=cap or math.inf)
        _decide_stream(asking, pacer)
        if pacer is not None and not quiet:
            _say_spent(pacer)
        return
    decision = loaded.decide_each([Ask(query, image, control, constraints)])[0]
    if as_json:
        common.print_json(decision_fields(decision))
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
    common.say(
        f"predicted cost: {done.spent_usd:.6f} USD for "
        f"{number_of(done.n_queries, 'answered query', 'answered queries')}, "
        f"{mean:.6f} each; asked for {pacer.spend_usd:.6f}"
    )


def _decide_stream(asking: "Asking", pacer: "Pacer | None") -> None:
    """One JSON line on stdout per JSON line of stdin, in order; its other fields are kept."""
    from equirouter.scale.lines import decided_lines

    def decide(asks: "Sequence[Ask]") -> "list[Decision]":
        """By each ask's control, or by a pacer that takes calls to cost what is predicted."""
        if pacer is None:
            return asking.pipeline.decide_each(asks)
        return [decision for decision, _ in asking.pipeline.pace(asks, pacer, settled=True)]

    lines = ((f"stdin, line {n}", line) for n, line in enumerate(sys.stdin.buffer, start=1))
    for block in decided_lines(lines, asking, decide):
        sys.stdout.buffer.writelines(block)
        sys.stdout.buffer.flush()


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
