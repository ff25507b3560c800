"""The two layouts of an outcomes table, wide and long, from raw columns and to Arrow tables."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from equirouter.arrays import FloatArray, IntArray
from equirouter.data.columns import (
    COST,
    COST_SUFFIX,
    DESCRIPTION,
    DESCRIPTION_SUFFIX,
    ID,
    IMAGE,
    MODEL,
    PERFORMANCE,
    RESERVED,
    TASK,
    TEXT,
    RawTable,
    is_ignored,
    join_prompt_lists,
)
from equirouter.data.outcomes import Outcomes
from equirouter.errors import DataError

__all__ = ["from_columns", "to_long", "to_wide", "with_suffixes"]


def from_columns(
    raw: RawTable, *, name: str, performance_range: tuple[float, float] = (0.0, 1.0)
) -> Outcomes:
    """The outcomes table in raw columns, whose layout is told from their names.

    Raises DataError that names file, row and column.
    """
    model = raw.find(MODEL)
    has_outcomes = raw.find((*PERFORMANCE, *COST)) is not None
    is_wide = any(column.endswith(COST_SUFFIX) for column in raw.columns)
    if model is not None and has_outcomes and not is_wide:
        return _from_long(raw, model, name, performance_range)
    return _from_wide(raw, name, performance_range)


def to_long(outcomes: Outcomes) -> pa.Table:
    """One row per query and model, query by query; an unknown outcome is null."""
    n, k = outcomes.n_queries, outcomes.n_models
    of_query = pa.array(np.repeat(np.arange(n), k))
    columns = {column: cells.take(of_query) for column, cells in _query_columns(outcomes).items()}
    image = columns.pop("image_path", None)
    columns["model"] = _texts(outcomes.models).take(pa.array(np.tile(np.arange(k), n)))
    columns["performance"] = pa.array(outcomes.performance.ravel(), from_pandas=True)
    columns["cost_usd"] = pa.array(outcomes.cost_usd.ravel(), from_pandas=True)
    if image is not None:
        columns["image_path"] = image
    if outcomes.model_descriptions is not None:
        described = _texts(outcomes.model_descriptions)
        columns[DESCRIPTION[0]] = described.take(pa.array(np.tile(np.arange(k), n)))
    return pa.table(columns)


def to_wide(outcomes: Outcomes) -> pa.Table:
    """One row per query, with MODEL and MODEL|total_cost; an unknown outcome is null.

    A model that is described has a column MODEL|description too.
    Raises DataError for a model whose name another column of the table has.
    """
    suffixes = (COST_SUFFIX, DESCRIPTION_SUFFIX)
    for model in outcomes.models:
        if model in RESERVED or model.endswith(suffixes) or is_ignored(model):
            raise DataError(
                f"{outcomes.name}: model {model!r} cannot be a column of a wide table, the name "
                "has another meaning there; write layout='long'"
            )
    columns = _query_columns(outcomes)
    for suffix, array in (("", outcomes.performance), (COST_SUFFIX, outcomes.cost_usd)):
        for j, model in enumerate(outcomes.models):
            columns[model + suffix] = pa.array(array[:, j], from_pandas=True)
    described = outcomes.model_descriptions or ()
    for model, text in zip(outcomes.models, described, strict=False):
        if text is not None:
            columns[model + DESCRIPTION_SUFFIX] = _texts((text,) * outcomes.n_queries)
    return pa.table(columns)


def _query_columns(outcomes: Outcomes) -> dict[str, pa.Array]:
    columns = {
        "query_id": _texts(outcomes.query_ids),
        "query": _texts(outcomes.texts),
        "task": _texts(outcomes.tasks),
    }
    if outcomes.image_paths is not None:
        columns["image_path"] = _texts(outcomes.image_paths)
    return columns


def _texts(values: tuple[str | None, ...]) -> pa.Array:
    return pa.array(values, pa.large_string())


@dataclass(frozen=True)
class _Queries:
    """Which query each row of a file belongs to, and what is said about the queries.

    of_row: (n_rows,). first_row: (N,), the row in which a query first occurs.
    """

    of_row: IntArray
    first_row: IntArray
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    tasks: tuple[str, ...]
    image_paths: tuple[str | None, ...] | None
    notes: tuple[str, ...]


def _queries(raw: RawTable, *, one_row_each: bool) -> _Queries:
    """Tell the queries of a file apart.

    A query_id stands for one query. A sample_id of RouterBench can stand for several with different
    prompts: those get the suffixes #2, #3 in the order of their rows.
    """
    id_column = raw.need(ID, "the name of the query")
    text_column = raw.need(TEXT, "the text of the query")
    id_codes, ids = raw.codes(id_column)
    # an image can stand for a text: Outcomes refuses a query that has neither
    text_codes, texts = raw.codes(text_column, empty_is_text=raw.find(IMAGE) is not None)
    ids_repeat = id_column == "sample_id"
    key = id_codes * len(texts) + text_codes if ids_repeat else id_codes
    of_row, first_row = _in_order_of_first(key)
    if one_row_each and len(first_row) < raw.n_rows:
        _raise_repeated(raw, id_column, of_row, ids[id_codes[_first_repeat(of_row)]])
    _check_constant(raw, text_column, text_codes, of_row, first_row)
    notes = []
    if text_column == "prompt":
        texts, note = join_prompt_lists(texts)
        notes += [note] if note else []
    query_ids = [ids[code] for code in id_codes[first_row]]
    if ids_repeat:
        query_ids, note = with_suffixes(query_ids, "sample_id")
        notes += [note] if note else []
    tasks, note = _tasks(raw, of_row, first_row)
    notes += [note] if note else []
    return _Queries(
        of_row=of_row,
        first_row=first_row,
        ids=tuple(query_ids),
        texts=tuple(texts[code] for code in text_codes[first_row]),
        tasks=tasks,
        image_paths=_image_paths(raw, of_row, first_row),
        notes=tuple(notes),
    )


def _in_order_of_first(key: IntArray) -> tuple[IntArray, IntArray]:
    """Number equal keys 0, 1, ... as they first occur: (n_rows,) numbers and (N,) first rows."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[inverse].astype(np.int64), first[order].astype(np.int64)


def _first_repeat(key: IntArray) -> int:
    """The first row whose key a row above it has; there must be one."""
    _, first = np.unique(key, return_index=True)
    repeats = np.ones(len(key), dtype=bool)
    repeats[first] = False
    return int(repeats.argmax())


def _raise_repeated(raw: RawTable, column: str, key: IntArray, value: str) -> None:
    row = _first_repeat(key)
    above = int((key == key[row]).argmax())
    same = " with the same prompt" if column == "sample_id" else ""
    raise DataError(
        f"{raw.place(row, column)}: {value!r} stands{same} in {_where(raw, above)} already; "
        "one row per query is expected where every model is a column"
    )


def _check_constant(
    raw: RawTable, column: str, codes: IntArray, of_row: IntArray, first_row: IntArray
) -> None:
    """All rows of a query must agree in this column."""
    first = first_row[of_row]
    differs = codes != codes[first]
    if differs.any():
        row = int(differs.argmax())
        raise DataError(
            f"{raw.place(row, column)}: differs from {_where(raw, int(first[row]))}, although both "
            "rows are of the same query; give each query its own query_id"
        )


def with_suffixes(ids: list[str], column: str) -> tuple[list[str], str | None]:
    """Make names unique: the second X becomes X#2, the third X#3. The names, and a note for users.

    column: what the file calls them.
    """
    taken, used = set(ids), set[str]()
    next_number: dict[str, int] = {}
    unique = []
    for name in ids:
        new = name
        if name in used:
            number = next_number.get(name, 2)
            while f"{name}#{number}" in taken:
                number += 1
            next_number[name] = number + 1
            new = f"{name}#{number}"
        taken.add(new)
        used.add(new)
        unique.append(new)
    n_repeated = len(ids) - len(set(ids))
    if not n_repeated:
        return unique, None
    return unique, (
        f"{n_repeated} queries have the {column} of another query; "
        "they are told apart by #2, #3 behind the id"
    )


def _tasks(
    raw: RawTable, of_row: IntArray, first_row: IntArray
) -> tuple[tuple[str, ...], str | None]:
    column = raw.find(TASK)
    if column is None:
        note = "there is no column 'task' (or 'eval_name'): all queries are of one task, 'all'"
        return ("all",) * len(first_row), note
    codes, tasks = raw.codes(column)
    _check_constant(raw, column, codes, of_row, first_row)
    return tuple(tasks[code] for code in codes[first_row]), None


def _image_paths(
    raw: RawTable, of_row: IntArray, first_row: IntArray
) -> tuple[str | None, ...] | None:
    column = raw.find(IMAGE)
    if column is None:
        return None
    paths = raw.optional_texts(column)
    numbers = {path: number for number, path in enumerate(dict.fromkeys(paths))}
    codes = np.array([numbers[path] for path in paths], dtype=np.int64)
    _check_constant(raw, column, codes, of_row, first_row)
    return tuple(paths[row] for row in first_row)


def _from_wide(raw: RawTable, name: str, performance_range: tuple[float, float]) -> Outcomes:
    models, unused = _wide_models(raw)
    queries = _queries(raw, one_row_each=True)
    performance = [_performance(raw, model, performance_range) for model in models]
    cost_usd = [_cost(raw, model + COST_SUFFIX) for model in models]
    return _outcomes(
        queries,
        models,
        np.column_stack(performance),
        np.column_stack(cost_usd),
        [_wide_description(raw, model) for model in models],
        (name, performance_range, unused),
    )


def _wide_description(raw: RawTable, model: str) -> str | None:
    column = raw.find((model + DESCRIPTION_SUFFIX,))
    if column is None:
        return None
    return raw.said_of(column, np.zeros(raw.n_rows, dtype=np.int64), [model])[0]


def _wide_models(raw: RawTable) -> tuple[list[str], list[str]]:
    """The models of a wide table in the order of their columns, and the columns of no use."""
    known = (*ID, *TEXT, *TASK, *IMAGE)
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
    described = [column for column in others if column.endswith(DESCRIPTION_SUFFIX)]
    for column in described:
        if column.removesuffix(DESCRIPTION_SUFFIX) not in models:
            raise DataError(
                f"{raw.path}: column {column!r} describes a model that the table does not have; "
                f"its models are {', '.join(map(repr, models))}"
            )
    used = {*models, *costs, *described}
    unused = [column for column in others if column not in used]
    for column in unused:
        if raw.looks_numeric(column):
            raise DataError(
                f"{raw.path}: model {column!r} has performance but no cost column "
                f"'{column}{COST_SUFFIX}'; add it, or leave the model out"
            )
    return models, unused


def _from_long(
    raw: RawTable, model_column: str, name: str, performance_range: tuple[float, float]
) -> Outcomes:
    performance_column = raw.need(PERFORMANCE, "how well the model did on the query")
    cost_column = raw.need(COST, "USD of one call, a table without costs cannot be routed on")
    queries = _queries(raw, one_row_each=False)
    of_model, models = raw.codes(model_column)
    pair = queries.of_row * len(models) + of_model
    if len(np.unique(pair)) < len(pair):
        row = _first_repeat(pair)
        above = int((pair == pair[row]).argmax())
        raise DataError(
            f"{raw.place(row)}: model {models[of_model[row]]!r} on query "
            f"{queries.ids[queries.of_row[row]]!r} stands in {_where(raw, above)} already; one row "
            "per query and model is expected"
        )
    performance = np.full((len(queries.ids), len(models)), np.nan)
    cost_usd = performance.copy()
    performance[queries.of_row, of_model] = _performance(raw, performance_column, performance_range)
    cost_usd[queries.of_row, of_model] = _cost(raw, cost_column)
    column = raw.find(DESCRIPTION)
    described = None if column is None else raw.said_of(column, of_model, models)
    about_query = (*ID, *TEXT, *TASK, *IMAGE)
    known = (*about_query, *DESCRIPTION, model_column, performance_column, cost_column)
    unused = [column for column in raw.columns if column not in known]
    about = (name, performance_range, unused)
    return _outcomes(queries, models, performance, cost_usd, described, about)


def _outcomes(
    queries: _Queries,
    models: list[str],
    performance: FloatArray,
    cost_usd: FloatArray,
    described: list[str | None] | None,
    about: tuple[str, tuple[float, float], list[str]],
) -> Outcomes:
    name, performance_range, unused = about
    note = f"columns that are not used: {', '.join(map(repr, unused))}"
    return Outcomes(
        query_ids=queries.ids,
        texts=queries.texts,
        tasks=queries.tasks,
        models=tuple(models),
        performance=performance,
        cost_usd=cost_usd,
        image_paths=queries.image_paths,
        name=name,
        performance_range=performance_range,
        model_descriptions=None if described is None else tuple(described),
        notes=(*queries.notes, note) if unused else queries.notes,
    )


def _performance(raw: RawTable, column: str, performance_range: tuple[float, float]) -> FloatArray:
    low, high = performance_range
    expected = (
        f"expected a performance from {low:g} to {high:g}, or nothing where it is not known "
        "(another scale is stated with performance_range, --performance-range)"
    )
    return raw.numbers(column, low=low, high=high, expected=expected)


def _cost(raw: RawTable, column: str) -> FloatArray:
    expected = "expected USD of one call, finite and not negative, or nothing where it is not known"
    return raw.numbers(column, low=0.0, high=np.inf, expected=expected)


def _where(raw: RawTable, row: int) -> str:
    return raw.place(row).removeprefix(f"{raw.path}: ")
