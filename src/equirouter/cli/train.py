"""`equirouter train`: one pipeline, fitted and saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

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
    make_text_encoder,
    open_chosen,
    open_given,
    print_json,
    remark_on_descriptions,
    say,
    shown_progress,
    what_is_read,
)

if TYPE_CHECKING:
    from equirouter.arrays import Float32Array
    from equirouter.data.outcomes import Outcomes
    from equirouter.encoders.base import Encoder
    from equirouter.pipeline import PipelineVersions
    from equirouter.pipeline.pipeline import RoutingPipeline
    from equirouter.policy import ModelFacts
    from equirouter.progress import Progress

__all__ = ["train"]


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
        help="Make the new version current whatever the one that is current does; without it "
        "only the first version of a folder is.",
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

    A folder that has a pipeline gets another version, which replaces none.
    """
    from equirouter.output import reserved_folder
    from equirouter.pipeline.versions import PipelineVersions
    from equirouter.training.needs import check_run

    versions = PipelineVersions(out)
    asked = Asked(
        router, policy, quality, confidence, when_nothing_fits, ood, split, seed, refit, device
    )
    made = _to_serve(encoder, embeddings, window, precision, weights, encoder_option)
    check_run(dataset, [router], made if embeddings is None else None)
    with reserved_folder(out), shown_progress(quiet=quiet) as progress:  # before the work: out
        before = versions.current
        table = (dataset, performance_range, models, exclude_models)
        whole, outcomes = open_chosen(*table, answers_by=answers_by, quiet=quiet, progress=progress)
        remark_on_descriptions(outcomes, [router], quiet=quiet)
        outcomes = what_is_read(made, outcomes, embeddings, quiet=quiet)
        given = open_given(embeddings, whole, made, outcomes)
        facts = _facts(model_facts, outcomes)
        pipeline = asked.train(outcomes, made, given, facts, progress)
    placed = _placed(pipeline, versions, before, promote=promote)
    _show(pipeline, placed, router, as_json=as_json, noted=None if quiet else outcomes)
    placed.refuse()


class Asked(NamedTuple):
    """What the options ask of the training: see `equirouter.train`."""

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
    ) -> "RoutingPipeline":
        """Fit the pipeline that was asked for, and measure it on the test part."""
        from equirouter.encoders.cache import EmbeddingCache
        from equirouter.evaluation.train import train as fit_and_measure

        return fit_and_measure(
            outcomes,
            encoder,
            embeddings=embeddings,
            model_facts=model_facts,
            cache=EmbeddingCache(),
            progress=progress,
            **self._asdict(),
        )


class Placed(NamedTuple):
    """Where a trained pipeline is: a version in a folder, and whether it is the current one."""

    folder: Path
    version: str
    is_current: bool

    def refuse(self) -> None:
        """Raise GateRefusedError unless it is current."""
        from equirouter.errors import GateRefusedError

        if not self.is_current:
            raise GateRefusedError(
                f"version {self.version} is saved, and another one goes on being served: train "
                f"with --promote, or `equirouter pipeline promote {self.folder} {self.version}`, "
                "makes it current"
            )


def _placed(
    pipeline: "RoutingPipeline", versions: "PipelineVersions", before: str | None, *, promote: bool
) -> Placed:
    """Save a pipeline as a version, and make it current where that may be.

    before: the version that was current when the training began.
    """
    before = before or versions.adopt()
    version = versions.add(pipeline, how="train")
    is_current = before is None or promote
    if is_current:
        versions.promote(version, over=before, how="train", forced=before is not None)
    return Placed(versions.folder, version, is_current)


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


def _say_notes(pipeline: "RoutingPipeline", outcomes: "Outcomes", router: str) -> None:
    """Print the notes of the training; those on the table have been printed before."""
    from equirouter.data.table_warnings import table_warnings
    from equirouter.training.protocol import description_notes

    known = {
        *outcomes.notes,
        *table_warnings(outcomes),
        *description_notes(outcomes, [router]),
    }
    for note in pipeline.provenance.data["notes"]:
        if note not in known:
            say(f"note: {note}")
    point = pipeline.operating_point()
    if point.setting == "strongest":
        best = pipeline.calibration.largest_quality(point.confidence)
        say(
            f"warning: no operating point below the cost of {pipeline.baseline.strongest} keeps "
            f"quality {pipeline.quality:g} with confidence {point.confidence:g}, so all calls that "
            f"name no target go to it; the largest quality that saves anything is {best:.3f}. A "
            "lower --quality or --confidence, or more outcomes, save more"
        )
    _say_whether_reading_pays(pipeline.provenance.test_metrics.get("text_free"))
    if pipeline.confidence is None and point.confidence <= 0.5:
        say(
            f"note: {pipeline.calibration.n_queries} queries promise this quality as a "
            "point estimate only, which is missed about as often as it is kept; more queries, or a "
            "lower --quality, give a promise with a confidence"
        )


def _say_whether_reading_pays(found: Mapping[str, Any] | None) -> None:
    """Warn where a choice that reads no text is not shown to cost more."""
    if found is None or found["difference"]["high"] is None or found["difference"]["high"] < 0:
        return
    from equirouter.report.wording import interval

    anchor, difference = found["anchor"], found["difference"]
    spread = interval(difference["low"], difference["high"], "+.3f")
    say(
        f"warning: on the test part reading the queries is not shown to pay: at "
        f"{float(found['quality']):.0%} of the strongest model's quality the router needs "
        f"{found['cost']['router']:.3f} of its cost and `{anchor}`, which reads no text, "
        f"{found['cost']['anchor']:.3f} (difference {difference['mean']:+.3f} {spread}). "
        "More rows, more kinds of queries, or models that differ more in price and in what they "
        "are good at would pay; equirouter diagnose says more"
    )


def _show(
    pipeline: "RoutingPipeline",
    place: Placed,
    router: str,
    *,
    as_json: bool,
    noted: "Outcomes | None",
) -> None:
    """noted: the table, whose notes were said already; None to say no notes at all."""
    if noted is not None:
        _say_notes(pipeline, noted, router)
    quality = pipeline.quality
    point = pipeline.operating_point()
    metrics = pipeline.provenance.test_metrics
    kept = metrics["at_quality"]
    if as_json:
        print_json(
            {
                "pipeline": str(place.folder),
                "version": place.version,
                "current": place.is_current,
                "router": router,
                "policy": pipeline.policy,
                "quality": quality,
                "confidence": point.confidence,
                point.setting: point.value,
                "refit": pipeline.provenance.split["refit"],
                "validation": {
                    "n_queries": pipeline.calibration.n_queries,
                    "relative_performance": point.relative_performance,
                    "relative_cost": point.relative_cost,
                },
                "test_metrics": metrics,
            }
        )
        return
    typer.echo(
        f"saved to {place.folder} as version {place.version}"
        f"{', which is current' if place.is_current else ''}\n"
        f"quality {quality:g} of the strongest model with confidence {point.confidence:g}: "
        f"{point.setting} {point.value:.6g}, at {point.relative_cost:.1%} of its cost on "
        f"{pipeline.calibration.n_queries} queries, each as if it were new\n"
        f"test part, {kept['n_queries']} queries{_before(pipeline)}: {_kept(kept)}"
        f"nAUC {metrics['nauc']['mean']:.4f}, P_s {metrics['peak_score']['mean']:.4f}, "
        f"RCI {metrics['rci']['mean']:.4f}"
    )
    if metrics["plans"] is not None:
        typer.echo(_plans(pipeline, metrics["plans"]))


_TAKEN = {"routing": "one model", "rule": "agreement rule", "learned": "learned plans"}


def _plans(pipeline: "RoutingPipeline", found: Mapping[str, Any]) -> str:
    """What comparing answers saves, out of fold, and what it came to on the test part."""
    lines = [
        f"cost on {pipeline.calibration.n_queries} queries that nothing had learned from, as a "
        "share of the strongest model's:",
        f"quality{''.join(f'{name:>16}' for name in _TAKEN.values())}   taken",
    ]
    for row in found["out_of_fold"]:
        costs = "".join(
            f"{'-' if row[name] is None else format(row[name], '.1%'):>16}" for name in _TAKEN
        )
        lines.append(f"{row['quality']:7.0%}{costs}   {_TAKEN[row['taken']]}")
    kept, plans = found["at_quality"], pipeline.plans
    if plans is not None:
        pairs = plans.learned.pairs or (() if plans.rule is None else (plans.rule.pair,))
        named = [" and ".join(pipeline.models[column] for column in pair) for pair in pairs]
        lines.append(f"asked at once: {', or '.join(named)}")
        lines.append(
            f"test part, with answers compared: {_kept(kept)}{kept['calls']:.2f} calls, "
            f"{kept['escalated']:.1%} escalated, {kept['wrongly_accepted']:.1%} wrongly accepted"
        )
    return "\n".join(lines)


def _before(pipeline: "RoutingPipeline") -> str:
    return ", before the pipeline learned from them" if pipeline.provenance.split["refit"] else ""


def _kept(found: Mapping[str, Any]) -> str:
    """Quality and cost of the operating point on the test part."""
    if found["performance"] is None or found["cost"] is None:
        return ""
    from equirouter.report.wording import interval

    spread = "" if found["interval"] is None else f" {interval(*found['interval'])}"
    return f"quality {found['performance']:.3f}{spread} at {found['cost']:.1%} of its cost; "
