"""Outcomes files of every format, read into raw columns: parquet, CSV, JSON and pickle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equirouter.data.reading.columns import (
    REPEATED,
    RawTable,
    check_names,
    is_ignored,
    is_text,
)
from equirouter.data.reading.delimited import read_delimited
from equirouter.data.reading.json_rows import read_json_columns, read_json_lines
from equirouter.data.reading.unpickle import Column, read_pickle_table
from equirouter.errors import DataError


def read_file(path: Path, *, responses: bool = False) -> RawTable:
    """Read the columns of a file that an outcomes table may need; the suffix names the format.

    responses: whether it needs the whole responses, to read answers out of them.
    Raises DataError, which names the file, for one that is not there, is empty, has no rows, has
    another suffix, or is damaged.
    """
    if path.is_dir():
        raise DataError(f"{path}: this is a folder, a file is expected: {_suffixes()}")
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check the path")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        instead = _INSTEAD.get(path.suffix.lower())
        raise DataError(
            f"{path}: {path.suffix} files are not read; {instead}"
            if instead
            else f"{path}: the suffix {path.suffix!r} is not known; expected one of {_suffixes()}"
        )
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes), a table is expected")
        raw = reader(path, responses=responses)
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error
    return _with_rows(raw)


def read_frame(table: object, name: str, *, responses: bool = False) -> RawTable:
    """The columns of a table in memory that an outcomes table may need.

    table: anything with the Arrow PyCapsule interface, as pandas, polars and pyarrow tables have
    it, or a mapping of column -> cells. name: stands for the file in messages. responses: see
    read_file.
    Raises DataError for anything else, and for a table without rows.
    """
    path = Path(name)
    if isinstance(table, Mapping):
        columns = {
            str(column): list(cells)
            for column, cells in table.items()
            if not is_ignored(str(column), responses=responses)
        }
        check_names(path, list(columns))
        arrow = {column: _to_arrow(path, column, cells) for column, cells in columns.items()}
        lengths = set(map(len, columns.values()))
        if len(lengths) != 1:
            raise DataError(f"{name}: the columns have {sorted(lengths)} cells, expected as many")
        return _with_rows(RawTable(path, arrow, lengths.pop()))
    if not hasattr(table, "__arrow_c_stream__"):
        raise DataError(
            f"{name}: this is a {type(table).__name__}; expected a pandas, polars or pyarrow table "
            "or a mapping of column -> cells"
        )
    try:
        whole = pa.table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"{name}: the table cannot be read: {_one_line(error)}") from error
    check_names(path, whole.column_names)
    wanted = [c for c in whole.column_names if not is_ignored(c, responses=responses)]
    return _with_rows(_from_arrow(path, whole.select(wanted)))


def _with_rows(raw: RawTable) -> RawTable:
    if raw.n_rows == 0:
        raise DataError(f"{raw.path}: there are no rows, only column names; at least one is needed")
    return raw


def _read_parquet(path: Path, *, responses: bool) -> RawTable:
    try:
        schema = pq.read_schema(path)
        check_names(path, schema.names)
        wanted = [name for name in schema.names if not is_ignored(name, responses=responses)]
        once = [name for name in wanted if name in REPEATED and is_text(schema.field(name).type)]
        with pq.ParquetFile(path, read_dictionary=once) as file:
            table = file.read(columns=wanted)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a whole parquet file ({_one_line(error)}); make it or fetch it anew"
        ) from error
    return _from_arrow(path, table)


def _read_json_lines(path: Path, *, responses: bool) -> RawTable:
    return _from_cells(path, *read_json_lines(path), responses=responses)


def _read_json(path: Path, *, responses: bool) -> RawTable:
    return _from_cells(path, *read_json_columns(path), responses=responses)


def _from_cells(
    path: Path, cells: Mapping[str, Column], lines: list[int] | None = None, *, responses: bool
) -> RawTable:
    check_names(path, list(cells))
    columns = {
        name: _to_arrow(path, name, column)
        for name, column in cells.items()
        if not is_ignored(name, responses=responses)
    }
    return RawTable(path, columns, len(next(iter(cells.values()), [])), lines)


def _read_pickle(path: Path, *, responses: bool) -> RawTable:
    return _from_cells(path, read_pickle_table(path), responses=responses)


def _to_arrow(path: Path, name: str, cells: Any) -> pa.ChunkedArray:  # noqa: ANN401
    """Python cells as one Arrow column; a mixture of texts and numbers becomes texts.

    Numbers are written with repr, which is exact for float64, and True as 1.
    """
    if isinstance(cells, np.ndarray):
        return pa.chunked_array([pa.array(cells)])
    kinds = set(map(type, cells)) - {type(None)}
    if not kinds <= {str, float, int, bool}:
        other = next(kind.__name__ for kind in kinds if kind not in {str, float, int, bool})
        raise DataError(f"{path}: column {name!r} holds a {other}, texts and numbers are expected")
    if kinds == {bool}:
        return pa.chunked_array([pa.array(cells, pa.bool_())])
    if str not in kinds:
        try:
            return pa.chunked_array([pa.array([None if c is None else float(c) for c in cells])])
        except OverflowError as error:
            raise DataError(f"{path}: column {name!r} holds an integer beyond 1e308") from error
    try:
        texts = [c if c is None or isinstance(c, str) else repr(+c) for c in cells]
        if name not in REPEATED:
            return pa.chunked_array([pa.array(texts, pa.large_string())])
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        values = pa.array([*place], pa.large_string())
        codes = pa.array(np.fromiter((place[text] for text in texts), np.int32, len(texts)))
        return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, values)])
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: column {name!r} holds half a surrogate pair, which is not valid Unicode: "
            f"{error.object[max(0, error.start - 20) : error.start]!r} stands before it"
        ) from error
    except ValueError as error:  # Python writes no integer of more than 4,300 digits
        raise DataError(f"{path}: column {name!r} holds an integer beyond 1e308") from error


def _from_arrow(path: Path, table: pa.Table) -> RawTable:
    return RawTable(path, dict(zip(table.column_names, table.columns, strict=True)), table.num_rows)


def _one_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _suffixes() -> str:
    return ", ".join(READABLE)


_READERS: dict[str, Callable[..., RawTable]] = {
    ".parquet": _read_parquet,
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
}
READABLE = tuple(_READERS)
"""The suffixes of the files that can be read."""

_SPREADSHEET = "save the sheet as 'CSV UTF-8' and give that file"
_PACKED = "unpack it and give the file in it"
_FRAME = "load it as a data frame and give that to as_outcomes, or write it as parquet"
_INSTEAD = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods", ".numbers"), _SPREADSHEET),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar"), _PACKED),
    **dict.fromkeys((".feather", ".arrow", ".ipc", ".orc", ".avro", ".h5"), _FRAME),
    ".txt": "name it .csv or .tsv if its first line has the column names",
}
"""What to do with a file of another kind that tables are often in."""

RECOGNISED = (*READABLE, *_INSTEAD)
"""The suffixes of files that hold a table: those that can be read, and those that need a step."""
