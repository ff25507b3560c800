"""The outcomes table: what every model scored on every query, and what it cost."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.data.checks import check
from equirouter.data.show import table_html, table_text
from equirouter.errors import DataError
from equirouter.extras import require

__all__ = ["Description", "Outcomes"]

ROUNDING = 1e-12  # relative


@dataclass(frozen=True, eq=False, repr=False)
class Outcomes:
    """N queries, K models, and the outcome of each pair; immutable and checked when it is made.

    NaN in an array means "not known" and stays so. Raises DataError that names the row and the
    column.

    >>> table = Outcomes(
    ...     query_ids=("a", "b"),
    ...     texts=("2 + 2?", "Prove Fermat's last theorem."),
    ...     tasks=("sums", "proofs"),
    ...     models=("small", "large"),
    ...     performance=np.array([[1.0, 1.0], [0.0, 0.5]]),
    ...     cost_usd=np.array([[0.001, 0.02], [0.002, 0.04]]),
    ... )
    >>> len(table), table.models[table.strongest], table.take([1]).texts
    (2, 'large', ("Prove Fermat's last theorem.",))
    """

    query_ids: tuple[str, ...]
    """(N,), unique."""
    texts: tuple[str, ...]
    """(N,); one may be empty where there is an image."""
    tasks: tuple[str, ...]
    """(N,)."""
    models: tuple[str, ...]
    """(K,), unique."""
    performance: FloatArray
    """(N, K), within performance_range; higher is better."""
    cost_usd: FloatArray
    """(N, K), USD of one call, not negative."""
    image_paths: tuple[str | None, ...] | None = None
    """(N,), for multimodal data; relative ones start at image_root."""
    name: str = "outcomes"
    """For messages and results."""
    performance_range: tuple[float, float] = (0.0, 1.0)
    """The worst and the best performance."""
    model_descriptions: tuple[str | None, ...] | None = None
    """(K,), for routers that read what models are; None if none is described."""
    input_tokens: FloatArray | None = None
    """(N, K), what the calls used; output_tokens is given with it or not at all."""
    output_tokens: FloatArray | None = None
    """(N, K), tokens of the answers, reasoning included."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """Remarks for the user on how a file was read."""
    image_root: Path | None = field(default=None, compare=False)
    """The folder of the images on this machine, and so no part of the fingerprint."""

    def __post_init__(self) -> None:
        for name in ("query_ids", "texts", "tasks", "models"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.image_paths is not None:
            object.__setattr__(self, "image_paths", tuple(self.image_paths))
        if self.model_descriptions is not None:
            given = tuple(self.model_descriptions)
            nothing = all(text is None for text in given)
            object.__setattr__(self, "model_descriptions", None if nothing else given)
        for name in self.array_names:
            array = np.array(getattr(self, name), dtype=np.float64)  # a copy: nobody else holds it
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        check(self)

    @property
    def array_names(self) -> tuple[str, ...]:
        """The names of the (N, K) arrays that there are."""
        tokens = ("input_tokens", "output_tokens")
        return ("performance", "cost_usd", *(t for t in tokens if getattr(self, t) is not None))

    @property
    def tokens(self) -> tuple[FloatArray, FloatArray] | None:
        """Input and output tokens, (N, K) each, where the table has them."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens, self.output_tokens

    @classmethod
    def from_table(
        cls,
        table: object,
        *,
        name: str = "table",
        performance_range: tuple[float, float] = (0.0, 1.0),
    ) -> "Outcomes":
        """The outcomes in a pandas, polars or pyarrow table, or in a mapping of column -> cells.

        table: wide or long, with the columns of an outcomes file (docs/data-format.md); it is read
        through the Arrow PyCapsule interface, `__arrow_c_stream__`, so neither library is needed.
        name: for messages and results. performance_range: the worst and the best performance.
        Raises DataError that names row (counted from 1) and column.

        >>> columns = {"query_id": ["a"], "query": ["2 + 2?"], "task": ["sums"]}
        >>> table = Outcomes.from_table({**columns, "small": [1.0], "small|total_cost": [0.001]})
        >>> table.models, float(table.performance[0, 0])
        (('small',), 1.0)
        """
        from equirouter.data.tables import from_table

        return from_table(table, name=name, performance_range=performance_range)

    def to_pandas(self) -> Any:  # noqa: ANN401
        """The long form as a pandas DataFrame: one row per query and model, N * K rows.

        Columns: query_id, query, task, model, performance, cost_usd, and those that the table has
        of image_path, model_description, input_tokens and output_tokens; not known is NaN.
        Raises MissingExtraError without pandas.

        >>> columns = {"query_id": ["a"], "query": ["2 + 2?"], "task": ["sums"]}
        >>> table = Outcomes.from_table({**columns, "small": [1.0], "small|total_cost": [0.001]})
        >>> table.to_pandas()[["model", "performance"]].values.tolist()
        [['small', 1.0]]
        """
        from equirouter.data.reading.layouts import to_long

        require("pandas", extra="report", purpose="make a data frame")
        return to_long(self).to_pandas()

    def __len__(self) -> int:
        return self.n_queries

    def __repr__(self) -> str:
        return table_text(self)

    def _repr_html_(self) -> str:
        return table_html(self)

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
        performance, cost_usd = self.means()
        return _first(-performance, cost_usd)

    @cached_property
    def cheapest(self) -> int:
        """Column of the model with the lowest mean cost; a tie goes to the stronger."""
        performance, cost_usd = self.means()
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
        for array in (getattr(self, name) for name in self.array_names):
            digest.update(np.where(np.isnan(array), np.nan, array + 0.0).tobytes())
        return digest.hexdigest()

    def take(self, rows: IntArray | BoolArray | Sequence[int]) -> "Outcomes":
        """A table of these rows only, in the order given."""
        picked = np.arange(self.n_queries)[np.asarray(rows)]
        images = self.image_paths
        return replace(
            self,
            query_ids=tuple(self.query_ids[i] for i in picked),
            texts=tuple(self.texts[i] for i in picked),
            tasks=tuple(self.tasks[i] for i in picked),
            image_paths=None if images is None else tuple(images[i] for i in picked),
            **{name: getattr(self, name)[picked] for name in self.array_names},
        )

    def with_models(self, models: Sequence[str]) -> "Outcomes":
        """A table of these of its models only, in the order given."""
        columns = [self.models.index(model) for model in models]
        described = self.model_descriptions
        return replace(
            self,
            models=tuple(models),
            model_descriptions=None
            if described is None
            else tuple(described[column] for column in columns),
            **{name: getattr(self, name)[:, columns] for name in self.array_names},
        )

    def equals(self, other: "Outcomes") -> bool:
        """Whether both hold the same queries, models and outcomes, bit for bit, NaN included."""
        return self.fingerprint == other.fingerprint

    def describe(self) -> "Description":
        """Sizes, missing cells, per-model means, ties and the oracle: see Description."""
        return _describe(self)

    def means(self) -> tuple[FloatArray, FloatArray]:
        """Mean performance and cost_usd, (K,) each, over complete rows where there are any.

        Without one they are over each model's own rows, and do not compare.
        """
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
    """An outcomes table in plain numbers; the figures use complete rows only.

    >>> columns = {"query_id": ["a"], "query": ["2 + 2?"], "task": ["sums"]}
    >>> table = Outcomes.from_table({**columns, "small": [1.0], "small|total_cost": [0.001]})
    >>> table.describe().oracle_cost_usd
    0.001
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
    """Share of queries, 0 to 1, on which the best and the second-best model score the same: the
    margin of Eq. 4 is 0."""
    oracle_performance: float
    """Mean performance of the choices of Eq. 3 without a budget, as all of oracle_*."""
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
    performance, cost_usd = table.means()
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
