"""Checks of an outcomes table when it is made."""

from collections.abc import Iterable, Sequence

import numpy as np

from equirouter.arrays import BoolArray, FloatArray
from equirouter.data.cells import OutcomeCells
from equirouter.errors import DataError


def check(table: OutcomeCells) -> None:
    """Raise DataError for the first thing that is not as the class promises."""
    n, k = len(table.query_ids), len(table.models)
    if n == 0:
        raise DataError(f"{table.name}: the table has no rows; at least one query is needed")
    if k == 0:
        raise DataError(f"{table.name}: the table has no models; at least one is needed")
    for column in ("texts", "tasks", "image_paths"):
        values = getattr(table, column)
        if values is not None and len(values) != n:
            raise DataError(f"{table.name}: {len(values)} {column} for {n} query ids")
    for fingerprint, numbers in (table.packed or {}).items():
        if len(numbers) != n:
            raise DataError(f"{table.name}: packed {fingerprint}: {len(numbers)} rows for {n} ids")
    if (table.input_tokens is None) != (table.output_tokens is None):
        there = "output_tokens" if table.input_tokens is None else "input_tokens"
        raise DataError(f"{table.name}: there are {there} alone; tokens are given for both or none")
    for column in table.array_names:
        shape = getattr(table, column).shape
        if shape != (n, k):
            raise DataError(
                f"{table.name}: {column} has shape {shape}, expected ({n}, {k}): "
                "one row per query and one column per model"
            )
    _check_responses(table, (n, k))
    _check_unique(table.name, "query id", "rows", table.query_ids)
    _check_unique(table.name, "model", "columns", table.models)
    _check_texts(table)
    _check_descriptions(table)
    _check_numbers(table)


def _check_responses(table: OutcomeCells, shape: tuple[int, int]) -> None:
    cells = {**{name: getattr(table, name) for name in table.text_names}, **table.signals}
    for column, array in cells.items():
        if array.shape != shape:
            raise DataError(f"{table.name}: {column} has shape {array.shape}, expected {shape}")
    for name, signal in table.signals.items():
        if not name or name != name.strip():
            raise DataError(f"{table.name}: a signal is named {name!r}; expected a name")
        _raise_at(
            table, np.isinf(signal), signal, f"signal {name!r}", "expected a finite number, or none"
        )


def _check_unique(name: str, what: str, place: str, values: Sequence[object]) -> None:
    index_of: dict[str, int] = {}
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise DataError(f"{name}: {what} {value!r} ({place} {index}): expected a name")
        _check_unicode(f"{name}: {what} {value!r} ({place} {index})", "name", value)
        if value in index_of:
            raise DataError(
                f"{name}: {what} {value!r} occurs twice ({place} {index_of[value]} and {index}); "
                "each must be unique"
            )
        index_of[value] = index


def _check_texts(table: OutcomeCells) -> None:
    images = table.image_paths
    cells: Iterable[tuple[object, object]] = zip(table.texts, table.tasks, strict=True)
    for row, (text, task) in enumerate(cells):
        if not isinstance(text, str) or not text or text.isspace():
            if not isinstance(text, str) or images is None or images[row] is None:
                raise DataError(
                    f"{_place(table, row)}: the text is empty; remove the row or give it a text"
                )
        else:
            _check_unicode(_place(table, row), "text", text)
        if not isinstance(task, str) or not task:
            raise DataError(f"{_place(table, row)}: the task is {task!r}; expected a name")
        _check_unicode(_place(table, row), "task", task)


def _check_descriptions(table: OutcomeCells) -> None:
    given = table.model_descriptions
    if given is None:
        return
    if len(given) != table.n_models:
        raise DataError(f"{table.name}: {len(given)} descriptions for {table.n_models} models")
    described: Iterable[tuple[str, object]] = zip(table.models, given, strict=True)
    for model, text in described:
        place = f"{table.name}: model {model!r}"
        if text is None:
            continue
        if not isinstance(text, str) or not text or text.isspace():
            raise DataError(f"{place}: the description is {text!r}; expected a text, or None")
        _check_unicode(place, "description", text)


def _check_unicode(place: str, what: str, text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{place}: the {what} is not valid Unicode: {error.reason}") from error


def _place(table: OutcomeCells, row: int) -> str:
    return f"{table.name}: query {table.query_ids[row]!r} (row {row})"


def check_range(low: float, high: float) -> None:
    """Raise DataError unless these can be the worst and the best performance."""
    if not low < high:  # also refuses NaN
        raise DataError(
            f"performance_range is {low:g} to {high:g}: expected the worst and then the best "
            "score, such as 0 and 100"
        )


def _check_numbers(table: OutcomeCells) -> None:
    low, high = table.performance_range
    check_range(low, high)
    performance, cost_usd = table.performance, table.cost_usd
    outside = np.isinf(performance) | (performance < low) | (performance > high)
    _raise_at(
        table,
        outside,
        performance,
        "performance",
        f"expected a number from {low:g} to {high:g}, or nothing where it is not known "
        "(another scale is stated with performance_range, --performance-range: 0 100 for per cent)",
    )
    _raise_at(
        table,
        np.isinf(cost_usd) | (cost_usd < 0),
        cost_usd,
        "cost_usd",
        "expected USD per call, finite and not negative, or nothing where it is not known",
    )
    for column, tokens in zip(("input_tokens", "output_tokens"), table.tokens or (), strict=False):
        wrong = np.isinf(tokens) | (tokens < 0)
        _raise_at(table, wrong, tokens, column, "expected a number of tokens, or nothing")
    if table.propensity is not None:
        wrong = (table.propensity < 0) | (table.propensity > 1)
        expected = "expected a probability from 0 to 1, or nothing where it is not known"
        _raise_at(table, wrong, table.propensity, "propensity", expected)
    for column, array in (("performance", performance), ("cost_usd", cost_usd)):
        empty = np.isnan(array).all(axis=0)
        if empty.any():
            model = table.models[int(empty.argmax())]
            raise DataError(
                f"{table.name}: model {model!r} has no {column} in any row; "
                "give at least one value or leave the model out"
            )


def _raise_at(
    table: OutcomeCells, wrong: BoolArray, values: FloatArray, column: str, expected: str
) -> None:
    if wrong.any():
        row, model = (int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{table.name}: {column} of model {table.models[model]!r} for query "
            f"{table.query_ids[row]!r} (row {row}) is {values[row, model]:g}; {expected}"
        )
