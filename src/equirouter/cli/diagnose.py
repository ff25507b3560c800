"""`equirouter diagnose`: why routing on a data set collapses, or a pipeline on it."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli import common
from equirouter.cli.bars import Bars

if TYPE_CHECKING:
    from equirouter.encoders.base import Encoder
    from equirouter.evaluation.diagnosis.contents import Diagnosis
    from equirouter.pipeline.pipeline import RoutingPipeline

PipelineOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="A folder from `train`: its own decisions are measured."),
]
DiagnosedRoutersOption = Annotated[
    str,
    typer.Option(
        metavar="A,B,...|all",
        help="Routers as in bench, where no pipeline is given; mlp and knn are always fitted.",
    ),
]
OwnEncoderOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The encoder; default: the pipeline's, or lexical+minilm."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write diagnosis.md and diagnosis.json there too."),
]


def diagnose(
    dataset: common.DatasetArgument,
    pipeline: PipelineOption = None,
    routers: DiagnosedRoutersOption = "factors,equirouter",
    encoder: OwnEncoderOption = None,
    window: common.WindowOption = None,
    precision: common.PrecisionOption = None,
    encoder_option: common.EncoderSettingOption = None,
    embeddings: common.EmbeddingsOption = None,
    weights: common.WeightsOption = None,
    split: common.SplitOption = "in-domain",
    seed: common.SeedOption = 42,
    resamples: common.ResamplesOption = 500,
    out: OutOption = None,
    device: common.DeviceOption = "auto",
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    answers_by: common.AnswersByOption = None,
    models: common.ModelsOption = None,
    exclude_models: common.ExcludeModelsOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Say why routing on a data set collapses, and what to do: a text for a bug report."""
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.evaluation.diagnosis.measuring import IN_SAMPLE
    from equirouter.evaluation.diagnosis.measuring import diagnose as run_diagnosis
    from equirouter.output import reserved_folder
    from equirouter.training.needs import check_what_fits

    specs = common.router_specs(routers)
    reserved = nullcontext() if out is None else reserved_folder(out)
    with reserved as folder, Bars(quiet=quiet) as progress:
        asked = {"window": window, "precision": precision, "settings": encoder_option}
        loaded, made = _opened(pipeline, encoder, weights, asked)
        fitted = [*(specs if loaded is None else ()), *IN_SAMPLE]
        check_what_fits(fitted, made if embeddings is None else None, dataset=dataset)
        whole = common.open_dataset(
            dataset, performance_range, answers_by=answers_by, quiet=quiet, progress=progress
        )
        outcomes = common.choose_models(whole, models, exclude_models, quiet=quiet)
        diagnosis = run_diagnosis(
            outcomes,
            made,
            embeddings=common.open_given(embeddings, whole, made, outcomes),
            pipeline=loaded,
            pipeline_name=None if pipeline is None else pipeline.resolve().name,
            routers=specs,
            split=split,
            seed=seed,
            resamples=resamples,
            cache=EmbeddingCache(),
            device=device,
            progress=progress,
        )
    _show(diagnosis, folder, as_json=as_json, quiet=quiet)


def _show(diagnosis: "Diagnosis", folder: Path | None, *, as_json: bool, quiet: bool) -> None:
    import json

    from equirouter.output import atomic_write
    from equirouter.report.sections import diagnosis_json, diagnosis_markdown, diagnosis_text

    document = diagnosis_json(diagnosis)
    if folder is not None:
        with atomic_write(folder / "diagnosis.json") as stream:
            stream.write(json.dumps(document, indent=1, allow_nan=False) + "\n")
        with atomic_write(folder / "diagnosis.md") as stream:
            stream.write(diagnosis_markdown(diagnosis))
    if as_json:
        common.print_json(document)
    else:
        typer.echo(diagnosis_text(diagnosis), nl=False)
    if folder is not None and not quiet:
        common.say(f"written: {folder / 'diagnosis.md'}")


def _opened(
    folder: Path | None, encoder: str | None, weights: str | None, asked: dict[str, Any]
) -> "tuple[RoutingPipeline | None, Encoder]":
    """The pipeline, if one is given, and the encoder that shows the queries: its own, or another.

    asked: the options of common.make_text_encoder beside name and weights.
    """
    from equirouter.pipeline.pipeline import RoutingPipeline

    if folder is not None and encoder is None and not (asked["window"] or asked["precision"]):
        loaded = common.load_pipeline(folder, asked["settings"], weights)
        return loaded, loaded.stage.encoder
    made = common.make_text_encoder(encoder or "lexical+minilm", weights=weights, **asked)
    return (None if folder is None else RoutingPipeline.load(folder, encoder=made)), made
