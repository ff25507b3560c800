"""Options of the commands that decide queries: controls and constraints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from equirouter.pipeline.pipeline import RoutingPipeline
    from equirouter.policy import Control, Needs
    from equirouter.scale.asked_rows import Asking

PipelineArgument = Annotated[Path, typer.Argument(metavar="DIR", help="A folder from `train`.")]
BudgetOption = Annotated[
    float | None,
    typer.Option(
        "--predicted-cost",
        "--budget",
        metavar="USD",
        help="The most that one call may cost, by prediction. (The gateway's budget limits "
        "what it could cost at worst.)",
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


def asking_of(
    loaded: "RoutingPipeline",
    control: "Control",
    needs: "Needs",
    model_facts: Path | None,
    text: str = "query",
) -> "Asking":
    """How queries are decided; what is wrong in it is said before any of them is read.

    model_facts: a file of facts, beside those of the pipeline. text: the field of the query.
    """
    from equirouter.policy import read_model_facts
    from equirouter.scale.asked_rows import Asking

    if model_facts is not None:
        known = read_model_facts(model_facts, loaded.models)
        loaded.model_facts = {**loaded.model_facts, **known}
    return Asking(loaded, control, needs, text)


def needs_of(
    exclude: list[str] | None,
    abilities: list[str] | None,
    regions: list[str] | None,
    context_tokens: int | None,
) -> "Needs":
    """The constraints that the options say. Raises ConfigError."""
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
