"""`equirouter train`: one pipeline, fitted and saved."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from equirouter.cli import common
from equirouter.cli.bars import Bars
from equirouter.cli.trained import PipelinePlace, show

if TYPE_CHECKING:
    from equirouter.arrays import Float32Array, IntArray
    from equirouter.data.outcomes import Outcomes
    from equirouter.encoders.base import Encoder
    from equirouter.evaluation.promotion.retrain import Challenge
    from equirouter.pipeline import PipelineVersions
    from equirouter.pipeline.pipeline import RoutingPipeline
    from equirouter.policy import ModelFacts
    from equirouter.progress import Progress

QualityOption = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="Target for calls that name none, relative to the strongest model."
    ),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="How surely a quality is kept, 0.5 to below 1; 0.5 takes the validation means as they "
        "are, a higher value costs more. Default: 0.85, or the highest that can be promised.",
    ),
]

OodOption = Annotated[
    Literal["policy", "strongest"],
    typer.Option(
        help="Queries unlike all training queries: decided by the policy, or sent to the "
        "strongest model."
    ),
]
OutOption = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder of the pipeline, which gets a version.")
]
RouterOption = Annotated[
    str, typer.Option(metavar="SPEC", help="The router, as NAME[:PRESET][:key=value].")
]
WhenOption = Annotated[
    Literal["cheapest", "refuse"],
    typer.Option(help="What to do when no model is within the budget."),
]
RefitOption = Annotated[
    bool,
    typer.Option(
        "--refit/--no-refit",
        help="Learn from the test part too, once it has been measured; --no-refit keeps it out.",
    ),
]
PromoteOption = Annotated[
    bool,
    typer.Option(
        "--promote",
        help="Learn from all queries and make the new version current, without asking the gate.",
    ),
]
PolicyChoice = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=common.check_policy,
        help="What is varied to reach a quality; default: utility where scores estimate "
        "performance, else budget.",
    ),
]


def train(
    dataset: common.DatasetArgument,
    out: OutOption,
    router: RouterOption = "factors",
    encoder: common.EncoderOption = "lexical+minilm",
    window: common.WindowOption = None,
    precision: common.PrecisionOption = None,
    encoder_option: common.EncoderSettingOption = None,
    embeddings: common.EmbeddingsOption = None,
    weights: common.WeightsOption = None,
    policy: PolicyChoice = None,
    quality: QualityOption = 0.98,
    confidence: ConfidenceOption = None,
    when_nothing_fits: WhenOption = "cheapest",
    model_facts: common.FactsOption = None,
    ood: OodOption = "policy",
    split: common.SplitOption = "in-domain",
    seed: common.SeedOption = 42,
    refit: RefitOption = True,
    promote: PromoteOption = False,
    device: common.DeviceOption = "auto",
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    answers_by: common.AnswersByOption = None,
    models: common.ModelsOption = None,
    exclude_models: common.ExcludeModelsOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Fit a router, its cost model and its calibrated policy on a data set, and save them.

    A folder that has a pipeline gets another version. It is made current if it passes the gate: of
    the queries that are new to the current version half are held out, and both are compared on
    them. If it does not, the exit code is 3.
    """
    from equirouter.output import reserved_folder
    from equirouter.policy import read_model_facts
    from equirouter.training.needs import check_what_fits

    place = PipelinePlace(out)
    asked = Asked(
        router, policy, quality, confidence, when_nothing_fits, ood, split, seed, refit, device
    )
    made = _to_serve(encoder, embeddings, window, precision, weights, encoder_option)
    check_what_fits([router], made if embeddings is None else None, dataset=dataset)
    with reserved_folder(out), Bars(quiet=quiet) as progress:  # before the work
        table, chosen = (dataset, performance_range, answers_by), (models, exclude_models)
        outcomes, given = common.open_to_learn(
            table, chosen, [router], made, embeddings, quiet=quiet, progress=progress
        )
        facts = read_model_facts(model_facts, outcomes.models) if model_facts else {}
        fit = partial(fitted, outcomes, made, given, facts, asked, progress)
        champion = None if promote else _champion(place.versions, made, encoder_option, weights)
        _require_its_models(champion, outcomes, out)
        challenge = _challenged(champion, outcomes, fit, seed)
    placed = place.settle(challenge, "train", forced=promote)
    show(challenge.pipeline, placed, router, as_json=as_json, noted=None if quiet else outcomes)
    placed.refuse(as_json=as_json)


class Asked(NamedTuple):
    """Settings of the training, by the options: see `equirouter.train`."""

    router: str
    policy: str | None
    quality: float
    confidence: float | None
    when_nothing_fits: Literal["cheapest", "refuse"]
    ood: Literal["policy", "strongest"]
    split: Literal["in-domain", "ood"]
    seed: int
    refit: bool
    device: str


def fitted(
    outcomes: "Outcomes",
    encoder: "Encoder",
    embeddings: "Float32Array | None",
    model_facts: "Mapping[str, ModelFacts]",
    asked: Asked,
    progress: "Progress",
    rows: "IntArray | None" = None,
) -> "RoutingPipeline":
    """Fit a pipeline, and measure it on the test part. rows: to learn from, None for all."""
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.evaluation.train import train as fit_and_measure

    if rows is not None:
        outcomes = outcomes.take(rows)
        embeddings = None if embeddings is None else embeddings[rows]
    return fit_and_measure(
        outcomes,
        encoder,
        embeddings=embeddings,
        model_facts=model_facts,
        cache=EmbeddingCache(),
        progress=progress,
        **asked._asdict(),
    )


def _champion(
    versions: "PipelineVersions",
    encoder: "Encoder",
    settings: list[str] | None,
    weights: str | None,
) -> "RoutingPipeline | None":
    """The pipeline that is served from the folder; None for an empty folder.

    settings, weights: of the new one's encoder; they hold for one of the same name here.
    """
    from equirouter.errors import PipelineError
    from equirouter.pipeline.stored import described

    if versions.is_empty:
        return None
    try:
        folder = versions.path()
        is_same = described(folder).encoder.name == encoder.name
        return common.load_pipeline(
            folder, settings if is_same else None, weights if is_same else None
        )
    except PipelineError as error:
        raise PipelineError(
            f"{error}. The new pipeline is compared with this one: `equirouter pipeline rollback "
            f"{versions.folder}` makes the version before it current, --promote compares with none"
        ) from error


def _require_its_models(
    champion: "RoutingPipeline | None", outcomes: "Outcomes", folder: Path
) -> None:
    """Raise ConfigError, before the work, for a table that cannot show which one is better."""
    from equirouter.errors import ConfigError

    missing = [] if champion is None else [m for m in champion.models if m not in outcomes.models]
    if champion is not None and missing:
        raise ConfigError(
            f"{folder}: the pipeline there chooses between {', '.join(champion.models)}, and "
            f"{outcomes.name} has no outcomes of {', '.join(missing)}, so the two cannot be "
            "compared. Save this one in another folder (--out), or put it in that one's place "
            "without a comparison (--promote)"
        )


def _challenged(
    champion: "RoutingPipeline | None",
    outcomes: "Outcomes",
    fit: "Callable[[IntArray | None], RoutingPipeline]",
    seed: int,
) -> "Challenge":
    """The trained pipeline, and what the gate says of it; without a champion it has nothing to."""
    from equirouter.evaluation.promotion.gate import Gate, Verdict
    from equirouter.evaluation.promotion.retrain import Challenge, challenge, new_queries
    from equirouter.training.protocol import stream

    if champion is None:
        return Challenge(fit(None), None, Verdict(()))
    new = stream(seed, "held out").permutation(new_queries(outcomes, champion))
    return challenge(champion, outcomes, fit, latest=new, gate=Gate())


def _to_serve(
    name: str,
    embeddings: Path | None,
    window: common.Window | None,
    precision: str | None,
    weights: str | None,
    settings: list[str] | None,
) -> "Encoder":
    """The encoder, in the precision to serve with where none is asked for."""
    from equirouter.evaluation.train import serving_options

    if precision is None and embeddings is None:  # a file of embeddings has none to choose
        precision = serving_options(name).get("precision")
    return common.make_text_encoder(
        name, window=window, precision=precision, weights=weights, settings=settings
    )
