"""Outcomes files of every format, read into raw columns: parquet, CSV, JSON lines and pickle."""

import csv
import json
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from equirouter.data.reading.columns import RawTable, is_ignored
from equirouter.data.reading.unpickle import read_pickle_table
from equirouter.errors import DataError

__all__ = ["READABLE", "read_file", "read_frame"]

_BLOCK_BYTES = 1 << 26  # a CSV row must fit into one block: long queries do, with room to spare


def read_file(path: Path) -> RawTable:
    """Read the columns of a file that an outcomes table may need; the suffix names the format.

    Raises DataError, which names the file, for one that is not there, is empty, has no rows, has
    another suffix, or is damaged.
    """
    if path.is_dir():
        raise DataError(f"{path}: this is a folder, a file is expected: {_suffixes()}")
    if not path.exists():
        raise DataError(f"{path}: there is no such file; check the path")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: the suffix {path.suffix!r} is not known; expected one of {_suffixes()}"
        )
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes), an outcomes table is expected")
        raw = reader(path)
    except OSError as error:
        raise DataError(f"{path}: could not be read: {error.strerror or error}") from error
    return _with_rows(raw)


def read_frame(table: object, name: str) -> RawTable:
    """The columns of a table in memory that an outcomes table may need.

    table: anything with the Arrow PyCapsule interface, as pandas, polars and pyarrow tables have
    it, or a mapping of column -> cells. name: stands for the file in messages.
    Raises DataError for anything else, and for a table without rows.
    """
    path = Path(name)
    if isinstance(table, Mapping):
        columns = {str(column): list(cells) for column, cells in table.items()}
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
    _check_names(path, whole.column_names)
    wanted = [column for column in whole.column_names if not is_ignored(column)]
    return _with_rows(_from_arrow(path, whole.select(wanted)))


def _with_rows(raw: RawTable) -> RawTable:
    if raw.n_rows == 0:
        raise DataError(f"{raw.path}: there are no rows, only column names; at least one is needed")
    return raw


def _read_parquet(path: Path) -> RawTable:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_names(path, names)
            table = file.read(columns=[name for name in names if not is_ignored(name)])
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: not a whole parquet file ({_one_line(error)}); make it or fetch it anew"
        ) from error
    return _from_arrow(path, table)


def _read_csv(path: Path) -> RawTable:
    names = _csv_names(path)
    wanted = [name for name in names if not is_ignored(name)]
    convert = pa_csv.ConvertOptions(
        # Every cell as text: 0.10 and 1e400 must not be judged before the column is known.
        column_types=dict.fromkeys(wanted, pa.large_string()),
        include_columns=wanted,
        strings_can_be_null=True,
        null_values=[""],
        quoted_strings_can_be_null=False,
    )
    try:
        table = pa_csv.read_csv(
            path,
            pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            pa_csv.ParseOptions(newlines_in_values=True),
            convert,
        )
    except pa.ArrowException as error:
        _explain_csv(path, error)
    return _from_arrow(path, table)


def _csv_names(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        try:
            names = next(csv.reader(stream), [])
        except csv.Error as error:
            raise DataError(f"{path}: the line of column names cannot be read: {error}") from error
    if any("\udc80" <= character <= "\udcff" for name in names for character in name):
        raise DataError(f"{path}: the line of column names is not valid UTF-8")
    _check_names(path, names)
    return names


def _explain_csv(path: Path, error: Exception) -> NoReturn:
    """Find out where a CSV file is broken, at leisure: the fast reader does not say."""
    data = path.read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        raise DataError(
            f"{path}: byte {wrong.start} (in line {line}) is not valid UTF-8; "
            "save the file as UTF-8"
        ) from wrong
    rows: list[Any] = []  # pyarrow.csv.InvalidRow

    def remember(row: Any) -> str:  # noqa: ANN401
        rows.append(row)
        return "error"

    try:
        pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),  # else no row numbers
            pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=remember),
        )
    except pa.ArrowException as again:
        error = again
    if rows:
        raise DataError(
            f"{path}: data row {rows[0].number - 1} has {rows[0].actual_columns} cells, the line "
            f"of column names has {rows[0].expected_columns}; is a comma or a quote missing there?"
        ) from error
    raise DataError(f"{path}: this is not a whole CSV file: {_one_line(error)}") from error


def _read_jsonl(path: Path) -> RawTable:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.isspace():
                continue
            place = f"{path}: line {number}"
            try:
                row = decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{place}: byte {error.start} of the line is not valid UTF-8"
                ) from error
            except (ValueError, RecursionError) as error:
                raise DataError(f"{place}: this is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f'{place}: expected one object per line: {{"query_id": ...}}')
            rows.append(row)
            lines.append(number)
    names = [name for name in dict.fromkeys(chain.from_iterable(rows)) if not is_ignored(name)]
    columns = {name: _to_arrow(path, name, [row.get(name) for row in rows]) for name in names}
    return RawTable(path, columns, len(rows), lines)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number; write null where a value is not known")


def _read_pickle(path: Path) -> RawTable:
    table = read_pickle_table(path)
    columns = {
        name: _to_arrow(path, name, cells) for name, cells in table.items() if not is_ignored(name)
    }
    return RawTable(path, columns, len(next(iter(table.values()), [])))


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
        return pa.chunked_array([pa.array(texts, pa.large_string())])
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: column {name!r} holds half a surrogate pair, which is no valid Unicode: "
            f"{error.object[max(0, error.start - 20) : error.start]!r} stands before it"
        ) from error
    except ValueError as error:  # Python writes no integer of more than 4,300 digits
        raise DataError(f"{path}: column {name!r} holds an integer beyond 1e308") from error


def _from_arrow(path: Path, table: pa.Table) -> RawTable:
    return RawTable(path, dict(zip(table.column_names, table.columns, strict=True)), table.num_rows)


def _check_names(path: Path, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: column {twice!r} occurs twice; give each column its own name")


def _one_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _suffixes() -> str:
    return ", ".join(READABLE)


_READERS: dict[str, Callable[[Path], RawTable]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
}
READABLE = tuple(_READERS)
"""The suffixes of the files that can be read."""
