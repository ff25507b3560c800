"""`equirouter models`: the pool of a trained pipeline, and what changes in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli import common
from equirouter.cli.control_options import PipelineArgument
from equirouter.cli.trained import PipelinePlace
from equirouter.words import aligned, number_of

if TYPE_CHECKING:
    from equirouter.cost.prices import Price
    from equirouter.pipeline.pipeline import RoutingPipeline
    from equirouter.training.pool_changes import CostFactor, DescribedModel

app = typer.Typer(
    help="List the models of a pipeline, change their prices, add models and take them out.",
    rich_markup_mode=None,
)

NameOption = Annotated[
    str, typer.Option(metavar="MODEL", help="The model, as `models list` has it.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where the changed pipeline is saved; default: a new version in DIR."
    ),
]
NewQualityOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="A new target for calls that name none; default: unchanged."
    ),
]


def _usd(help_: str, *names: str) -> Any:  # noqa: ANN401  # what Annotated takes
    return typer.Option(*names, metavar="USD", min=0.0, help=help_)


@app.command("list")
def list_(
    pipeline: PipelineArgument,
    encoder_option: common.EncoderSettingOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,  # noqa: ARG001
) -> None:
    """List the models: performance and cost on the validation queries, and prices."""
    from equirouter.training.pool_changes import described_models

    rows = described_models(common.load_pipeline(pipeline, encoder_option))
    if as_json:
        common.print_json([row.document() for row in rows])
        return
    header = ("model", "performance", "cost USD", "input", "output")
    typer.echo("\n".join(aligned([header, *map(_listed, rows)])))
    for mark, named in _marked(rows).items():
        if named:
            typer.echo(f"{mark}: {', '.join(named)}")


def _marked(rows: "list[DescribedModel]") -> dict[str, list[str]]:
    """A remark -> the models that it is about."""
    return {
        "strongest": [row.model for row in rows if row.strongest],
        "cheapest": [row.model for row in rows if row.cheapest],
        "estimated": [row.model for row in rows if row.estimated],
        "price changed": [row.model for row in rows if row.price != row.trained_price],
    }


def _listed(row: "DescribedModel") -> tuple[str, ...]:
    price = row.price
    sides = () if price is None else (price.input_usd_per_mtok, price.output_usd_per_mtok)
    return (
        row.model,
        f"{row.performance:.4f}",
        f"{row.cost_usd:.6f}",
        *([f"{side:g}" for side in sides] or ["?", "?"]),
    )


InputOption = Annotated[float | None, _usd("Per million tokens of the prompt.", "--input")]
OutputOption = Annotated[float | None, _usd("Per million tokens of the answer.")]
CachedOption = Annotated[float | None, _usd("Per million prompt tokens read from a cache.")]
WriteOption = Annotated[float | None, _usd("Per million prompt tokens written to a cache.")]
LongWriteOption = Annotated[
    float | None, _usd("Per million prompt tokens written to a longer-lived cache.")
]
ReasoningOption = Annotated[float | None, _usd("Per million hidden reasoning tokens.")]
AudioInputOption = Annotated[float | None, _usd("Per million audio tokens of the prompt.")]
AudioOutputOption = Annotated[float | None, _usd("Per million audio tokens of the answer.")]
WasInputOption = Annotated[
    float | None, _usd("What the prompt cost in the outcomes, where that is not known.")
]
WasOutputOption = Annotated[
    float | None, _usd("What the answer cost in the outcomes, where that is not known.")
]
PricedOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="The model, as `models list` has it; with --table or --shipped it may be left out: "
        "then all models that the table has.",
    ),
]
TableOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A table of prices, TOML or JSON."),
]
ShippedOption = Annotated[
    bool, typer.Option("--shipped", help="The table of prices that comes with the package.")
]


@app.command()
def price(
    pipeline: PipelineArgument,
    name: PricedOption = None,
    input_: InputOption = None,
    output: OutputOption = None,
    cached_input: CachedOption = None,
    cache_write: WriteOption = None,
    long_cache_write: LongWriteOption = None,
    reasoning: ReasoningOption = None,
    audio_input: AudioInputOption = None,
    audio_output: AudioOutputOption = None,
    was_input: WasInputOption = None,
    was_output: WasOutputOption = None,
    table: TableOption = None,
    shipped: ShippedOption = False,
    quality: NewQualityOption = None,
    out: OutOption = None,
    encoder_option: common.EncoderSettingOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Change prices: predicted costs and operating points follow, nothing is trained."""
    from equirouter.pipeline.versions import current_folder
    from equirouter.training.pool_changes import cost_factor, repriced

    place = PipelinePlace(out or pipeline)
    before = common.load_pipeline(current_folder(pipeline), encoder_option)
    stated = {
        "input": input_,
        "output": output,
        "cached_input": cached_input,
        "cache_write": cache_write,
        "long_cache_write": long_cache_write,
        "reasoning": reasoning,
        "audio_input": audio_input,
        "audio_output": audio_output,
    }
    prices = _new_prices(before, name, stated, table, shipped=shipped)
    was = _was(prices, was_input, was_output)
    after = repriced(before, prices, was=was, quality=quality)
    saved = place.save(after, "models price")
    factors = {model: cost_factor(after, model) for model in after.models if model in prices}
    if as_json:
        rows = [{"model": model, **factor._asdict()} for model, factor in factors.items()]
        points = _operating_points(before, after)
        common.print_json({**saved.document(), "models": rows, **points})
    elif not quiet:
        for model, factor in factors.items():
            typer.echo(_said_of_price(model, factor))
        typer.echo(f"{said_of_points(before, after)}\n{saved.said()}")


def _new_prices(
    pipeline: "RoutingPipeline",
    name: str | None,
    stated: dict[str, float | None],
    table: Path | None,
    *,
    shipped: bool,
) -> "dict[str, Price]":
    """The prices that are asked for, by model."""
    from equirouter.cost.price_table import price_from, read_price_table, shipped_prices
    from equirouter.errors import ConfigError
    from equirouter.training.pool_changes import model_column

    given = {f"{side}_usd_per_mtok": usd for side, usd in stated.items() if usd is not None}
    ways = [bool(given), table is not None, shipped]
    if sum(ways) != 1:
        raise ConfigError("give the new price in one way: --input and --output, --table, --shipped")
    if name is not None:
        model_column(pipeline, name)
    if given:
        if name is None:
            raise ConfigError("--name says whose price it is: give the name of a model")
        return {name: price_from(given, f"the price of {name!r}")}
    known = shipped_prices() if table is None else read_price_table(table)
    if name is not None:
        return {name: known.price(name)}
    prices = {model: known.prices[model] for model in pipeline.models if model in known.prices}
    if not prices:
        raise ConfigError(f"{known.place} has none of the models {', '.join(pipeline.models)}")
    return prices


def _was(
    prices: "dict[str, Price]", was_input: float | None, was_output: float | None
) -> "dict[str, Price] | None":
    from equirouter.cost.prices import Price
    from equirouter.errors import ConfigError

    if was_input is None and was_output is None:
        return None
    if was_input is None or was_output is None or len(prices) != 1:
        raise ConfigError("--was-input and --was-output are given together, and for one model")
    return dict.fromkeys(prices, Price(was_input, was_output))


def _said_of_price(model: str, cost: "CostFactor") -> str:
    line = f"{model}: calls cost {cost.factor:.4g} of what they cost in training"
    if cost.low != cost.high:
        line += (
            f" (between {cost.low:.4g} and {cost.high:.4g}: how much of a cost was for the prompt "
            "is estimated)"
        )
    return line


def _operating_points(before: "RoutingPipeline", after: "RoutingPipeline") -> dict[str, Any]:
    """The operating point of the quality that counts when a call names none, before and after."""
    points = {}
    for when, pipeline in (("before", before), ("after", after)):
        point = pipeline.operating_point()
        points[when] = {
            "quality": pipeline.quality,
            "confidence": point.confidence,
            point.setting: point.value,
            "relative_performance": point.relative_performance,
            "relative_cost": point.relative_cost,
        }
    return points


def said_of_points(before: "RoutingPipeline", after: "RoutingPipeline") -> str:
    """Describe how a change moves the operating point of the default quality."""
    old, new = before.operating_point(), after.operating_point()
    return (
        f"quality {after.quality:g} of the strongest model: {new.setting} {new.value:.6g} (was "
        f"{old.setting} {old.value:.6g}), at {new.relative_cost:.1%} of its cost (was "
        f"{old.relative_cost:.1%})"
    )


@app.command()
def remove(
    pipeline: PipelineArgument,
    name: NameOption,
    quality: NewQualityOption = None,
    out: OutOption = None,
    encoder_option: common.EncoderSettingOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Take a model out: the others are scored as they were, operating points are found anew."""
    from equirouter.pipeline.versions import current_folder
    from equirouter.training.pool_changes import without

    place = PipelinePlace(out or pipeline)
    before = common.load_pipeline(current_folder(pipeline), encoder_option)
    after = without(before, name, quality=quality)
    saved = place.save(after, "models remove")
    if as_json:
        common.print_json(
            {
                **saved.document(),
                "models": list(after.models),
                **_operating_points(before, after),
            }
        )
    elif not quiet:
        if name == before.baseline.strongest:
            common.say(
                f"{name} was the strongest model: a quality is now a share of what "
                f"{after.baseline.strongest} does"
            )
        typer.echo(f"without {name}: {number_of(len(after.models), 'model')} left")
        typer.echo(f"{said_of_points(before, after)}\n{saved.said()}")
