"""The queries of an outcomes file: which rows belong to which, and what they say of it."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import IntArray
from equirouter.data.reading.columns import (
    ID,
    IMAGE,
    TASK,
    TEXT,
    RawTable,
    in_order_of_first,
    join_prompt_lists,
)
from equirouter.errors import DataError
from equirouter.words import number_of


@dataclass(frozen=True)
class Queries:
    """Which query each row of a file belongs to, and what is said about the queries.

    of_row: (n_rows,).
    """

    of_row: IntArray
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    tasks: tuple[str, ...]
    image_paths: tuple[str | None, ...] | None
    notes: tuple[str, ...]


def queries_of(raw: RawTable, *, one_row_each: bool) -> Queries:
    """Tell the queries of a file apart.

    A query_id stands for one query. A sample_id of RouterBench can stand for several with different
    prompts: those get the suffixes #2, #3 in the order of their rows.
    """
    id_column = find_id(raw)
    text_column = raw.need(TEXT, "the text of the query")
    # an image can stand for a text: Outcomes refuses a query that has neither
    text_codes, texts = raw.codes(text_column, empty_is_text=raw.find(IMAGE) is not None)
    notes: list[str] = []
    if id_column is None:
        id_codes, ids, made = _made_ids(raw, text_codes, one_row_each=one_row_each)
        notes.append(made)
    else:
        id_codes, ids = raw.codes(id_column)
    ids_repeat = id_column == "sample_id"
    key = id_codes * len(texts) + text_codes if ids_repeat else id_codes
    of_row, first_row = in_order_of_first(key)
    if id_column is not None and one_row_each and len(first_row) < raw.n_rows:
        _raise_repeated(raw, id_column, of_row, ids[id_codes[first_repeat(of_row)]])
    _check_constant(raw, text_column, text_codes, of_row, first_row)
    if text_column == "prompt":
        texts, note = join_prompt_lists(texts)
        notes += [note] if note else []
    query_ids = [ids[code] for code in id_codes[first_row]]
    if ids_repeat:
        query_ids, note = with_suffixes(query_ids, "sample_id")
        notes += [note] if note else []
    tasks, note = _tasks(raw, of_row, first_row)
    notes += [note] if note else []
    return Queries(
        of_row=of_row,
        ids=tuple(query_ids),
        texts=tuple(texts[code] for code in text_codes[first_row]),
        tasks=tasks,
        image_paths=_image_paths(raw, of_row, first_row),
        notes=tuple(notes),
    )


def find_id(raw: RawTable) -> str | None:
    """The column that names queries, if there is one. Raises DataError for one of another name."""
    if raw.find(ID) is None and raw.looks_like(ID) is None:
        return None
    return raw.need(ID, "the name of the query")


def _made_ids(
    raw: RawTable, text_codes: IntArray, *, one_row_each: bool
) -> tuple[IntArray, list[str], str]:
    """Codes and names of queries in a file without a column of them, and a note for users.

    A query is a row, or in a long table all rows of one text and image.
    """
    if one_row_each:
        codes, per = np.arange(raw.n_rows, dtype=np.int64), "row"
    else:
        image = raw.find(IMAGE)
        image_codes = 0 if image is None else raw.codes(image, empty_is_text=True)[0]
        codes, _ = in_order_of_first(text_codes * raw.n_rows + image_codes)
        per = "text"
    names = [f"query {number}" for number in range(1, int(codes.max()) + 2)]
    return (
        codes,
        names,
        (
            f"there is no column 'query_id' (or 'sample_id'): every {per} is a query of its own, "
            "'query 1', 'query 2' and so on as they occur"
        ),
    )


def first_repeat(key: IntArray) -> int:
    """The first row whose key a row above it has; there must be one."""
    _, first = np.unique(key, return_index=True)
    repeats = np.ones(len(key), dtype=bool)
    repeats[first] = False
    return int(repeats.argmax())


def _raise_repeated(raw: RawTable, column: str, key: IntArray, value: str) -> None:
    row = first_repeat(key)
    above = int((key == key[row]).argmax())
    same = " with the same prompt" if column == "sample_id" else ""
    raise DataError(
        f"{raw.place(row, column)}: {value!r} stands{same} in {where(raw, above)} already; "
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
            f"{raw.place(row, column)}: differs from {where(raw, int(first[row]))}, although both "
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
        f"{number_of(n_repeated, 'query has', 'queries have')} the {column} of another query; "
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


def where(raw: RawTable, row: int) -> str:
    """The place of a row in a message that has named the file already."""
    return raw.place(row).removeprefix(f"{raw.path}: ")
