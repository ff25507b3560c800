"""`equirouter bench`: the main job."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equirouter.cli.common import (
    DatasetArgument,
    Device,
    DeviceOption,
    EmbeddingsOption,
    EncoderOption,
    EncoderSettingOption,
    JsonOption,
    PerformanceRangeOption,
    PolicyOption,
    PrecisionOption,
    QuietOption,
    ResamplesOption,
    RoutersOption,
    SplitName,
    SplitOption,
    WeightsOption,
    WindowOption,
    make_text_encoder,
    open_dataset,
    open_given,
    print_json,
    remark_on_descriptions,
    router_specs,
    say,
    say_what_is_read,
    shown_progress,
)

if TYPE_CHECKING:
    from equirouter.evaluation.results import Results

__all__ = ["bench"]


def bench(
    dataset: DatasetArgument = "simulated",
    routers: RoutersOption = "factors,equirouter,mlp,knn",
    encoder: EncoderOption = "minilm",
    window: WindowOption = None,
    precision: PrecisionOption = None,
    encoder_option: EncoderSettingOption = None,
    embeddings: EmbeddingsOption = None,
    weights: WeightsOption = None,
    policy: PolicyOption = "budget",
    split: SplitOption = SplitName.in_domain,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Seeds 42, 43, ...: splits and training runs.")
    ] = 3,
    resamples: ResamplesOption = 1000,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results; default: runs/DATASET-SPLIT.")
    ] = None,
    device: DeviceOption = Device.auto,
    performance_range: PerformanceRangeOption = (0.0, 1.0),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit routers on a data set, measure them under one protocol, print and write the results."""
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.evaluation.benchmark import benchmark
    from equirouter.report import check_report_extra, write_all

    check_report_extra()
    specs = router_specs(routers)
    with shown_progress(quiet=quiet) as progress:
        outcomes = open_dataset(dataset, performance_range, quiet=quiet, progress=progress)
        remark_on_descriptions(outcomes, specs, quiet=quiet)
        made = make_text_encoder(
            encoder, window=window, precision=precision, weights=weights, settings=encoder_option
        )
        say_what_is_read(made, outcomes, quiet=quiet)
        folder = out or Path("runs") / f"{outcomes.name}-{split.value}"
        results = benchmark(
            outcomes,
            made,
            embeddings=open_given(embeddings, outcomes, made),
            cache=EmbeddingCache(),
            routers=specs,
            policy=policy,
            split=split.value,
            n_seeds=seeds,
            resamples=resamples,
            device=device.value,
            out=folder,
            command=["equirouter", *sys.argv[1:]],
            progress=progress,
        )
        report = write_all(results, folder)
    if not quiet and results.visibility.warning:
        say(f"warning: {results.visibility.warning}")
    _show(results, folder, report, as_json=as_json)


def _show(results: "Results", folder: Path, report: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(results.to_json())
        return
    from rich.console import Console

    from equirouter.report import print_results

    print_results(results, Console())
    typer.echo(f"results: {folder / 'results.json'}\nreport:  {report}")
