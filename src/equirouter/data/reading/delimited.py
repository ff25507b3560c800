"""Tables of lines and separators: CSV with commas, semicolons or tabs, and TSV."""

import csv
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.csv as pa_csv

from equirouter.data.reading.columns import REPEATED, RawTable, check_names, is_ignored
from equirouter.errors import DataError

_BLOCK_BYTES = 1 << 26  # a row must fit into one block: long queries do, with room to spare
_REPEATED = pa.dictionary(pa.int32(), pa.string())
_SEPARATORS = (",", ";", "\t")


def read_delimited(path: Path, *, responses: bool = False) -> RawTable:
    """The columns of a file whose first line has their names, every cell as text.

    Columns are separated by commas, in a .tsv by tabs; where those part nothing, by semicolons,
    tabs or commas: spreadsheets write semicolons in many countries.
    responses: see is_ignored. Raises DataError for a damaged file.
    """
    names, separator = _names(path)
    check_names(path, names)
    wanted = [name for name in names if not is_ignored(name, responses=responses)]
    convert = pa_csv.ConvertOptions(
        # Every cell as text: 0.10 and 1e400 must not be judged before the column is known.
        column_types={
            name: _REPEATED if name in REPEATED else pa.large_string() for name in wanted
        },
        include_columns=wanted,
        strings_can_be_null=True,
        null_values=[""],
        quoted_strings_can_be_null=False,
    )
    try:
        table = pa_csv.read_csv(
            path,
            pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            pa_csv.ParseOptions(newlines_in_values=True, delimiter=separator),
            convert,
        )
    except pa.ArrowException as error:
        _explain(path, separator, error)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return RawTable(path, columns, table.num_rows)


def _names(path: Path) -> tuple[list[str], str]:
    """The column names in the first line, and what separates them."""
    first = "\t" if path.suffix.lower() == ".tsv" else ","
    names = _names_by(path, first)
    if len(names) <= 1:
        for separator in _SEPARATORS:
            others = _names_by(path, separator)
            if len(others) > 1:
                return others, separator
    return names, first


def _names_by(path: Path, separator: str) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        try:
            names = next(csv.reader(stream, delimiter=separator), [])
        except csv.Error as error:
            raise DataError(f"{path}: the line of column names cannot be read: {error}") from error
    if any("\udc80" <= character <= "\udcff" for name in names for character in name):
        raise DataError(
            f"{path}: the line of column names is not valid UTF-8; save the file as UTF-8"
        )
    return names


def _explain(path: Path, separator: str, error: Exception) -> NoReturn:
    """Find out where a file is broken, at leisure: the fast reader does not say."""
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

    parse = pa_csv.ParseOptions(
        newlines_in_values=True, delimiter=separator, invalid_row_handler=remember
    )
    # Row numbers are counted without threads only.
    read = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    try:
        pa_csv.read_csv(pa.BufferReader(data), read, parse)
    except pa.ArrowException as again:
        error = again
    if rows:
        sign = {",": "comma", ";": "semicolon", "\t": "tab"}[separator]
        raise DataError(
            f"{path}: data row {rows[0].number - 1} has {rows[0].actual_columns} cells, the line "
            f"of column names has {rows[0].expected_columns}; is a {sign} or a quote missing there?"
        ) from error
    reason = str(error).strip().split("\n")[0]
    raise DataError(f"{path}: this is not a whole CSV file: {reason}") from error
