"""Tables in JSON: one object per line, a list of objects, or an object of columns."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from equirouter.errors import DataError

Cells = dict[str, list[Any]]


def read_json_lines(path: Path) -> tuple[Cells, list[int]]:
    """The cells of a file of objects, one per line, and the line of each row.

    Raises DataError that names the line of what is not JSON or no object.
    """
    columns: Cells = {}
    texts: dict[str, str] = {}  # a long table says the same in many rows
    lines: list[int] = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.isspace():
                continue
            place = f"{path}: line {number}"
            try:
                row = _decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{place}: byte {error.start} of the line is not valid UTF-8; "
                    "save the file as UTF-8"
                ) from error
            except (ValueError, RecursionError) as error:
                raise DataError(f"{place}: this is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f'{place}: expected one object per line: {{"query_id": ...}}')
            for name, value in row.items():
                cells = columns.setdefault(name, [])
                cells += [None] * (len(lines) - len(cells))
                cells.append(texts.setdefault(value, value) if isinstance(value, str) else value)
            lines.append(number)
    for cells in columns.values():
        cells += [None] * (len(lines) - len(cells))
    return columns, lines


def read_json_columns(path: Path) -> tuple[Cells, list[int] | None]:
    """The cells of one JSON document, and the line of each row where it is JSON lines after all.

    The document is a list of objects, [{"query_id": ...}, ...], or an object of columns, each a
    list of cells or, as pandas writes it, an object of row -> cell. Raises DataError for others.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not valid UTF-8; save the file as UTF-8"
        ) from error
    try:
        document = _decode(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return read_json_lines(path)
        raise DataError(f"{path}: this is not JSON: {error}") from error
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        return _by_column(document), None
    columns = _columns(document)
    if columns is None:
        raise DataError(
            f'{path}: expected a list of rows, [{{"query_id": ...}}, ...], or an object of '
            'columns, {"query_id": [...], ...}; write the table so, or as JSON lines'
        )
    return columns, None


def _columns(document: Any) -> Cells | None:  # noqa: ANN401  # whatever JSON can hold
    """The columns of an object of columns that have as many cells each; None for others."""
    if not isinstance(document, dict) or not document:
        return None
    if all(isinstance(cells, list) for cells in document.values()):
        same = len({len(cells) for cells in document.values()}) == 1
        return document if same else None
    if all(isinstance(cells, dict) for cells in document.values()):
        rows = list(next(iter(document.values())))
        if all(list(cells) == rows for cells in document.values()):
            return {name: list(cells.values()) for name, cells in document.items()}
    return None


def _by_column(rows: list[dict[str, Any]]) -> Cells:
    names: Mapping[str, None] = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number; write null where a value is not known")


_decode: Callable[[str], Any] = json.JSONDecoder(parse_constant=_refuse_constant).decode
