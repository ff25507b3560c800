"""The outcomes table: what every model scored on every query, and what it cost."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.errors import DataError

__all__ = ["Description", "Outcomes", "check_range"]

ROUNDING = 1e-12  # relative


@dataclass(frozen=True, eq=False)
class Outcomes:
    """N queries, K models, and the outcome of each pair; immutable and checked when it is made.

    query_ids, texts, tasks: one string per query; a text may be empty where there is an image.
    models: one name per model. image_paths: one path or None per query, for multimodal data;
    relative ones start at image_root, which is where the data lies on this machine and so no part
    of the fingerprint. performance: (N, K), within performance_range, higher is better. cost_usd:
    (N, K), USD of one call, not negative. NaN in either means "not known" and stays so.
    model_descriptions: what is said of each model, for routers that read it, or None; as good as
    absent if all are None. input_tokens, output_tokens: (N, K) each, or both None: what the calls
    used, NaN where not known; the answer's include reasoning. notes: what a reader had to decide
    about the file, in words for the user. Raises DataError that names the row and the column.
    """

    query_ids: tuple[str, ...]
    texts: tuple[str, ...]
    tasks: tuple[str, ...]
    models: tuple[str, ...]
    performance: FloatArray
    cost_usd: FloatArray
    image_paths: tuple[str | None, ...] | None = None
    name: str = "outcomes"
    performance_range: tuple[float, float] = (0.0, 1.0)
    model_descriptions: tuple[str | None, ...] | None = None
    input_tokens: FloatArray | None = None
    output_tokens: FloatArray | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    image_root: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("query_ids", "texts", "tasks", "models"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.image_paths is not None:
            object.__setattr__(self, "image_paths", tuple(self.image_paths))
        if self.model_descriptions is not None:
            given = tuple(self.model_descriptions)
            nothing = all(text is None for text in given)
            object.__setattr__(self, "model_descriptions", None if nothing else given)
        for name in self._tables:
            array = np.array(getattr(self, name), dtype=np.float64)  # a copy: nobody else holds it
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _check(self)

    @property
    def _tables(self) -> tuple[str, ...]:
        """The names of the (N, K) arrays that there are."""
        tokens = ("input_tokens", "output_tokens")
        return ("performance", "cost_usd", *(t for t in tokens if getattr(self, t) is not None))

    @property
    def tokens(self) -> tuple[FloatArray, FloatArray] | None:
        """Input and output tokens, (N, K) each, where the table has them."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens, self.output_tokens

    @property
    def n_queries(self) -> int:
        """N."""
        return len(self.query_ids)

    @property
    def n_models(self) -> int:
        """K."""
        return len(self.models)

    @property
    def images(self) -> tuple[str | None, ...] | None:
        """The paths to open, one or None per query; None when the table has no images."""
        if self.image_paths is None or self.image_root is None:
            return self.image_paths
        root = self.image_root
        return tuple(None if path is None else str(root / path) for path in self.image_paths)

    @cached_property
    def is_complete(self) -> BoolArray:
        """(N,): True where performance and cost of every model are known."""
        known = np.isfinite(self.performance) & np.isfinite(self.cost_usd)
        return np.asarray(known.all(axis=1))

    @cached_property
    def strongest(self) -> int:
        """Column of the model with the highest mean performance; a tie goes to the cheaper."""
        performance, cost_usd = self._means()
        return _first(-performance, cost_usd)

    @cached_property
    def cheapest(self) -> int:
        """Column of the model with the lowest mean cost; a tie goes to the stronger."""
        performance, cost_usd = self._means()
        return _first(cost_usd, -performance)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that is in the table but name, notes and image_root, as 64 hex digits.

        One without model descriptions, or without tokens, has the fingerprint that it had before
        tables could hold any.
        """
        digest = hashlib.sha256()
        texts = (self.query_ids, self.texts, self.tasks, self.models, self.image_paths or ())
        described = () if self.model_descriptions is None else (self.model_descriptions,)
        for column in (*texts, *described):
            for value in column:
                encoded = b"\xff" if value is None else value.encode("utf-8")
                digest.update(len(encoded).to_bytes(8, "little") + encoded)
            digest.update(b"\xfe")
        for array in (getattr(self, name) for name in self._tables):
            digest.update(np.where(np.isnan(array), np.nan, array + 0.0).tobytes())
        return digest.hexdigest()

    def take(self, rows: IntArray | BoolArray | Sequence[int]) -> "Outcomes":
        """The same table with these rows only, in the order given."""
        picked = np.arange(self.n_queries)[np.asarray(rows)]
        images = self.image_paths
        return replace(
            self,
            query_ids=tuple(self.query_ids[i] for i in picked),
            texts=tuple(self.texts[i] for i in picked),
            tasks=tuple(self.tasks[i] for i in picked),
            image_paths=None if images is None else tuple(images[i] for i in picked),
            **{name: getattr(self, name)[picked] for name in self._tables},
        )

    def with_models(self, models: Sequence[str]) -> "Outcomes":
        """The same table with these of its models only, in the order given."""
        columns = [self.models.index(model) for model in models]
        described = self.model_descriptions
        return replace(
            self,
            models=tuple(models),
            model_descriptions=None
            if described is None
            else tuple(described[column] for column in columns),
            **{name: getattr(self, name)[:, columns] for name in self._tables},
        )

    def equals(self, other: "Outcomes") -> bool:
        """Whether both hold the same queries, models and outcomes, bit for bit, NaN included."""
        return self.fingerprint == other.fingerprint

    def describe(self) -> "Description":
        """Sizes, missing cells, per-model means, ties and the oracle: see Description."""
        return _describe(self)

    def _means(self) -> tuple[FloatArray, FloatArray]:
        """Per-model means, over complete rows where there are any, so that they compare."""
        rows = self.is_complete if self.is_complete.any() else np.ones(self.n_queries, dtype=bool)
        return np.nanmean(self.performance[rows], axis=0), np.nanmean(self.cost_usd[rows], axis=0)


def _first(means: FloatArray, then: FloatArray) -> int:
    """The column of the lowest mean; of means that are equal but for rounding, the lowest `then`.

    The same numbers added up in another order differ in their last bits.
    """
    lowest = float(means.min())
    equal = means <= lowest + ROUNDING * abs(lowest)
    return int(np.where(equal, then, np.inf).argmin())


@dataclass(frozen=True)
class Description:
    """What an outcomes table holds, as plain numbers; the figures use complete rows only.

    tie_rate: share of queries in [0, 1] on which the best and the second-best model score the same
    (margin of Eq. 4 equal to 0). oracle_*: the choice of Eq. 3 without a budget.
    """

    name: str
    fingerprint: str
    n_queries: int
    n_models: int
    n_tasks: int
    n_complete: int
    missing_performance: int
    missing_cost: int
    models: tuple[str, ...]
    mean_performance: tuple[float, ...]
    mean_cost_usd: tuple[float, ...]
    strongest: str
    cheapest: str
    tie_rate: float
    oracle_performance: float
    oracle_cost_usd: float
    oracle_call_share: tuple[float, ...]
    task_sizes: dict[str, int]
    model_descriptions: tuple[str | None, ...] | None
    notes: tuple[str, ...]


def _describe(table: Outcomes) -> Description:
    if not table.is_complete.any():
        raise DataError(
            f"{table.name}: no query has the outcome of every model, so nothing can be compared; "
            "at least one complete row is needed"
        )
    complete = table if table.is_complete.all() else table.take(table.is_complete)
    performance, cost_usd = table._means()
    best = complete.performance.max(axis=1)
    among_best = np.where(complete.performance == best[:, None], complete.cost_usd, np.inf)
    oracle = among_best.argmin(axis=1)
    rows = np.arange(complete.n_queries)
    sizes: dict[str, int] = {}
    for task in table.tasks:
        sizes[task] = sizes.get(task, 0) + 1
    return Description(
        name=table.name,
        fingerprint=table.fingerprint,
        n_queries=table.n_queries,
        n_models=table.n_models,
        n_tasks=len(sizes),
        n_complete=complete.n_queries,
        missing_performance=int(np.isnan(table.performance).sum()),
        missing_cost=int(np.isnan(table.cost_usd).sum()),
        models=table.models,
        mean_performance=tuple(performance.tolist()),
        mean_cost_usd=tuple(cost_usd.tolist()),
        strongest=table.models[table.strongest],
        cheapest=table.models[table.cheapest],
        tie_rate=float(((complete.performance == best[:, None]).sum(axis=1) > 1).mean()),
        oracle_performance=float(best.mean()),
        oracle_cost_usd=float(complete.cost_usd[rows, oracle].mean()),
        oracle_call_share=tuple(
            (np.bincount(oracle, minlength=table.n_models) / complete.n_queries).tolist()
        ),
        task_sizes=dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        model_descriptions=table.model_descriptions,
        notes=table.notes,
    )


def _check(table: Outcomes) -> None:
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
    if (table.input_tokens is None) != (table.output_tokens is None):
        there = "output_tokens" if table.input_tokens is None else "input_tokens"
        raise DataError(f"{table.name}: there are {there} alone; tokens are given for both or none")
    for column in table._tables:
        shape = getattr(table, column).shape
        if shape != (n, k):
            raise DataError(
                f"{table.name}: {column} has shape {shape}, expected ({n}, {k}): "
                "one row per query and one column per model"
            )
    _check_unique(table.name, "query id", "rows", table.query_ids)
    _check_unique(table.name, "model", "columns", table.models)
    _check_texts(table)
    _check_descriptions(table)
    _check_numbers(table)


def _check_unique(name: str, what: str, place: str, values: Sequence[object]) -> None:
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise DataError(f"{name}: {what} {value!r} ({place} {index}): expected a name")
        _check_unicode(f"{name}: {what} {value!r} ({place} {index})", "name", value)
        if value in seen:
            raise DataError(
                f"{name}: {what} {value!r} occurs twice ({place} {seen[value]} and {index}); "
                "each must be unique"
            )
        seen[value] = index


def _check_texts(table: Outcomes) -> None:
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


def _check_descriptions(table: Outcomes) -> None:
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


def _place(table: Outcomes, row: int) -> str:
    return f"{table.name}: query {table.query_ids[row]!r} (row {row})"


def check_range(low: float, high: float) -> None:
    """Raise DataError unless these can be the worst and the best performance."""
    if not low < high:  # also refuses NaN
        raise DataError(
            f"performance_range is {low:g} to {high:g}: expected the worst and then the best "
            "score, such as 0 and 100"
        )


def _check_numbers(table: Outcomes) -> None:
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
        "(another scale is stated with performance_range, --performance-range)",
    )
    _raise_at(
        table,
        np.isinf(cost_usd) | (cost_usd < 0),
        cost_usd,
        "cost_usd",
        "expected USD per call, finite and not negative, or nothing where it is not known",
    )
    for column in table._tables[2:]:
        tokens = getattr(table, column)
        wrong = np.isinf(tokens) | (tokens < 0)
        _raise_at(table, wrong, tokens, column, "expected a number of tokens, or nothing")
    for column, array in (("performance", performance), ("cost_usd", cost_usd)):
        empty = np.isnan(array).all(axis=0)
        if empty.any():
            model = table.models[int(empty.argmax())]
            raise DataError(
                f"{table.name}: model {model!r} has no {column} in any row; "
                "give at least one value or leave the model out"
            )


def _raise_at(
    table: Outcomes, wrong: BoolArray, values: FloatArray, column: str, expected: str
) -> None:
    if wrong.any():
        row, model = (int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{table.name}: {column} of model {table.models[model]!r} for query "
            f"{table.query_ids[row]!r} (row {row}) is {values[row, model]:g}; {expected}"
        )
