"""The columns of an outcomes file: their names, and how cells become texts and numbers."""

import ast
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equirouter.arrays import FloatArray, IntArray
from equirouter.errors import DataError
from equirouter.words import first_of

ID = ("query_id", "sample_id")
TEXT = ("query", "prompt")
TASK = ("task", "eval_name")
MODEL = ("model", "model_name")
PERFORMANCE = ("performance", "score")
COST = ("cost_usd", "cost")
IMAGE = ("image_path",)
DESCRIPTION = ("model_description",)
ANSWERS_BY = "answers_by"
TOKENS = ("input_tokens", "output_tokens")
ANSWER, FINISH_REASON, PROPENSITY = "answer", "finish_reason", "propensity"
FIELDS = {
    **{name: name for name in TOKENS},
    ANSWER: "answers",
    FINISH_REASON: "finish_reasons",
    "scored_by": "scored_by",
    PROPENSITY: PROPENSITY,
}
"""Columns about a response -> fields of Outcomes; in a wide table they stand behind MODEL|, as
RESPONSE and signals do."""
SIGNAL = "signal."
"""Before the name of a signal."""
RESPONSE = "model_response"
COST_SUFFIX = "|total_cost"
DESCRIPTION_SUFFIX = "|description"

# What others call these columns: named in an error, as a guess, and never read.
_CALLED_ELSEWHERE: dict[tuple[str, ...], tuple[str, ...]] = {
    ID: ("id", "uid", "qid", "question_id", "prompt_id", "example_id"),
    TEXT: ("text", "question", "input", "instruction", "request", "user_prompt", "content"),
    MODEL: ("model_id", "llm", "engine"),
    PERFORMANCE: ("accuracy", "correct", "is_correct", "reward", "rating", "quality", "success"),
    COST: ("usd", "price", "total_cost", "cost_in_usd"),
}

MOST_COLUMNS = 50_000
"""Columns of a table that can be read; wide tables of more models are long in the other layout."""

# What RouterBench and pandas add and no decision needs. The last three are a data frame's row index
# as pandas writes it to CSV, as pandas reads that again, and as pandas writes it to parquet.
_ROUTERBENCH = (RESPONSE, "oracle_model_to_route_to", "index")
_IGNORED = (*_ROUTERBENCH, "", "Unnamed: 0", "__index_level_0__")

REPEATED = frozenset((*ID, *TEXT, *TASK, *MODEL, *IMAGE, *DESCRIPTION, FINISH_REASON, ANSWERS_BY))
"""Columns of texts that a long table has in many rows: each is kept once."""

RESERVED = frozenset(
    (
        *ID,
        *TEXT,
        *TASK,
        *MODEL,
        *PERFORMANCE,
        *COST,
        *IMAGE,
        *DESCRIPTION,
        *FIELDS,
        ANSWERS_BY,
        *_IGNORED,
    )
)
"""Names that a model cannot have in a wide table, where every model is a column."""


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise DataError for a name that occurs twice, and for more columns than can be read."""
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{path}: {len(names):,} columns, at most {MOST_COLUMNS:,} are read. If there "
            "are that many models, write one row per query and model; else swap rows and columns"
        )
    seen = set[str]()
    for name in names:
        if name in seen:
            raise DataError(f"{path}: column {name!r} occurs twice; give each column its own name")
        seen.add(name)


def is_ignored(column: str, *, responses: bool = False) -> bool:
    """Whether a column is known and holds nothing that an outcomes table needs.

    responses: whether it needs those, to read answers out of them.
    """
    if column == RESPONSE or column.endswith(f"|{RESPONSE}"):
        return not responses
    return column in _IGNORED


_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")


@dataclass(frozen=True)
class RawTable:
    """The columns of a file as they were read, and where each row came from.

    columns: name -> cells, all of n_rows. lines: for JSON lines, the line number of each row.
    """

    path: Path
    columns: Mapping[str, pa.ChunkedArray]
    n_rows: int
    lines: Sequence[int] | None = None

    def place(self, row: int, column: str | None = None) -> str:
        """File, row and column as a user finds them; row counts from 0, what is said from 1."""
        where = f"line {self.lines[row]}" if self.lines is not None else f"data row {row + 1}"
        return f"{self.path}: {where}" + ("" if column is None else f", column {column!r}")

    def find(self, names: Sequence[str]) -> str | None:
        """The first of these column names that the file has."""
        return next((name for name in names if name in self.columns), None)

    def need(self, names: tuple[str, ...], purpose: str) -> str:
        """The first of these column names that the file has. Raises DataError if it has none."""
        column = self.find(names)
        if column is None:
            wanted = " or ".join(repr(name) for name in names)
            meant = self.looks_like(names)
            advice = (
                f"Is it {meant!r}? Then rename that to {names[0]!r}."
                if meant is not None
                else f"found {self.listing()}."
            )
            raise DataError(
                f"{self.path}: no column {wanted} ({purpose}). {advice} A table has query_id, "
                "query, task, model, performance and cost_usd, or one row per query and columns "
                "for every model; help(equirouter.read_table) has all"
            )
        return column

    def looks_like(self, names: tuple[str, ...]) -> str | None:
        """A column that may be meant by one of these names: other case, or a usual other name."""
        other = _CALLED_ELSEWHERE.get(names, ())
        for guess in (*names, *other):
            for column in self.columns:
                if column not in names and column.strip().casefold().replace(" ", "_") == guess:
                    return column
        return None

    def listing(self) -> str:
        """The column names for a message, a dozen at most."""
        return first_of([repr(name) for name in self.columns], 12)

    def codes(self, name: str, *, empty_is_text: bool = False) -> tuple[IntArray, list[str]]:
        """A text column as (n_rows,) positions in the list of its distinct values.

        The values are in the order in which they first occur. empty_is_text: an empty cell is the
        text "". Raises DataError at any other empty cell, at cells that are not text or numbers,
        and at text that is not valid UTF-8.
        """
        encoded = self._encoded(name)
        values = [*self._listed(encoded.dictionary, name), None]
        code_of_row = encoded.indices.fill_null(len(values) - 1).to_numpy()
        if empty_is_text:
            values = ["" if value is None else value for value in values]
        place = {value: number for number, value in enumerate(dict.fromkeys(values))}
        key = np.array([place[value] for value in values])[code_of_row]  # equal ones may be twice
        if None in place and (key == place[None]).any():
            row = int((key == place[None]).argmax())
            raise DataError(f"{self.place(row, name)}: the cell is empty, a text is expected")
        codes, first = in_order_of_first(key)
        distinct = list(place)
        return codes, [distinct[key[row]] for row in first]

    def optional_texts(self, name: str) -> list[str | None]:
        """A text column with None where a cell is empty; in CSV "" in quotes is a text."""
        return self._listed(self._strings(name), name)

    def text_per_owner(self, name: str, owner: IntArray, owners: Sequence[str]) -> list[str | None]:
        """The text that a column has for each owner, None where all of its cells are empty.

        owner: (n_rows,) positions in owners, whose names are for messages. Raises DataError where
        two cells of one owner differ; an empty cell says nothing.
        """
        column = self._strings(name)
        blank = pc.equal(pc.utf8_trim_whitespace(column), "")
        encoded = pc.if_else(blank, pa.scalar(None, pa.large_string()), column).dictionary_encode()
        values = self._listed(encoded.dictionary, name)
        codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
        rows = np.flatnonzero(codes >= 0)
        described, first = np.unique(owner[rows], return_index=True)
        first_row = np.full(len(owners), -1)
        first_row[described] = rows[first]
        differs = codes[rows] != codes[first_row[owner[rows]]]
        if differs.any():
            row = int(rows[differs.argmax()])
            above = int(first_row[owner[row]])
            raise DataError(
                f"{self.place(row, name)}: differs from "
                f"{self.place(above).removeprefix(f'{self.path}: ')}, although both describe "
                f"{owners[owner[row]]!r}; say the same in both, or leave one of them empty"
            )
        return [None if row < 0 else values[codes[row]] for row in first_row]

    def numbers(self, name: str, *, low: float, high: float, expected: str) -> FloatArray:
        """A number column as (n_rows,) float64, NaN where a cell is empty or says nan.

        In text, true is 1 and false 0 where high is at most 1. expected: what a number outside
        [low, high] should have been. Raises DataError at the first cell that is not a number, not
        finite or outside.
        """
        column = _plain(self.columns[name])
        kind = column.type
        if is_text(kind):
            column = self._parsed(name, column, takes_truths=high <= 1.0)
        elif not _is_number(kind) and not pa.types.is_null(kind):
            raise DataError(f"{self.path}: column {name!r} holds {kind}, numbers are expected")
        # Casting null -> float64 and int64 -> float64 is meant, so is rounding of large integers.
        array = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
        wrong = np.isinf(array) | (array < low) | (array > high)
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{self.place(row, name)}: found {array[row]:g}; {expected}")
        return array

    def looks_numeric(self, name: str) -> bool:
        """Whether all cells that are not empty are numbers, nan or truths, and there is one."""
        column = _plain(self.columns[name])
        if not is_text(column.type):
            return _is_number(column.type) and column.null_count < self.n_rows
        cells = _nothing_to_null(column)
        is_some = cells.null_count < self.n_rows
        return is_some and _first_not_a_number(_truths_as_digits(cells)) is None

    def _encoded(self, name: str) -> Any:  # noqa: ANN401  # a pyarrow array of dictionary
        """A text column as indices of values; one that was read so is never written out."""
        column = self.columns[name]
        kind = column.type
        if not (pa.types.is_dictionary(kind) and is_text(kind.value_type)):
            return self._strings(name).dictionary_encode()
        whole = column.unify_dictionaries().combine_chunks()
        return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole

    def _strings(self, name: str) -> Any:  # noqa: ANN401  # a pyarrow array of large_string
        column = _plain(self.columns[name])
        kind = column.type
        if not is_text(kind) and not _is_number(kind) and not pa.types.is_null(kind):
            raise DataError(f"{self.path}: column {name!r} holds {kind}, text is expected")
        if pa.types.is_floating(kind):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        whole = column.cast(pa.large_string()).combine_chunks()
        return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole

    def _parsed(self, name: str, column: pa.ChunkedArray, *, takes_truths: bool) -> pa.ChunkedArray:
        cells = _nothing_to_null(column)
        try:
            return cells.cast(pa.float64())
        except pa.ArrowInvalid as error:
            digits = _truths_as_digits(cells) if takes_truths else cells
            value = _first_not_a_number(digits)
            if value is None:
                return digits.cast(pa.float64())
            row = int(pc.index(cells, value).as_py())
            text = value.as_py()
            comma = "; write decimals with a point" if _DECIMAL_COMMA.fullmatch(text) else ""
            raise DataError(
                f"{self.place(row, name)}: found {text!r}, a number is expected, "
                f"or nothing where it is not known{comma}"
            ) from error

    def _listed(self, texts: Any, name: str) -> list[str | None]:  # noqa: ANN401
        """Texts out of a column as Python has them. Raises DataError at one that is not UTF-8."""
        try:
            listed: list[str | None] = texts.to_pylist()
        except UnicodeDecodeError:
            cells = self._strings(name).cast(pa.large_binary()).to_pylist()
            for row, cell in enumerate(cells):
                try:
                    (cell or b"").decode("utf-8")
                except UnicodeDecodeError as error:
                    where = f"{self.place(row, name)}: byte {error.start} of the cell"
                    raise DataError(f"{where} is not valid UTF-8") from error
            raise
        return listed


def in_order_of_first(key: IntArray) -> tuple[IntArray, IntArray]:
    """Number equal keys 0, 1, ... as they first occur: (n_rows,) numbers and (N,) first rows."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[inverse].astype(np.int64), first[order].astype(np.int64)


def join_prompt_lists(values: list[str]) -> tuple[list[str], str | None]:
    """Prompts that are the repr of a list of strings, as RouterBench writes them, made plain.

    If every value is one, each becomes its strings joined with newlines; else all stay as they are.
    Returns the texts and what a user should know about it. Nothing is evaluated: only literals are.
    """
    if not all(value.startswith("[") for value in values):
        return values, None
    joined = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a text may hold \d, which a repr does not
        for value in values:
            parts = _literal_strings(value)
            if parts is None:
                return values, None
            joined.append("\n".join(parts))
    return joined, "the prompts are lists of strings; each list is joined with newlines"


def _literal_strings(value: str) -> list[str] | None:
    try:
        parts = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return parts
    return None


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary-encoded column as its values, any other as it is."""
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts, each by itself."""
    checks: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
    )
    return any(check(kind) for check in checks)


def _is_number(kind: pa.DataType) -> bool:
    checks: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_floating,
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_decimal,
    )
    return any(check(kind) for check in checks)


def _nothing_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    cells = pc.ascii_trim_whitespace(column.cast(pa.large_string()))
    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.large_string()), cells)


def _truths_as_digits(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """1 and 0 for true and false, which programs write that know them as values."""
    lower = pc.utf8_lower(cells)
    rest = pc.if_else(pc.equal(lower, "false"), "0", cells)
    return pc.if_else(pc.equal(lower, "true"), "1", rest)


def _first_not_a_number(cells: pa.ChunkedArray) -> Any:  # noqa: ANN401  # a pyarrow scalar or None
    for value in pc.unique(cells.drop_null()):
        try:
            value.cast(pa.float64())
        except pa.ArrowInvalid:
            return value
    return None
