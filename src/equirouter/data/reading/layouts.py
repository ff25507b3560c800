"""The two layouts of an outcomes table, wide and long, from raw columns and to Arrow tables."""

from typing import Any

import numpy as np

from equirouter.answers import Extractor
from equirouter.arrays import FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.reading.columns import (
    ANSWERS_BY,
    COST,
    COST_SUFFIX,
    DESCRIPTION,
    DESCRIPTION_SUFFIX,
    ID,
    IMAGE,
    MODEL,
    PERFORMANCE,
    TASK,
    TEXT,
    TOKENS,
    RawTable,
)
from equirouter.data.reading.queries import Queries, find_id, first_repeat, queries_of, where
from equirouter.data.reading.responses import Grid, columns_of_responses, response_fields
from equirouter.errors import DataError

MOST_CELLS = 1 << 30
"""Queries times models: 8 GB for each of performance and cost."""


def from_columns(
    raw: RawTable,
    *,
    name: str,
    performance_range: tuple[float, float] = (0.0, 1.0),
    extractor: Extractor | None = None,
) -> Outcomes:
    """The outcomes table in raw columns, whose layout is told from their names.

    extractor: reads the answers out of the responses.
    Raises DataError that names file, row and column.
    """
    model = raw.find(MODEL)
    has_outcomes = raw.find((*PERFORMANCE, *COST)) is not None
    is_wide = any(column.endswith(COST_SUFFIX) for column in raw.columns)
    if model is not None and has_outcomes and not is_wide:
        return _from_long(raw, model, name, performance_range, extractor)
    return _from_wide(raw, name, performance_range, extractor)


def _from_wide(
    raw: RawTable,
    name: str,
    performance_range: tuple[float, float],
    extractor: Extractor | None,
) -> Outcomes:
    models, unused = _wide_models(raw)
    queries = queries_of(raw, one_row_each=True)
    performance = [_performance(raw, model, performance_range) for model in models]
    cost_usd = [_cost(raw, model + COST_SUFFIX) for model in models]
    number = {model: column for column, model in enumerate(models)}

    def place(column: str) -> tuple[IntArray, IntArray]:
        rows = np.arange(raw.n_rows)
        return rows, np.full(raw.n_rows, number[column.rpartition("|")[0]])

    grid = Grid((raw.n_rows, len(models)), columns_of_responses([*raw.columns], models), place)
    return _outcomes(
        queries,
        models,
        (np.column_stack(performance), np.column_stack(cost_usd)),
        [_wide_description(raw, model) for model in models],
        (name, performance_range, unused),
        response_fields(raw, grid, extractor),
    )


def _wide_description(raw: RawTable, model: str) -> str | None:
    column = raw.find((model + DESCRIPTION_SUFFIX,))
    if column is None:
        return None
    return raw.text_per_owner(column, np.zeros(raw.n_rows, dtype=np.int64), [model])[0]


def _wide_models(raw: RawTable) -> tuple[list[str], list[str]]:
    """The models of a wide table in the order of their columns, and the columns of no use."""
    known = (*ID, *TEXT, *TASK, *IMAGE, ANSWERS_BY)
    others = [column for column in raw.columns if column not in known]
    costs = [column for column in others if column.endswith(COST_SUFFIX)]
    if not costs:
        raise DataError(
            f"{raw.path}: there are no cost columns; a table with one row per query needs "
            f"'MODEL{COST_SUFFIX}' (USD of one call) beside the performance column 'MODEL' of "
            f"every model, one with a row per query and model needs {MODEL[0]!r}, "
            f"{PERFORMANCE[0]!r} and {COST[0]!r}; found {raw.listing()}"
        )
    for cost in costs:
        model = cost.removesuffix(COST_SUFFIX)
        if model not in raw.columns:
            raise DataError(
                f"{raw.path}: model {model!r} has the cost column {cost!r} but no performance "
                f"column {model!r}; add it, or leave the cost out"
            )
    models = [column for column in others if column + COST_SUFFIX in raw.columns]
    about = [column for column in others if _is_about_model(column)]
    of_table = set(models)
    for column in about:
        model, _, _ = column.rpartition("|")
        if model not in of_table:
            raise DataError(
                f"{raw.path}: column {column!r} is about a model that the table does not have; "
                f"its models are {', '.join(map(repr, models))}"
            )
    for model in models:
        sides = [f"{model}|{side}" for side in TOKENS if f"{model}|{side}" in raw.columns]
        if len(sides) == 1:
            raise DataError(
                f"{raw.path}: model {model!r} has the column {sides[0]!r} alone; tokens are given "
                f"for both, |{TOKENS[0]} and |{TOKENS[1]}, or for none"
            )
    find_id(raw)  # an id of numbers under another name is no model without a cost
    used = {*models, *costs, *about}
    unused = [column for column in others if column not in used]
    for column in unused:
        if raw.looks_numeric(column):
            raise DataError(
                f"{raw.path}: model {column!r} has performance but no cost column "
                f"'{column}{COST_SUFFIX}'; add it, or leave the model out"
            )
    return models, unused


def _is_about_model(column: str) -> bool:
    """Whether a column of a wide table belongs to the model that stands before its last |."""
    _, bar, kind = column.rpartition("|")
    is_of_responses = bool(bar and columns_of_responses([kind], None))
    return column.endswith(DESCRIPTION_SUFFIX) or is_of_responses


def _from_long(
    raw: RawTable,
    model_column: str,
    name: str,
    performance_range: tuple[float, float],
    extractor: Extractor | None,
) -> Outcomes:
    performance_column = raw.need(PERFORMANCE, "how well the model did on the query")
    cost_column = raw.need(COST, "USD of one call, a table without costs cannot be routed on")
    queries = queries_of(raw, one_row_each=False)
    of_model, models = raw.codes(model_column)
    _check_size(raw, model_column, len(queries.ids), len(models))
    pair = queries.of_row * len(models) + of_model
    if len(np.unique(pair)) < len(pair):
        row = first_repeat(pair)
        above = int((pair == pair[row]).argmax())
        raise DataError(
            f"{raw.place(row)}: model {models[of_model[row]]!r} on query "
            f"{queries.ids[queries.of_row[row]]!r} stands in {where(raw, above)} already; one row "
            "per query and model is expected"
            + (
                ""
                if raw.find(ID)
                else "; queries are told apart by their text, as there is no "
                "column query_id: add it where a text was asked twice"
            )
        )
    cells = [_performance(raw, performance_column, performance_range), _cost(raw, cost_column)]
    tokens = [column for column in TOKENS if column in raw.columns]
    if len(tokens) == 1:
        raise DataError(
            f"{raw.path}: there is a column {tokens[0]!r} alone; tokens are given for both, "
            f"{' and '.join(TOKENS)}, or for none"
        )
    arrays = tuple(np.full((len(queries.ids), len(models)), np.nan) for _ in cells)
    for array, numbers in zip(arrays, cells, strict=True):
        array[queries.of_row, of_model] = numbers
    column = raw.find(DESCRIPTION)
    described = None if column is None else raw.text_per_owner(column, of_model, models)
    about_query = (*ID, *TEXT, *TASK, *IMAGE, ANSWERS_BY)
    responses = columns_of_responses([*raw.columns], None)
    known = {*about_query, *DESCRIPTION, model_column, performance_column, cost_column}
    known.update(*responses.values())
    about = (name, performance_range, [column for column in raw.columns if column not in known])
    grid = Grid(arrays[0].shape, responses, lambda _: (queries.of_row, of_model))
    fields = response_fields(raw, grid, extractor)
    return _outcomes(queries, models, arrays, described, about, fields)


def _check_size(raw: RawTable, model_column: str, n_queries: int, n_models: int) -> None:
    """Raise DataError for a table that no memory holds, before it is asked for."""
    if n_queries * n_models > MOST_CELLS:
        raise DataError(
            f"{raw.path}: {n_queries:,} queries and {n_models:,} models are "
            f"{n_queries * n_models:,} outcomes, at most {MOST_CELLS:,} are read; does column "
            f"{model_column!r} hold the names of models?"
        )


def _outcomes(
    queries: Queries,
    models: list[str],
    arrays: tuple[FloatArray, ...],
    described: list[str | None] | None,
    about: tuple[str, tuple[float, float], list[str]],
    responses: dict[str, Any],
) -> Outcomes:
    """arrays: performance and cost (N, K). responses: the fields about them."""
    name, performance_range, unused = about
    note = f"columns that are not used: {', '.join(map(repr, unused))}"
    return Outcomes(
        query_ids=queries.ids,
        texts=queries.texts,
        tasks=queries.tasks,
        models=tuple(models),
        performance=arrays[0],
        cost_usd=arrays[1],
        image_paths=queries.image_paths,
        name=name,
        performance_range=performance_range,
        model_descriptions=None if described is None else tuple(described),
        notes=(*queries.notes, note) if unused else queries.notes,
        **responses,
    )


def _performance(raw: RawTable, column: str, performance_range: tuple[float, float]) -> FloatArray:
    low, high = performance_range
    expected = (
        f"expected a performance from {low:g} to {high:g}, or nothing where it is not known "
        "(another scale is stated with performance_range, --performance-range: 0 100 for per cent)"
    )
    return raw.numbers(column, low=low, high=high, expected=expected)


def _cost(raw: RawTable, column: str) -> FloatArray:
    expected = "expected USD of one call, finite and not negative, or nothing where it is not known"
    return raw.numbers(column, low=0.0, high=np.inf, expected=expected)
