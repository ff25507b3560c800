"""`equirouter batch`: decide files of any size."""

import re
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from equirouter.cli import common, control_options
from equirouter.cli.bars import Bars
from equirouter.words import number_of

InputArgument = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A .parquet or .jsonl file, or a folder of them: a path, or an address that fsspec "
        "knows, such as s3://bucket/queries.",
    ),
]
OutputArgument = Annotated[
    str,
    typer.Argument(
        metavar="OUTPUT",
        help="The folder for the decisions, in parts of the same format as the input. Run the "
        "command again to go on where a run was stopped or killed.",
    ),
]
ColumnOption = Annotated[
    str, typer.Option(metavar="NAME", help="The column, or the field of a line, with the query.")
]
KeepOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...", help="Columns to write beside the decisions; default: all of the input."
    ),
]
EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option(
        help="Where it runs: on this machine's cores, or on the Ray cluster that RAY_ADDRESS names."
    ),
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|MIN:MAX",
        help="Processes here, or actors of Ray; default: one per core where that pays, and on "
        "Ray as many as work and room allow.",
    ),
]
GpusOption = Annotated[
    float, typer.Option(metavar="SHARE", min=0, help="GPUs of each actor of Ray.")
]


def batch(
    pipeline: control_options.PipelineArgument,
    source: InputArgument,
    output: OutputArgument,
    column: ColumnOption = "query",
    keep: KeepOption = None,
    budget: control_options.BudgetOption = None,
    quality: control_options.QualityOption = None,
    performance: control_options.PerformanceOption = None,
    lambda_: control_options.LambdaOption = None,
    confidence: control_options.ConfidenceOption = None,
    exclude: control_options.ExcludeOption = None,
    needs: control_options.NeedsOption = None,
    region: control_options.RegionOption = None,
    context_tokens: control_options.ContextOption = None,
    model_facts: common.FactsOption = None,
    engine: EngineOption = "local",
    workers: WorkersOption = None,
    gpus: GpusOption = 0.0,
    encoder_option: common.EncoderSettingOption = None,
    weights: common.WeightsOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Decide every query of files of any size; a run that was stopped goes on."""
    from equirouter.policy import Control
    from equirouter.scale.run import run_batch

    crew = _crew(workers)
    control = Control(budget, quality, performance, lambda_, confidence)
    constraints = control_options.needs_of(exclude, needs, region, context_tokens)
    loaded = common.load_pipeline(pipeline, encoder_option, weights)
    with Bars(quiet=quiet) as progress:
        done = run_batch(
            control_options.asking_of(loaded, control, constraints, model_facts, column),
            source,
            output,
            keep=None if keep is None else tuple(name for name in keep.split(",") if name),
            engine=engine,
            workers=crew,
            gpus=gpus,
            say=(lambda _: None) if quiet else common.say,
            progress=progress,
        )
    if as_json:
        common.print_json(asdict(done))
    elif not quiet:
        there = f", of which {done.resumed} were there already" if done.resumed else ""
        typer.echo(
            f"{number_of(done.rows, 'decision', 'decisions')} in "
            f"{number_of(done.parts, 'part', 'parts')}{there}: {done.output}"
        )


def _crew(workers: str | None) -> tuple[int, int] | None:
    if workers is None:
        return None
    numbers = re.fullmatch(r"(\d+)(?::(\d+))?", workers)
    least, most = map(int, (numbers[1], numbers[2] or numbers[1])) if numbers else (0, 0)
    if not 1 <= least <= most:
        raise typer.BadParameter(
            f"{workers!r}: expected a number from 1, or two as in 2:16", param_hint="--workers"
        )
    return least, most
