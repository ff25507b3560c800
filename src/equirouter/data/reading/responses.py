"""Columns of a file about the responses: answers, finish reasons and signals, in both layouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equirouter.answers import Extractor, make_extractor
from equirouter.arrays import FloatArray, IntArray
from equirouter.data.cells import TextCells
from equirouter.data.reading.columns import (
    ANSWER,
    ANSWERS_BY,
    FIELDS,
    PROPENSITY,
    RESPONSE,
    SIGNAL,
    TOKENS,
    RawTable,
    join_prompt_lists,
)
from equirouter.errors import ConfigError, DataError

_SCALES = {
    **dict.fromkeys(
        TOKENS, (0.0, np.inf, "expected a number of tokens, or nothing where it is not known")
    ),
    PROPENSITY: (0.0, 1.0, "expected a probability from 0 to 1, or nothing"),
}
"""Of columns of numbers: least, most, and what is expected."""
_OF_SIGNALS = (-np.inf, np.inf, "expected a finite number, or nothing")


@dataclass(frozen=True)
class Grid:
    """Where the cells of a column belong in the table (N, K).

    shape: (N, K). columns: for each name of a kind of column ("answer", "signal.x"), the columns of
    the file that hold it. place: a column's cells -> their index in the table.
    """

    shape: tuple[int, int]
    columns: dict[str, list[str]]
    place: Callable[[str], tuple[IntArray, IntArray]]


def columns_of_responses(columns: Sequence[str], models: Sequence[str] | None) -> dict[str, Any]:
    """Kind -> the columns of a file that are about responses.

    models: of a wide table, whose columns are MODEL|answer and so on; None for a long one.
    """
    kinds: dict[str, list[str]] = {}
    known = None if models is None else set(models)
    for column in columns:
        model, _, kind = column.rpartition("|") if known is not None else ("", "", column)
        is_kind = kind in FIELDS or kind == RESPONSE or kind.startswith(SIGNAL)
        if is_kind and (known is None or model in known):
            kinds.setdefault(kind, []).append(column)
    return kinds


def response_fields(raw: RawTable, grid: Grid, extractor: Extractor | None) -> dict[str, Any]:
    """The fields of Outcomes that are about responses.

    extractor: reads the answers out of the responses that the file holds; where it holds answers
    instead, they are said to be this one's, whatever the file says. Raises DataError where it holds
    neither, or both, or names an extractor that there is not.
    """
    signals = (kind for kind in grid.columns if kind.startswith(SIGNAL))
    fields: dict[str, Any] = {field: _cells(raw, grid, kind) for kind, field in FIELDS.items()}
    fields["signals"] = {kind.removeprefix(SIGNAL): _cells(raw, grid, kind) for kind in signals}
    if extractor is None:
        return {**fields, "answers_by": _read_by(raw) if ANSWER in grid.columns else None}
    if RESPONSE not in grid.columns:
        if ANSWER in grid.columns:  # as the extractor read them before
            return {**fields, "answers_by": extractor.name}
        raise DataError(
            f"{raw.path}: answers are to be read by {extractor.spec!r}, and there is no response "
            f"to read them from: a column {RESPONSE!r}, or 'MODEL|{RESPONSE}' in a wide table, is "
            f"expected; found {raw.listing()}"
        )
    if ANSWER in grid.columns:
        raise DataError(
            f"{raw.path}: there are answers ({grid.columns[ANSWER][0]!r}) and responses to read "
            "answers from; leave the column of answers out, or ask for no extractor"
        )
    answers = _cells(raw, grid, RESPONSE, extractor)
    return {**fields, "answers": answers, "answers_by": extractor.name}


def _read_by(raw: RawTable) -> str | None:
    """The extractor that the file names for its answers: one for all of them."""
    if ANSWERS_BY not in raw.columns:
        return None
    named: dict[str, int] = {}
    for row, cell in enumerate(raw.optional_texts(ANSWERS_BY)):
        if cell:
            named.setdefault(cell, row)
    columns = [*named.items()]
    if len(columns) > 1:
        (first, _), (other, row) = columns[:2]
        raise DataError(
            f"{raw.place(row, ANSWERS_BY)}: {other!r}, and {first!r} above: the answers of a table "
            "are read by one extractor, so read the responses again, or name it (--answers-by)"
        )
    for name, row in columns:
        try:
            return make_extractor(name).name
        except ConfigError as error:
            raise DataError(f"{raw.place(row, ANSWERS_BY)}: {error}") from error
    return None


def _cells(
    raw: RawTable, grid: Grid, kind: str, extractor: Extractor | None = None
) -> TextCells | FloatArray | None:
    """The (N, K) cells of a kind of column, None where the file has none."""
    columns = grid.columns.get(kind)
    if columns is None:
        return None
    if kind in _SCALES or kind.startswith(SIGNAL):
        low, high, expected = _SCALES.get(kind, _OF_SIGNALS)
        numbers = np.full(grid.shape, np.nan)
        for column in columns:
            cells = raw.numbers(column, low=low, high=high, expected=expected)
            numbers[grid.place(column)] = cells
        return numbers
    table: NDArray[np.object_] = np.full(grid.shape, None, dtype=object)
    for column in columns:
        texts = raw.optional_texts(column)
        table[grid.place(column)] = texts if extractor is None else _extracted(texts, extractor)
    return TextCells.of(table.tolist())


def _extracted(cells: list[str | None], extractor: Extractor) -> list[str | None]:
    """The answer of each response; RouterBench writes a response as a list of one string."""
    plain = iter(join_prompt_lists([cell for cell in cells if cell])[0])
    return [None if cell is None else extractor(next(plain) if cell else "") for cell in cells]
