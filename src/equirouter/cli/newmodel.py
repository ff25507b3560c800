"""`equirouter models add`: a model joins a trained pipeline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli import common
from equirouter.cli.bars import Bars
from equirouter.cli.control_options import PipelineArgument
from equirouter.cli.models import (
    InputOption,
    NewQualityOption,
    OutOption,
    OutputOption,
    ShippedOption,
    TableOption,
    said_of_points,
)
from equirouter.cli.trained import PipelinePlace

if TYPE_CHECKING:
    from equirouter.cost.prices import Price
    from equirouter.pipeline.pipeline import RoutingPipeline
    from equirouter.training.joining import Joined

NewNameOption = Annotated[str, typer.Option(metavar="MODEL", help="The name of the new model.")]
OutcomesOption = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="An outcomes table with the new model on some queries; other models in it are "
        "ignored.",
    ),
]


def add(
    pipeline: PipelineArgument,
    name: NewNameOption,
    outcomes: OutcomesOption,
    input_: InputOption = None,
    output: OutputOption = None,
    table: TableOption = None,
    shipped: ShippedOption = False,
    quality: NewQualityOption = None,
    out: OutOption = None,
    encoder_option: common.EncoderSettingOption = None,
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Add a model from some labelled queries: only what belongs to it is fitted, in seconds.

    The new version is made current if it passes the gate: on the queries that promises rest on and
    the labelled ones it is compared with the version before. If it does not, the exit code is 3.
    """
    from equirouter.data.tables import read_table
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.evaluation.promotion.retrain import judged_join
    from equirouter.pipeline.versions import current_folder
    from equirouter.training.joining import with_model

    place = PipelinePlace(out or pipeline)
    before = common.load_pipeline(current_folder(pipeline), encoder_option)
    price = _price(name, input_, output, table, shipped=shipped)
    with Bars(quiet=quiet) as progress:
        joined = with_model(
            before,
            read_table(outcomes, performance_range=performance_range),
            name,
            price=price,
            quality=quality,
            cache=EmbeddingCache(),
            progress=progress,
        )
    made = judged_join(None if place.is_empty else before, joined.pipeline)
    saved = place.settle(made, "models add")
    document: dict[str, Any] = {
        **saved.document(),
        "model": name,
        "n_labels": joined.n_labels,
        "performance": joined.performance,
        "follows": joined.follows,
        "models": list(joined.pipeline.models),
    }
    if as_json:
        common.print_json(document)
    elif not quiet:
        _show(before, joined, document["performance"])
        if saved.refused is None:
            typer.echo(saved.said())
    saved.refuse(as_json=as_json)


def _show(before: "RoutingPipeline", joined: "Joined", performance: float) -> None:
    name = joined.pipeline.models[-1]
    like = sorted(joined.follows, key=joined.follows.__getitem__, reverse=True)[:3]
    shares = [
        f"{model} {joined.follows[model]:.0%}" for model in like if joined.follows[model] > 0.01
    ]
    typer.echo(
        f"added {name} from {joined.n_labels} labelled queries; expected performance "
        f"{performance:.4f}"
    )
    typer.echo(f"most like: {', '.join(shares) or 'no other model'}")
    typer.echo(said_of_points(before, joined.pipeline))
    common.say(
        f"operating points count how few the {joined.n_labels} labels of {name} are: train again "
        "once it has outcomes on many queries"
    )


def _price(
    name: str, input_: float | None, output: float | None, table: Path | None, *, shipped: bool
) -> "Price | None":
    """The price of the new model, None where the options give none."""
    from equirouter.cost.price_table import read_price_table, shipped_prices
    from equirouter.cost.prices import Price
    from equirouter.errors import ConfigError

    if (input_ is None) != (output is None):
        raise ConfigError("--input and --output are given together")
    if sum((input_ is not None, table is not None, shipped)) > 1:
        raise ConfigError("give the price in one way: --input and --output, --table, --shipped")
    if input_ is not None and output is not None:
        return Price(input_, output)
    if table is not None:
        return read_price_table(table).price(name)
    return shipped_prices().price(name) if shipped else None
