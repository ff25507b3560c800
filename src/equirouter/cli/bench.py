"""`equirouter bench`: the main job."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from equirouter.cli import common
from equirouter.cli.bars import Bars
from equirouter.registry import PLAN, POLICIES

if TYPE_CHECKING:
    from equirouter.data.outcomes import Outcomes
    from equirouter.evaluation.results import Results
    from equirouter.evaluation.seed_runs import Workers


def _check_policy(name: str) -> str:
    return name if name == PLAN else common.check_policy(name) or name


PolicyOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        callback=_check_policy,
        help=f"What turns scores and predicted costs into a choice: {', '.join(POLICIES.builtin)}, "
        f"or that of another package; {PLAN}: two cheap models at once where that pays.",
    ),
]
SeedsOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Seeds 42, 43, ...: splits and training runs.")
]
OutOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Results; default: runs/DATASET-SPLIT.")
]

TextsOption = Annotated[
    bool,
    typer.Option("--texts", help="Show texts of some test queries in report.html."),
]

EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where routers are fitted: here, or on the cluster that RAY_ADDRESS names."),
]
WorkersOption = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Processes that fit, one thread each."),
]


def bench(
    dataset: common.DatasetArgument = "real",
    routers: common.RoutersOption = "factors,equirouter,mlp,knn",
    encoder: common.EncoderOption = "lexical+minilm",
    window: common.WindowOption = None,
    precision: common.PrecisionOption = None,
    encoder_option: common.EncoderSettingOption = None,
    embeddings: common.EmbeddingsOption = None,
    weights: common.WeightsOption = None,
    policy: PolicyOption = "budget",
    split: common.SplitOption = "in-domain",
    seeds: SeedsOption = 3,
    resamples: common.ResamplesOption = 1000,
    out: OutOption = None,
    device: common.DeviceOption = "auto",
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    answers_by: common.AnswersByOption = None,
    models: common.ModelsOption = None,
    exclude_models: common.ExcludeModelsOption = None,
    intervals: common.IntervalsOption = False,
    texts: TextsOption = False,
    engine: EngineOption = "local",
    workers: WorkersOption = 1,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Fit routers on a data set, measure them under one protocol, print and write the results."""
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.evaluation.benchmark import benchmark
    from equirouter.training.needs import check_what_fits

    specs = common.router_specs(routers)
    how = {"precision": precision, "weights": weights}
    made = common.make_text_encoder(encoder, window=window, settings=encoder_option, **how)
    check_what_fits(specs, made if embeddings is None else None, dataset=dataset)
    with Bars(quiet=quiet) as progress:
        table, chosen = (dataset, performance_range, answers_by), (models, exclude_models)
        outcomes, given = common.open_to_learn(
            table, chosen, specs, made, embeddings, quiet=quiet, progress=progress
        )
        folder = out or Path("runs") / f"{outcomes.name}-{split}"
        results = benchmark(
            outcomes,
            made,
            embeddings=given,
            cache=EmbeddingCache(),
            routers=specs,
            policy=policy,
            split=split,
            n_seeds=seeds,
            resamples=resamples,
            device=device,
            out=folder,
            command=["equirouter", *sys.argv[1:]],
            progress=progress,
            workers=_workers(engine, workers),
        )
    shown = {"intervals": intervals, "as_json": as_json, "quiet": quiet}
    _show(results, folder, _texts(outcomes) if texts else None, **shown)


def _workers(engine: str, n_processes: int) -> "Workers":
    """Where routers are fitted."""
    from equirouter.evaluation.seed_runs import one_by_one
    from equirouter.scale.fits_on_ray import each_on_ray
    from equirouter.scale.here import fits_here

    if engine == "ray":
        if n_processes > 1:
            raise typer.BadParameter(
                f"{n_processes}: with --engine ray the cluster decides how many there are",
                param_hint="--workers",
            )
        return each_on_ray
    return one_by_one if n_processes == 1 else partial(fits_here, n_processes=n_processes)


def _texts(outcomes: "Outcomes") -> dict[str, str]:
    """The texts by query id, of a table that has any."""
    if outcomes.packed is not None:
        return {}
    return dict(zip(outcomes.query_ids, outcomes.texts, strict=True))


def _show(
    results: "Results",
    folder: Path,
    texts: dict[str, str] | None,
    intervals: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the report, and print."""
    from equirouter.report.html import note_on_figures, write_all

    report = write_all(results, folder, texts=texts)
    common.say_each("warning", filter(None, [results.visibility.warning]), quiet=quiet)
    common.say_each("note", note_on_figures(), quiet=quiet)
    if as_json:
        common.print_json(results.to_json())
        return
    from rich.console import Console

    from equirouter.report.tables import print_results

    print_results(results, Console(), intervals=intervals)
    typer.echo(f"results: {folder / 'results.json'}\nreport:  {report}")
