"""Outcomes tables from whatever names or holds one, and written: wide and long."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from equirouter.answers import make_extractor
from equirouter.data.logs.recognise import no_outcomes_advice
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.arrow import to_long, to_wide
from equirouter.data.reading.files import RECOGNISED, read_file, read_frame
from equirouter.data.reading.layouts import from_columns
from equirouter.data.sources.by_name import load_named
from equirouter.data.table_checks import check_range
from equirouter.errors import ConfigError, DataError, UnknownNameError
from equirouter.output import atomic_write
from equirouter.progress import Progress, silent
from equirouter.registry import DATASETS


def read_table(
    path: str | Path,
    *,
    name: str | None = None,
    performance_range: tuple[float, float] = (0.0, 1.0),
    answers_by: str | None = None,
) -> Outcomes:
    """Read an outcomes table: .parquet, .csv, .tsv, .jsonl, .ndjson, .json, or pandas in a .pkl.

    Long, one row per query and model: columns query_id (or sample_id), query (prompt), task
    (eval_name), model (model_name), performance (score), cost_usd (cost); optional are image_path,
    input_tokens and output_tokens, model_description, answer, answers_by, finish_reason, scored_by,
    propensity and signal.NAME. Wide, one row per query: the columns of the query, and for every
    model MODEL (its performance) and MODEL|total_cost; optional are answers_by, and
    MODEL|input_tokens and MODEL|output_tokens, MODEL|description, MODEL|answer,
    MODEL|finish_reason, MODEL|scored_by, MODEL|propensity and MODEL|signal.NAME.
    Without task all queries are of one task, without query_id every text (wide: every row) is a
    query.

    answers_by: read the answers out of the columns model_response or MODEL|model_response, as
    make_extractor says (number, choice, boxed, json:/path, label, exact); without, these are left
    out. Of a table that has answers and no responses: what they were read by, in place of what its
    column answers_by says.
    name: what messages and results call the table, else the file's name. Cells that are empty or
    say nan are NaN, true is 1 and false 0. Relative image paths start at the file's folder. A
    pickle is read without running what is in it.
    Raises DataError that names file, row (counted from 1, without the line of column names; in JSON
    lines the line of the file) and column.

    >>> from equirouter.data import load_dataset
    >>> write_table(load_dataset("simulated:n_queries=80"), "outcomes.parquet")
    >>> read_table("outcomes.parquet").n_models
    11
    """
    check_range(*performance_range)
    path = Path(path)
    extractor = None if answers_by is None else make_extractor(answers_by)
    try:
        table = from_columns(
            read_file(path, responses=extractor is not None),
            name=name or path.stem,
            performance_range=performance_range,
            extractor=extractor,
        )
    except DataError as error:
        advice = no_outcomes_advice(path, str(error))
        if advice is None:
            raise
        raise DataError(advice) from error
    return table if table.image_paths is None else replace(table, image_root=path.absolute().parent)


def write_table(
    outcomes: Outcomes, path: str | Path, *, layout: Literal["long", "wide"] = "long"
) -> None:
    """Write an outcomes table as .parquet, .csv, .jsonl or .ndjson; the suffix names the format.

    Reading it again gives the same table bit for bit: the file holds all but name, notes and
    performance_range. Only image paths that start at another folder than the file's
    are written so that they lead to the same images from there: relative to the file's folder if
    below it, else absolute. The file appears whole or not at all.
    Raises DataError for another suffix and for a model that cannot be a column of a wide table,
    ConfigError for another layout, OutputError when the system refuses.

    >>> from equirouter.data import load_dataset
    >>> write_table(load_dataset("simulated:n_queries=80"), "wide.csv", layout="wide")
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise DataError(
            f"{path}: the suffix {path.suffix!r} is not known; tables are written as "
            f"{', '.join(_WRITERS)}"
        )
    if layout not in ("long", "wide"):
        raise ConfigError(f"layout is {layout!r}, expected 'long' or 'wide'")
    outcomes = _with_images_from(outcomes, path.absolute().parent)
    table = to_long(outcomes) if layout == "long" else to_wide(outcomes)
    with atomic_write(path, "wb") as stream:
        write(table, stream)


def _with_images_from(outcomes: Outcomes, folder: Path) -> Outcomes:
    """A copy whose image paths lead to the same images from a file in that folder."""
    if outcomes.images is None or outcomes.image_root in (None, folder):
        return outcomes
    moved = (
        None if image is None else _path_from(folder, Path(image)) for image in outcomes.images
    )
    return replace(outcomes, image_paths=tuple(moved))


def _path_from(folder: Path, image: Path) -> str:
    return str(image.relative_to(folder) if image.is_relative_to(folder) else image.absolute())


def _write_parquet(table: pa.Table, stream: IO[bytes]) -> None:
    pq.write_table(table, stream, compression="zstd")


def _write_csv(table: pa.Table, stream: IO[bytes]) -> None:
    pa_csv.write_csv(table, stream)


def _write_jsonl(table: pa.Table, stream: IO[bytes]) -> None:
    keys = [f"{_to_json(name)}: " for name in table.column_names]
    columns: Any = [_json_cells(column) for column in table.columns]
    for cells in zip(*columns, strict=True):
        pairs = map(str.__add__, keys, cells)
        stream.write(("{" + ", ".join(pairs) + "}\n").encode("utf-8"))


def _json_cells(column: pa.ChunkedArray) -> list[str]:
    """Each cell as JSON; a text is encoded once however often it occurs, as in a long table."""
    if pa.types.is_floating(column.type):
        return ["null" if cell is None else repr(cell) for cell in column.to_pylist()]
    encoded = column.combine_chunks().dictionary_encode()
    values = [*map(_to_json, encoded.dictionary.to_pylist()), "null"]
    codes = encoded.indices.fill_null(len(values) - 1).to_pylist()
    return [values[code] for code in codes]


_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


_WRITERS: dict[str, Callable[[pa.Table, IO[bytes]], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".ndjson": _write_jsonl,
}


def as_outcomes(
    table: object,
    *,
    name: str = "table",
    performance_range: tuple[float, float] = (0.0, 1.0),
    answers_by: str | None = None,
    progress: Progress = silent,
) -> Outcomes:
    """An outcomes table from what a caller has.

    table: an Outcomes, which is returned as it is; the name of a data set or the path of a file, as
    load_dataset takes them; or a pandas, polars or pyarrow table, or a mapping of column -> cells,
    wide or long, with the columns of an outcomes file (docs/data-format.md). Tables in memory are
    read through the Arrow PyCapsule interface, `__arrow_c_stream__`, so no library is needed.
    name: of such a table, for messages and results. performance_range: the worst and the best
    performance in a file or such a table. answers_by: of one too, see read_table.
    Raises the errors of load_dataset; DataError that names row (counted from 1) and column.

    >>> as_outcomes({"query": ["2 + 2?"], "query_id": ["a"], "m": [1.0], "m|total_cost": [0.01]})
    Outcomes 'table': 1 query, 1 model, 1 task
      model  performance    cost_usd
      m           1.0000    0.010000
      tasks: all 1
      note: there is no column 'task' (or 'eval_name'): all queries are of one task, 'all'
    """
    if isinstance(table, Outcomes):
        return table
    if isinstance(table, str | Path):
        return load_dataset(
            table, performance_range=performance_range, answers_by=answers_by, progress=progress
        )
    check_range(*performance_range)
    extractor = None if answers_by is None else make_extractor(answers_by)
    return from_columns(
        read_frame(table, name, responses=extractor is not None),
        name=name,
        performance_range=performance_range,
        extractor=extractor,
    )


def load_dataset(
    name_or_path: str | Path,
    *,
    performance_range: tuple[float, float] = (0.0, 1.0),
    answers_by: str | None = None,
    progress: Progress = silent,
) -> Outcomes:
    """The outcomes table of a registered data set, or in a file.

    name_or_path: a name of registry.DATASETS, which goes first, with settings as make_dataset reads
    them ("mixinstruct:metric=bleurt:path=FOLDER"), or the path of a file that read_table reads.
    performance_range: of a file; a registered data set knows its own. answers_by: of a file, see
    read_table; ConfigError for a registered one.
    Raises UnknownNameError when it is neither, ConfigError for a setting, DataError for a damaged
    file, DownloadError.

    >>> load_dataset("simulated:n_queries=80").n_queries
    80
    """
    name = str(name_or_path)
    if name.partition(":")[0] in DATASETS.names():
        if answers_by is not None:
            raise ConfigError(
                f"answers are read by {answers_by!r} out of a file, and {name} is the name of a "
                "data set: give the path of a file, or the data set's own setting answers_by"
            )
        return load_named(name, progress=progress)
    if os.path.exists(name):  # noqa: PTH110  # Path.exists raises on a name that is too long
        return read_table(name, performance_range=performance_range, answers_by=answers_by)
    if name.lower().endswith(RECOGNISED):  # a file is meant
        raise UnknownNameError(
            f"{name}: no file of that path was found; data sets that are known by a name are "
            f"{', '.join(DATASETS.names())}"
        )
    try:
        DATASETS.load(name.partition(":")[0])
    except UnknownNameError as error:
        raise UnknownNameError(f"{name}: no file of that path was found, and {error}") from None
    raise AssertionError("a name that is not registered was loaded")
