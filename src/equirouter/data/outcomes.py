"""The outcomes table: what every model scored on every query, and what it cost."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.data.cells import OutcomeCells, TextCells
from equirouter.data.description import Description, table_html, table_text
from equirouter.data.logged import estimated, is_estimated, measured_rows
from equirouter.data.pools import chosen_models, pool_advice
from equirouter.data.repeats import count_repeated, equal_queries, nearly_equal_queries
from equirouter.data.strength import as_strong, complete_means, first_column, strongest_of
from equirouter.data.table_checks import check
from equirouter.errors import DataError
from equirouter.extras import require
from equirouter.words import number_of


@dataclass(frozen=True, eq=False, repr=False)
class Outcomes(OutcomeCells):
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
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        signals = {name: _frozen(array) for name, array in sorted(self.signals.items())}
        object.__setattr__(self, "signals", signals)
        check(self)

    def to_pandas(self) -> Any:  # noqa: ANN401
        """The long form as a pandas DataFrame: one row per query and model, N * K rows.

        Columns: query_id, query, task, model, performance, cost_usd, and those that the table has
        of image_path, model_description, input_tokens and output_tokens, answer, finish_reason,
        scored_by, propensity and signal.NAME; not known is NaN, or None for a text.
        Raises MissingExtraError without pandas.

        >>> from equirouter import as_outcomes
        >>> columns = {"query_id": ["a"], "query": ["2 + 2?"], "task": ["sums"]}
        >>> table = as_outcomes({**columns, "small": [1.0], "small|total_cost": [0.001]})
        >>> table.to_pandas()[["model", "performance"]].values.tolist()
        [['small', 1.0]]
        """
        from equirouter.data.reading.arrow import to_long

        require("pandas", extra="train", purpose="make a data frame")
        return to_long(self).to_pandas()

    def __len__(self) -> int:
        return self.n_queries

    def __repr__(self) -> str:
        return table_text(self)

    def _repr_html_(self) -> str:
        return table_html(self)

    @cached_property
    def strongest(self) -> int:
        """Column of the model with the highest mean performance; a tie goes to the cheaper."""
        return strongest_of(*self._averaged)

    @cached_property
    def as_strong(self) -> tuple[int, ...]:
        """Columns of the strongest model and of those that equal it within noise: see strength."""
        return tuple(as_strong(*self._averaged).tolist())

    @cached_property
    def cheapest(self) -> int:
        """Column of the model with the lowest mean cost; a tie goes to the stronger."""
        performance, cost_usd = self.means()
        return first_column(cost_usd, -performance)

    @cached_property
    def is_measured(self) -> BoolArray:
        """(N,): True where a row counts in means over queries: see logged.measured_rows."""
        return measured_rows(self)

    def means(self) -> tuple[FloatArray, FloatArray]:
        """Mean performance and cost_usd, (K,) each, over measured rows where there are any.

        Without one they are over each model's own rows, and do not compare.
        """
        return complete_means(*self._averaged)

    @cached_property
    def _averaged(self) -> tuple[FloatArray, FloatArray]:
        """Performance and cost_usd (N, K); of a log as it tells them on average."""
        known = self.performance, self.cost_usd
        if not is_estimated(self):
            return known
        return estimated(self, known[0], None), estimated(self, known[1], None)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all in the table but name, notes, image_root and packed, as 64 hex digits.

        One without model descriptions, tokens, answers, finish reasons or signals has the
        fingerprint that it had before tables could hold any.
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
            digest.update(_bytes(array))
        for name in self.text_names:
            cells: TextCells = getattr(self, name)
            digest.update(f"{name} {json.dumps(cells.values)}".encode())
            digest.update(cells.codes.tobytes())
        for name, array in self.signals.items():
            digest.update(f"signal {json.dumps(name)}".encode() + _bytes(array))
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
            packed=None
            if self.packed is None
            else {name: numbers[picked] for name, numbers in self.packed.items()},
            **self.cells_at(picked),
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
            **self.cells_at((slice(None), columns)),
        )

    def choose_models(
        self, models: Sequence[str] | None = None, *, exclude: Sequence[str] = ()
    ) -> "Outcomes":
        """A table of some of its models, and of the queries with an outcome of one of them.

        models: their names, None for all; exclude: names to leave out. A note says how many models
        and queries were left out. Raises ConfigError for a name that the table does not have, one
        that is given twice, and where fewer than two models are left.

        >>> from equirouter.data import load_dataset
        >>> load_dataset("simulated:n_queries=80").choose_models(exclude=["claude-v1"]).n_models
        10
        """
        if models is None and not exclude:
            return self
        chosen = chosen_models(self, models, exclude)
        columns = [self.models.index(model) for model in chosen]
        known = np.isfinite(self.performance) | np.isfinite(self.cost_usd)
        rows = np.asarray(known[:, columns].any(axis=1))
        note = f"{len(chosen)} of {self.n_models} models were chosen"
        if not rows.all():
            n_left = int((~rows).sum())
            note += f"; {number_of(n_left, 'query', 'queries')} without an outcome of them left out"
        return replace(self.with_models(chosen).take(rows), notes=(*self.notes, note))

    def equals(self, other: "Outcomes") -> bool:
        """Whether both hold the same queries, models and outcomes, bit for bit, NaN included."""
        return self.fingerprint == other.fingerprint

    def describe(self) -> "Description":
        """Sizes, missing cells, per-model means, ties and the oracle: see Description."""
        return _describe(self)


def _frozen(array: object) -> FloatArray:
    copy = np.array(array, dtype=np.float64)  # nobody else holds it
    copy.flags.writeable = False
    return copy


def _bytes(array: FloatArray) -> bytes:
    """Equal for equal numbers: one NaN, one zero."""
    return np.where(np.isnan(array), np.nan, array + 0.0).tobytes()


def _describe(table: Outcomes) -> Description:
    if not table.is_measured.any():
        raise DataError(
            f"{table.name}: no query has the outcome of every model, so nothing can be compared. "
            f"{pool_advice(table)}"
        )
    performance, cost_usd = table.means()
    sizes: dict[str, int] = {}
    for task in table.tasks:
        sizes[task] = sizes.get(task, 0) + 1
    return Description(
        name=table.name,
        fingerprint=table.fingerprint,
        n_queries=table.n_queries,
        n_models=table.n_models,
        n_tasks=len(sizes),
        n_complete=int(table.is_complete.sum()),
        n_equal=count_repeated(equal_queries(table)),
        n_nearly_equal=count_repeated(nearly_equal_queries(table)),
        missing_performance=int(np.isnan(table.performance).sum()),
        missing_cost=int(np.isnan(table.cost_usd).sum()),
        models=table.models,
        mean_performance=tuple(performance.tolist()),
        mean_cost_usd=tuple(cost_usd.tolist()),
        strongest=table.models[table.strongest],
        as_strong=tuple(table.models[column] for column in table.as_strong),
        cheapest=table.models[table.cheapest],
        n_logged=int((table.is_measured & ~table.is_complete).sum()),
        **_of_best(table),
        task_sizes=dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        model_descriptions=table.model_descriptions,
        notes=table.notes,
        known_answers=None if table.answers is None else int(table.answers.is_known.sum()),
        no_answer=None if table.answers is None else int(table.answers.is_empty.sum()),
    )


def _of_best(table: Outcomes) -> dict[str, Any]:
    """The figures of Description that need the outcome of every model; None without a row."""
    if not table.is_complete.any():
        return {"tie_rate": None, **{f"oracle_{name}": None for name in _OF_ORACLE}}
    complete = table if table.is_complete.all() else table.take(table.is_complete)
    best = complete.performance.max(axis=1)
    among_best = np.where(complete.performance == best[:, None], complete.cost_usd, np.inf)
    oracle = among_best.argmin(axis=1)
    share = np.bincount(oracle, minlength=complete.n_models) / complete.n_queries
    return {
        "tie_rate": float(((complete.performance == best[:, None]).sum(axis=1) > 1).mean()),
        "oracle_performance": float(best.mean()),
        "oracle_cost_usd": float(complete.cost_usd[np.arange(len(oracle)), oracle].mean()),
        "oracle_call_share": tuple(share.tolist()),
    }


_OF_ORACLE = ("performance", "cost_usd", "call_share")
