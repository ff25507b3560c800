"""Outcomes tables of the same queries, or of the same models, joined into one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.data.cells import TEXT_FIELDS, TextCells
from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError, DataError
from equirouter.words import number_of

Conflicts: TypeAlias = Literal["refuse", "first", "mean"]

_NAMED = 5
_SCORED_BY = "scored_by"


@dataclass(frozen=True, slots=True)
class Source:
    """The share of one table in a merged one.

    n_outcomes: pairs of query and model that it has an outcome of. n_new: of these, the pairs of
    which no table before it has one. n_conflicts: of the others, those on which they disagree.
    """

    name: str
    n_queries: int
    n_models: int
    n_outcomes: int
    n_new: int
    n_conflicts: int


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged table, and what each table gave to it, in their order."""

    table: Outcomes
    sources: tuple[Source, ...]


def merge_tables(tables: Sequence[Outcomes], *, conflicts: Conflicts = "refuse") -> Merged:
    """One table of all queries and all models of several.

    Queries are the same if their ids and texts are. A pair of query and model that several tables
    have an outcome of is in conflict where they differ in anything that both know: performance,
    cost, tokens, answer, finish reason, a signal. conflicts: "refuse" them; take all that the
    "first" table says of the pair; or the "mean" of numbers, and texts where they agree. Else what
    one table does not know is taken from the next. Of tasks that differ the first is taken, but
    under "refuse".
    Raises DataError that names the first conflicts; for one id with two texts, for tables of
    several scales, for tables with numbers in place of texts, and for fewer than two tables.

    >>> from equirouter.data import load_dataset
    >>> whole = load_dataset("simulated:n_queries=80")
    >>> parts = [whole.with_models(whole.models[:5]), whole.with_models(whole.models[5:])]
    >>> merge_tables(parts).table.equals(whole)
    True
    """
    if conflicts not in ("refuse", "first", "mean"):
        raise ConfigError(f"conflicts is {conflicts!r}, expected 'refuse', 'first' or 'mean'")
    _check(tables)
    rows = _positions(tables, "query_ids")
    columns = _positions(tables, "models")
    about = _about_queries(tables, rows, conflicts)
    models = list(dict.fromkeys(model for table in tables for model in table.models))
    shape = (len(about["query_ids"]), len(models))
    cells = _Cells(shape, tables)
    sources = []
    for table, row, column in zip(tables, rows, columns, strict=True):
        source, differs = cells.add(table, np.ix_(row, column))
        sources.append(source)
        if source.n_conflicts and conflicts == "refuse":
            raise DataError(_refusal(table, differs))
    merged = Outcomes(
        **about,
        models=tuple(models),
        model_descriptions=_descriptions(tables, models, conflicts),
        performance_range=tables[0].performance_range,
        name="merged",
        notes=tuple(dict.fromkeys(note for table in tables for note in table.notes)),
        answers_by=_read_by(tables),
        **cells.fields(mean=conflicts == "mean"),
    )
    return Merged(merged, tuple(sources))


def _check(tables: Sequence[Outcomes]) -> None:
    if len(tables) < 2:
        raise DataError(f"{number_of(len(tables), 'table')} to merge, at least two are expected")
    for table in tables:
        if table.packed is not None:
            raise DataError(
                f"{table.name}: this table has numbers in place of its texts, so its queries "
                "cannot be told from those of another one"
            )
        if table.performance_range != tables[0].performance_range:
            raise DataError(
                f"{table.name}: performance is from {table.performance_range}, in {tables[0].name} "
                f"from {tables[0].performance_range}; bring both to one scale"
            )


def _positions(tables: Sequence[Outcomes], field: str) -> list[IntArray]:
    """Of each table, where its queries (models) stand among those of all, as they first occur."""
    number: dict[str, int] = {}
    return [
        np.array([number.setdefault(name, len(number)) for name in getattr(table, field)])
        for table in tables
    ]


def _about_queries(
    tables: Sequence[Outcomes], rows: Sequence[IntArray], conflicts: Conflicts
) -> dict[str, Any]:
    """Ids, texts, tasks and images of all queries. Raises DataError where tables differ in them."""
    has_images = any(table.images is not None for table in tables)
    known: dict[int, tuple[str, str, str | None, str, str]] = {}
    for table, row_of in zip(tables, rows, strict=True):
        images = table.images or (None,) * table.n_queries
        cells = zip(row_of.tolist(), table.query_ids, table.texts, images, table.tasks, strict=True)
        for row, name, text, image, task in cells:
            _, old_text, old_image, old_task, old = known.setdefault(
                row, (name, text, image, task, table.name)
            )
            if (text, image) != (old_text, old_image):
                raise DataError(
                    f"query {name!r} is {old_text[:60]!r} in {old} and {text[:60]!r} in "
                    f"{table.name}; give each query an id of its own"
                )
            if task != old_task and conflicts == "refuse":
                raise DataError(
                    f"query {name!r} is of task {old_task!r} in {old} and {task!r} in "
                    f"{table.name}; make them one, or take the first with conflicts='first' "
                    "(--conflicts first)"
                )
    whole = [known[row] for row in range(len(known))]
    return {
        "query_ids": tuple(query[0] for query in whole),
        "texts": tuple(query[1] for query in whole),
        "tasks": tuple(query[3] for query in whole),
        "image_paths": tuple(query[2] for query in whole) if has_images else None,
    }


def _descriptions(
    tables: Sequence[Outcomes], models: Sequence[str], conflicts: Conflicts
) -> tuple[str | None, ...]:
    descriptions: dict[str, str] = {}
    for table in tables:
        for model, text in zip(table.models, table.model_descriptions or (), strict=False):
            if text is None:
                continue
            if descriptions.setdefault(model, text) != text and conflicts == "refuse":
                raise DataError(
                    f"{table.name}: model {model!r} is described differently in an earlier table; "
                    "make them the same, or take the first with conflicts='first' "
                    "(--conflicts first)"
                )
    return tuple(descriptions.get(model) for model in models)


def _read_by(tables: Sequence[Outcomes]) -> str | None:
    """The extractor of the answers of all tables that have some; None where it is not one."""
    names = {table.answers_by for table in tables if table.answers is not None}
    return names.pop() if len(names) == 1 else None


class _Cells:
    """The cells of the merged table so far.

    first: name -> numbers (N, K) of the first table that knows them; total, count: of all that do.
    texts: name -> codes in `values`, of the first, -1 for none. settled: pairs that a table has an
    outcome of; disputed: those on which tables differ.
    """

    def __init__(self, shape: tuple[int, int], tables: Sequence[Outcomes]) -> None:
        names = dict.fromkeys(name for table in tables for name in _numbers_of(table))
        self.first = {name: np.full(shape, np.nan) for name in names}
        self.total = {name: np.zeros(shape) for name in names}
        self.count = {name: np.zeros(shape, dtype=np.int64) for name in names}
        fields = [f for f in TEXT_FIELDS if any(getattr(given, f) is not None for given in tables)]
        self.texts = {field: np.full(shape, -1) for field in fields}
        self.unequal = {field: np.zeros(shape, dtype=bool) for field in fields}
        self.values: dict[str, int] = {}
        self.settled = np.zeros(shape, dtype=bool)
        self.disputed = np.zeros(shape, dtype=bool)

    def add(self, table: Outcomes, at: tuple[Any, ...]) -> tuple[Source, BoolArray]:
        """Add a table whose cells stand at a place of the whole; also where it differs."""
        numbers = _numbers_of(table)
        texts = {f: self._codes(cells) for f in self.texts if (cells := getattr(table, f))}
        known = np.isfinite(table.performance) | np.isfinite(table.cost_usd)
        differs = np.zeros(known.shape, dtype=bool)
        for name, array in numbers.items():
            first = self.first[name][at]
            differs |= np.isfinite(first) & np.isfinite(array) & (first != array)
        for name, codes in texts.items():
            old = self.texts[name][at]
            unequal = (old >= 0) & (codes >= 0) & (old != codes)
            self.unequal[name][at] |= unequal
            if name != _SCORED_BY:  # two graders who agree are no conflict
                differs |= unequal
        self.disputed[at] |= differs
        may_fill = ~self.disputed[at]  # what the first says of a disputed pair is all there is
        for name, array in numbers.items():
            there, first = np.isfinite(array), self.first[name][at]
            self.first[name][at] = np.where(np.isnan(first) & may_fill, array, first)
            self.total[name][at] += np.where(there, array, 0.0)
            self.count[name][at] += there
        for name, codes in texts.items():
            old = self.texts[name][at]
            self.texts[name][at] = np.where((old < 0) & may_fill, codes, old)
        n_new = int((known & ~self.settled[at]).sum())
        self.settled[at] |= known
        sizes = (table.n_queries, table.n_models, int(known.sum()))
        return Source(table.name, *sizes, n_new, int(differs.sum())), differs

    def _codes(self, cells: TextCells) -> IntArray:
        codes = [self.values.setdefault(text, len(self.values)) for text in cells.values]
        return np.array([*codes, -1])[cells.codes]

    def fields(self, *, mean: bool) -> dict[str, Any]:
        """The fields of Outcomes. mean: of numbers in dispute; of texts in dispute none."""
        fields: dict[str, Any] = {"signals": {}}
        for name, array in self.first.items():
            count = self.count[name]
            taken = array
            if mean:
                average = np.where(count > 0, self.total[name] / np.maximum(count, 1), np.nan)
                taken = np.where(self.disputed, average, array)
            if name.startswith("signal."):
                fields["signals"][name.removeprefix("signal.")] = taken
            else:
                fields[name] = taken
        for field, codes in self.texts.items():
            chosen = np.where(self.unequal[field], -1, codes) if mean else codes
            fields[field] = TextCells(chosen, tuple(self.values))
        return fields


def _numbers_of(table: Outcomes) -> dict[str, FloatArray]:
    arrays = {name: getattr(table, name) for name in table.array_names}
    return arrays | {f"signal.{name}": array for name, array in table.signals.items()}


def _refusal(table: Outcomes, differs: BoolArray) -> str:
    pairs = [
        f"model {table.models[column]!r} on query {table.query_ids[row]!r}"
        for row, column in np.argwhere(differs)[:_NAMED]
    ]
    n = int(differs.sum())
    more = f" and {n - len(pairs)} more" if n > len(pairs) else ""
    return (
        f"{table.name}: {number_of(n, 'outcome differs', 'outcomes differ')} from an earlier "
        f"table: {'; '.join(pairs)}{more}. Leave one of them out, or choose with "
        "conflicts='first' or 'mean' (--conflicts first, --conflicts mean)"
    )
