"""`equirouter train`: one pipeline, fitted and saved."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from equirouter.cli.common import (
    AnswersByOption,
    DatasetArgument,
    DeviceOption,
    EmbeddingsOption,
    EncoderOption,
    EncoderSettingOption,
    ExcludeModelsOption,
    FactsOption,
    JsonOption,
    ModelsOption,
    PerformanceRangeOption,
    PrecisionOption,
    QuietOption,
    SplitOption,
    WeightsOption,
    Window,
    WindowOption,
    check_policy,
    load_pipeline,
    make_text_encoder,
    open_chosen,
    open_given,
    remark_on_descriptions,
    shown_progress,
    what_is_read,
)
from equirouter.cli.trained import Placed, show

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
SeedOption = Annotated[
    int, typer.Option(metavar="N", min=0, help="Seed of the split and the training.")
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
        callback=check_policy,
        help="What is varied to reach a quality; default: utility where scores estimate "
        "performance, else budget.",
    ),
]


def train(
    dataset: DatasetArgument,
    out: OutOption,
    router: RouterOption = "factors",
    encoder: EncoderOption = "lexical+minilm",
    window: WindowOption = None,
    precision: PrecisionOption = None,
    encoder_option: EncoderSettingOption = None,
    embeddings: EmbeddingsOption = None,
    weights: WeightsOption = None,
    policy: PolicyChoice = None,
    quality: QualityOption = 0.98,
    confidence: ConfidenceOption = None,
    when_nothing_fits: WhenOption = "cheapest",
    model_facts: FactsOption = None,
    ood: OodOption = "policy",
    split: SplitOption = "in-domain",
    seed: SeedOption = 42,
    refit: RefitOption = True,
    promote: PromoteOption = False,
    device: DeviceOption = "auto",
    performance_range: PerformanceRangeOption = (0.0, 1.0),
    answers_by: AnswersByOption = None,
    models: ModelsOption = None,
    exclude_models: ExcludeModelsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a router, its cost model and its calibrated policy on a data set, and save them.

    A folder that has a pipeline gets another version. It is made current if it passes the gate: of
    the queries that are new to the current version half are held out, and both are compared on
    them. If it does not, the exit code is 3.
    """
    from equirouter.output import reserved_folder
    from equirouter.pipeline.versions import PipelineVersions
    from equirouter.training.needs import check_what_fits

    versions = PipelineVersions(out)
    asked = Asked(
        router, policy, quality, confidence, when_nothing_fits, ood, split, seed, refit, device
    )
    made = _to_serve(encoder, embeddings, window, precision, weights, encoder_option)
    check_what_fits([router], made if embeddings is None else None, dataset=dataset)
    with reserved_folder(out), shown_progress(quiet=quiet) as progress:  # before the work: out
        before, is_first = versions.current, versions.is_empty
        table = (dataset, performance_range, models, exclude_models)
        whole, outcomes = open_chosen(*table, answers_by=answers_by, quiet=quiet, progress=progress)
        remark_on_descriptions(outcomes, [router], quiet=quiet)
        outcomes = what_is_read(made, outcomes, embeddings, quiet=quiet)
        given = open_given(embeddings, whole, made, outcomes)
        facts = _facts(model_facts, outcomes)
        fit = partial(asked.train, outcomes, made, given, facts, progress)
        champion = None if promote else _champion(versions, made, encoder_option, weights)
        _require_its_models(champion, outcomes, out)
        made_now = _challenged(champion, outcomes, fit, seed)
    over = None if is_first else before or versions.adopt()
    placed = _placed(made_now, versions, over, promote=promote and before is not None)
    show(made_now.pipeline, placed, router, as_json=as_json, noted=None if quiet else outcomes)
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

    def train(
        self,
        outcomes: "Outcomes",
        encoder: "Encoder",
        embeddings: "Float32Array | None",
        model_facts: "Mapping[str, ModelFacts]",
        progress: "Progress",
        rows: "IntArray | None" = None,
    ) -> "RoutingPipeline":
        """Fit the pipeline that was asked for, and measure it on the test part.

        rows: of the table, those to learn from; None for all.
        """
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
            **self._asdict(),
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
        return load_pipeline(folder, settings if is_same else None, weights if is_same else None)
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


def _placed(
    made: "Challenge", versions: "PipelineVersions", over: str | None, *, promote: bool
) -> Placed:
    """Save a pipeline as a version, and make it current where that may be.

    over: the version that was current when the training began, None where nothing was.
    """
    from equirouter.evaluation.promotion.retrain import settled

    version = settled(made, versions, over=over, how="train", forced=promote)
    return Placed(versions.folder, version, made.verdict.why or None)


def _to_serve(
    name: str,
    embeddings: Path | None,
    window: Window | None,
    precision: str | None,
    weights: str | None,
    settings: list[str] | None,
) -> "Encoder":
    """The encoder, in the precision to serve with where none is asked for."""
    from equirouter.evaluation.train import serving_options

    if precision is None and embeddings is None:  # a file of embeddings has none to choose
        precision = serving_options(name).get("precision")
    return make_text_encoder(
        name, window=window, precision=precision, weights=weights, settings=settings
    )


def _facts(path: Path | None, outcomes: "Outcomes") -> "dict[str, ModelFacts]":
    """The facts about the models in a file; none without a file."""
    from equirouter.policy import read_model_facts

    return {} if path is None else dict(read_model_facts(path, outcomes.models))
