"""Options that several commands share, and output."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from equirouter.cli.grouped_help import names_of
from equirouter.errors import DataError, GateRefusedError
from equirouter.progress import Progress
from equirouter.registry import DATASETS, ENCODERS, POLICIES, ROUTERS, setting_value

if TYPE_CHECKING:
    from equirouter.arrays import Float32Array
    from equirouter.data.outcomes import Outcomes
    from equirouter.encoders.base import Encoder
    from equirouter.pipeline.pipeline import RoutingPipeline

GATE_REFUSED = 3
"""The exit code where a gate said no."""

Window = Literal["head", "tail", "head+tail"]
Precision = Literal["fp32", "int8"]
SplitName = Literal["in-domain", "ood"]
Device = Literal["auto", "cpu", "cuda"]

DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        autocompletion=names_of(DATASETS),
        help="A name from `equirouter data list`, with settings as NAME:key=value (path=... is a "
        "local copy), or a path to a .parquet, .csv, .tsv, .jsonl, .json or RouterBench .pkl file.",
    ),
]
EncoderOption = Annotated[
    str,
    typer.Option(metavar="NAME", autocompletion=names_of(ENCODERS), help="The text encoder."),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="A folder with the encoder's weights; default: the installed package, else the hub.",
    ),
]
WindowOption = Annotated[
    Window | None,
    typer.Option(help="Which tokens of a long query are read; default: the encoder's own."),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(help="Precision of minilm; default: fp32 in bench, the faster int8 in train."),
]
EncoderSettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder-option",
        metavar="KEY=VALUE",
        help="Another option of the encoder, such as model=FOLDER; may be repeated.",
    ),
]
FactsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="TOML or JSON with a table per model of context_tokens, abilities and regions, "
        "which constraints are checked against.",
    ),
]
EmbeddingsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npy",
        help="Embeddings of the data set's queries, (N, d) float32, made earlier by this encoder.",
    ),
]
SplitOption = Annotated[SplitName, typer.Option(help="Split 3:1:6 by queries, or by whole tasks.")]


def check_policy(name: str | None) -> str | None:
    """Raise UnknownNameError for a policy that is not registered: said before any work."""
    if name is not None:
        POLICIES.load(name)
    return name


RoutersOption = Annotated[
    str,
    typer.Option(
        metavar="A,B,...|all",
        autocompletion=names_of(ROUTERS),
        help="Routers as NAME[:PRESET][:key=value], separated by commas, or all (see `equirouter "
        "routers list`); FILE.py:CLASS in place of NAME is a router of your own.",
    ),
]
SeedOption = Annotated[
    int, typer.Option(metavar="N", min=0, help="Seed of the split and the training.")
]
ResamplesOption = Annotated[
    int, typer.Option(metavar="N", min=0, help="Bootstrap resamples; 0: no intervals.")
]
DeviceOption = Annotated[Device, typer.Option(help="Where routers are fitted.")]
AnswersByOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How answers are read out of responses: number, choice, boxed, json:/path, label, "
        "exact.",
    ),
]
PerformanceRangeOption = Annotated[
    tuple[float, float],
    typer.Option(metavar="LOW HIGH", help="The scale of performance in a file of your own."),
]
ModelsOption = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="Only these models of the data set, in this order."),
]
ExcludeModelsOption = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="All models of the data set but these.")
]
IntervalsOption = Annotated[
    bool, typer.Option("--intervals", help="Print 95 % intervals as well: [low, high].")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, progress on stderr.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", help="No progress and no remarks, only the result.")
]


def say(text: str) -> None:
    """One line on stderr."""
    typer.echo(text, err=True)


def print_json(document: Any) -> None:  # noqa: ANN401  # whatever JSON can hold
    """One JSON document on stdout."""
    typer.echo(json.dumps(document, allow_nan=False))


def refuse(why: str, *, as_json: bool) -> NoReturn:
    """End with the exit code of the gate; a JSON document has said why."""
    if not as_json:
        raise GateRefusedError(why)
    say(f"error: {why}")
    raise typer.Exit(GATE_REFUSED)


def names_in(listed: str) -> list[str]:
    """The names between commas, without the spaces around them."""
    return [name.strip() for name in listed.split(",") if name.strip()]


def router_specs(routers: str) -> list[str]:
    """The specs in a list of routers; "all" is every registered one but the anchors."""
    if routers.strip() != "all":
        parts = re.split(r",(?![^\[]*\])", routers)  # a comma within [] belongs to a setting
        specs = [spec.strip() for spec in parts if spec.strip()]
        if not specs:
            raise typer.BadParameter("name at least one router, or all", param_hint="--routers")
        return specs
    return [name for name, kind in ROUTERS.load_all().items() if not kind.is_anchor]


def say_each(kind: str, texts: Iterable[str], *, quiet: bool = False) -> None:
    """A line each on stderr. kind: "note" or "warning"."""
    for text in () if quiet else texts:
        say(f"{kind}: {text}")


def say_notes(outcomes: "Outcomes", *, quiet: bool = False) -> None:
    """Decisions made while reading a table, and what a log is, a line each on stderr."""
    from equirouter.data.logged import log_note

    say_each("note", (*outcomes.notes, *log_note(outcomes)), quiet=quiet)


def open_dataset(
    name: str,
    performance_range: tuple[float, float],
    *,
    answers_by: str | None = None,
    quiet: bool,
    progress: Progress,
) -> "Outcomes":
    """Load a data set and print the notes of its reader."""
    from equirouter.data import load_dataset

    outcomes = load_dataset(
        name, performance_range=performance_range, answers_by=answers_by, progress=progress
    )
    say_notes(outcomes, quiet=quiet)
    return outcomes


def choose_models(
    outcomes: "Outcomes", models: str | None, exclude: str | None, *, quiet: bool
) -> "Outcomes":
    """The table of the models that --models and --exclude-models leave, with a note on it."""
    chosen = outcomes.choose_models(
        None if models is None else _names(models, outcomes),
        exclude=_names(exclude or "", outcomes),
    )
    say_each("note", chosen.notes[-1:], quiet=quiet or chosen is outcomes)
    return chosen


def _names(listed: str, outcomes: "Outcomes") -> list[str]:
    """The names between commas; spaces around one count only where a model is called so."""
    names = (name if name in outcomes.models else name.strip() for name in listed.split(","))
    return [name for name in names if name]


def open_to_learn(
    table: tuple[str, tuple[float, float], str | None],
    models: tuple[str | None, str | None],
    routers: list[str],
    encoder: "Encoder",
    embeddings: Path | None,
    *,
    quiet: bool,
    progress: Progress,
) -> "tuple[Outcomes, Float32Array | None]":
    """A data set as routers learn from it, and the embeddings in a file where one is given.

    table: name, scale and extractor of answers. models: those of --models and --exclude-models.
    Queries that the encoder does not read are left out unless there are embeddings, which need no
    encoder. Notes on all that, on the models' descriptions and warnings are printed.
    """
    from equirouter.data.table_warnings import table_warnings
    from equirouter.training.protocol import description_notes, readable, reading_notes

    name, performance_range, answers_by = table
    whole = open_dataset(
        name, performance_range, answers_by=answers_by, quiet=quiet, progress=progress
    )
    chosen = choose_models(whole, *models, quiet=quiet)
    say_each("warning", table_warnings(chosen), quiet=quiet)
    say_each("note", description_notes(chosen, routers), quiet=quiet)
    read = chosen if embeddings is not None else readable(encoder, chosen)
    left_out = read.notes[len(chosen.notes) :]
    say_each("note", (*left_out, *reading_notes(encoder, read)), quiet=quiet)
    return read, open_given(embeddings, whole, encoder, read)


def make_text_encoder(
    name: str,
    *,
    window: Window | None = None,
    precision: str | None = None,
    weights: str | Path | None = None,
    settings: list[str] | None = None,
) -> "Encoder":
    """The encoder that the options ask for. Raises BadParameter for a setting without a value."""
    from equirouter.encoders import make_encoder

    folder = None if weights is None else Path(weights)
    given = {"window": window, "precision": precision, "weights": folder}
    known = {option: value for option, value in given.items() if value is not None}
    return make_encoder(name, **(_encoder_options(settings) | known))


def load_pipeline(
    folder: Path, settings: list[str] | None, weights: str | None = None
) -> "RoutingPipeline":
    """The pipeline in a folder, with options of its encoder that it does not carry."""
    from equirouter.pipeline.pipeline import RoutingPipeline

    options = _encoder_options(settings)
    return RoutingPipeline.load(folder, weights=weights, encoder_options=options)


def _encoder_options(settings: list[str] | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for setting in settings or []:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise typer.BadParameter(
                f"{setting!r}: expected KEY=VALUE", param_hint="--encoder-option"
            )
        options[key] = setting_value(value)
    return options


def open_given(
    path: Path | None, whole: "Outcomes", encoder: "Encoder", kept: "Outcomes | None" = None
) -> "Float32Array | None":
    """The embeddings in a file, memory-mapped; None when no file is given.

    whole: the data set that the file is of. kept: the part of its queries that is used, and whose
    rows are returned; None for all.
    Raises DataError unless there is one per query, as wide as the encoder makes them.
    """
    from equirouter.encoders import open_embeddings

    if path is None:
        return None
    embeddings = open_embeddings(path, whole.n_queries)
    if embeddings.shape[1] != encoder.dimension:
        raise DataError(
            f"{path}: embeddings of {embeddings.shape[1]} numbers, but the encoder {encoder.name} "
            f"makes {encoder.dimension}: name the encoder that made them, with its options"
        )
    if kept is None or kept.n_queries == whole.n_queries:
        return embeddings
    used = set(kept.query_ids)
    return embeddings[[row for row, name in enumerate(whole.query_ids) if name in used]]
