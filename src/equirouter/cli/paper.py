"""`equirouter paper`: the experiments of the paper, on any data set."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equirouter.cli import common
from equirouter.cli.bars import Bars
from equirouter.cli.grouped_help import names_of
from equirouter.registry import ENCODERS, EXPERIMENTS, POLICIES

if TYPE_CHECKING:
    from equirouter.data.split import SplitKind
    from equirouter.encoders.base import Encoder
    from equirouter.evaluation.facts import Protocol
    from equirouter.evaluation.results import Results
    from equirouter.paper.context import Context

    Given = dict[SplitKind, Results]

NAMES = ", ".join(EXPERIMENTS.builtin)


ENCODER, POLICY = "minilm", "budget-grid"
"""Those of the paper."""

PaperEncoderOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=names_of(ENCODERS),
        help=f"The text encoder; default: {ENCODER}, or that of --results.",
    ),
]
PaperPolicyOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=names_of(POLICIES),
        callback=common.check_policy,
        help=f"As in bench; default: {POLICY}, or that of --results.",
    ),
]
NamesArgument = Annotated[
    list[str], typer.Argument(metavar="NAME...", help=f"Experiments, or all: {NAMES}.")
]
DatasetOption = Annotated[
    str,
    typer.Option(
        metavar="DATASET",
        help="A name from `equirouter data list`, or a path to a .parquet, .csv, .jsonl or "
        "RouterBench .pkl file.",
    ),
]
PaperRoutersOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...|all",
        help="Routers as in bench; default: all, and the authors' equirouter with its "
        "ablations, or those of --results.",
    ),
]
ResultsOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="Results that `bench --out DIR` wrote for this data set: they are taken instead of "
        "running again. May be given twice, in-domain and ood.",
    ),
]
SeedsOption = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Seeds 42, 43, ...; default: 3, or those of --results."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Tables, figures, report; default: runs/paper-DATASET."),
]

BudgetOption = Annotated[
    float | None,
    typer.Option(
        metavar="USD",
        help="What a call may cost in fig3-margin, fig3-noise, figA2 and figA3; default: no limit.",
    ),
]


def paper(
    names: NamesArgument,
    dataset: DatasetOption = "simulated",
    routers: PaperRoutersOption = None,
    results: ResultsOption = None,
    encoder: PaperEncoderOption = None,
    window: common.WindowOption = None,
    precision: common.PrecisionOption = None,
    encoder_option: common.EncoderSettingOption = None,
    embeddings: common.EmbeddingsOption = None,
    weights: common.WeightsOption = None,
    policy: PaperPolicyOption = None,
    budget: BudgetOption = None,
    seeds: SeedsOption = None,
    resamples: common.ResamplesOption = 1000,
    out: OutOption = None,
    device: common.DeviceOption = "auto",
    performance_range: common.PerformanceRangeOption = (0.0, 1.0),
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Make the paper's tables and figures from a data set, and say which claims hold."""
    from equirouter.encoders.cache import EmbeddingCache
    from equirouter.output import make_folder
    from equirouter.paper.context import Context
    from equirouter.paper.report_all import experiments

    experiments(names)  # a wrong name is said now, and not after the encoding
    given = _read(results or [])
    first = next(iter(given.values()), None)
    specs = _routers(routers, first)
    protocol = None if first is None else first.protocol
    asked = {"window": window, "precision": precision, "weights": weights}
    made = _encoder(encoder, encoder_option, asked, protocol)
    _check(dataset, specs, None if embeddings is not None else made)
    with Bars(quiet=quiet) as progress:
        outcomes = common.open_dataset(dataset, performance_range, quiet=quiet, progress=progress)
        context = Context(
            outcomes,
            made,
            routers=specs,
            policy=policy or (POLICY if protocol is None else protocol.policy),
            n_seeds=seeds or (3 if protocol is None else len(protocol.seeds)),
            budget_usd=budget,
            resamples=resamples,
            device=device,
            given=common.open_given(embeddings, outcomes, made),
            cache=EmbeddingCache(),
            results=given,
            out=make_folder(out or Path("runs") / f"paper-{outcomes.name}"),
            progress=progress,
        )
        document, report = _run(names, context)
    _show(document, report, as_json=as_json)


def _encoder(
    name: str | None, settings: list[str] | None, asked: dict[str, Any], known: "Protocol | None"
) -> "Encoder":
    """The encoder of that name, else that of results with the settings that are asked for."""
    if name is None and known is not None:
        stored = [f"{key}={json.dumps(value)}" for key, value in known.encoder_settings.items()]
        name, settings = known.encoder, [*stored, *(settings or [])]  # the last one counts
    return common.make_text_encoder(name or ENCODER, settings=settings, **asked)


def _check(dataset: str, routers: tuple[str, ...], encoder: "Encoder | None") -> None:
    """Raise MissingExtraError, before any work, with all that the experiments lack."""
    from equirouter.extras import Need
    from equirouter.training.needs import check_what_fits

    figures = Need("matplotlib", "train", "draw figures")
    check_what_fits(routers, encoder, dataset=dataset, more=[figures], cost_network=True)


def _run(names: list[str], context: "Context") -> tuple[dict[str, Any], Path]:
    """The document of paper.json, and the path of the report."""
    from equirouter.paper.report_all import run_experiments, write_paper, write_section

    folder = context.out or Path()
    made = run_experiments(
        names, context, on_section=lambda section: write_section(section, folder)
    )
    return write_paper(made, context, folder, command=["equirouter", *sys.argv[1:]])


def _read(folders: list[Path]) -> "Given":
    """Results by the kind of their split. Raises BadParameter for two of one kind."""
    from equirouter.evaluation.results import read_results

    given: Given = {}
    for folder in folders:
        results = read_results(folder / "results.json")
        kind = results.protocol.split
        if kind in given:
            raise typer.BadParameter(
                f"{folder}: these are the second results of the {kind} split; expected one of each",
                param_hint="--results",
            )
        given[kind] = results
    return given


def _routers(routers: str | None, given: "Results | None") -> tuple[str, ...]:
    from equirouter.paper.router_sets import paper_routers

    if routers is not None:
        return tuple(common.router_specs(routers))
    return tuple(paper_routers() if given is None else given.routers)


def _show(document: dict[str, Any], report: Path, *, as_json: bool) -> None:
    for each in document["not_run"]:
        common.say(f"not run: {each['name']}: {each['reason']}")
    if as_json:
        common.print_json(document)
        return
    for section in document["sections"]:
        typer.echo(f"{section['name']}: {section['verdict']}. {section['finding']}")
    typer.echo(f"report: {report}")
