"""Train, validation and test part of a table: by query, or by whole task."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError, DataError

__all__ = ["Split", "SplitKind", "split_outcomes"]

SplitKind: TypeAlias = Literal["in-domain", "ood"]
Ratios: TypeAlias = tuple[float, float, float]

MINIMUM_COMPLETE = 20
_TRIES = 64


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows of a table are for training, for validation and for testing.

    kind: "in-domain" (every task in every part) or "ood" (a task is in one part only). ratios:
    train : validation : test. train, validation, test: row numbers, int64, ascending; of a
    split by split_outcomes each row is in exactly one of them. query_ids: of the whole table.
    """

    kind: SplitKind
    seed: int
    ratios: Ratios
    train: IntArray
    validation: IntArray
    test: IntArray
    query_ids: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of kind, seed, ratios and the query ids of each part, as 64 hex digits."""
        parts = [
            [self.query_ids[row] for row in rows]
            for rows in (self.train, self.validation, self.test)
        ]
        content = [self.kind, self.seed, [float(ratio) for ratio in self.ratios], *parts]
        return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()


def split_outcomes(
    outcomes: Outcomes,
    kind: SplitKind = "in-domain",
    seed: int = 42,
    ratios: Ratios = (3, 1, 6),
) -> Split:
    """Split the queries of a table; the defaults are those of the paper (App. A.2).

    "in-domain" shuffles the queries. "ood" (out of domain) gives each part whole tasks: of 64
    orders drawn with the seed, each dealt out to the part that lacks most, the one whose parts come
    nearest to the ratios by number of queries. The same table, kind, seed and ratios give the same
    split. Rows with missing outcomes are split like all others.
    Raises DataError for one model only, fewer than 20 complete rows, and for "ood" fewer than three
    tasks; ConfigError for another kind, a negative seed or a ratio that is not positive.

    >>> from equirouter.data import load_dataset
    >>> split = split_outcomes(load_dataset("simulated:n_queries=100"))
    >>> len(split.train), len(split.validation), len(split.test)
    (30, 10, 60)
    """
    _check(outcomes, kind, seed, ratios)
    rng = np.random.default_rng(seed)
    shares = np.asarray(ratios, dtype=np.float64) / sum(ratios)
    part_of = _by_query if kind == "in-domain" else _by_task
    part = part_of(outcomes, shares, rng)
    train, validation, test = (np.flatnonzero(part == i).astype(np.int64) for i in range(3))
    for rows in (train, validation, test):
        rows.flags.writeable = False
    return Split(kind, seed, ratios, train, validation, test, outcomes.query_ids)


def _by_query(
    outcomes: Outcomes,
    shares: FloatArray,
    rng: np.random.Generator,
) -> IntArray:
    n = outcomes.n_queries
    first, second = (int(cut) for cut in np.rint(np.cumsum(shares)[:2] * n))
    first = min(max(first, 1), n - 2)  # no part is empty, however small its ratio
    second = min(max(second, first + 1), n - 1)
    part = np.empty(n, dtype=np.int64)
    part[rng.permutation(n)] = np.repeat([0, 1, 2], [first, second - first, n - second])
    return part


def _by_task(
    outcomes: Outcomes,
    shares: FloatArray,
    rng: np.random.Generator,
) -> IntArray:
    names = sorted(set(outcomes.tasks))
    if len(names) < 3:
        raise DataError(
            f"{outcomes.name}: a split by whole tasks needs at least 3 tasks, found "
            f"{len(names)}: {', '.join(map(repr, names))}; use the in-domain split"
        )
    number = {name: i for i, name in enumerate(names)}
    task_of = np.array([number[task] for task in outcomes.tasks], dtype=np.int64)
    sizes = np.bincount(task_of).astype(np.float64)
    targets = shares * outcomes.n_queries
    best, least = None, np.inf
    for _ in range(_TRIES):
        part = _deal(sizes, targets, rng.permutation(len(names)))
        dealt = np.bincount(part, weights=sizes, minlength=3)
        distance = float(np.abs(dealt - targets).sum())
        if distance < least:
            best, least = part, distance
    if best is None:
        raise AssertionError("one of several finite distances is the least")
    return best[task_of]


def _deal(
    sizes: FloatArray,
    targets: FloatArray,
    order: IntArray,
) -> IntArray:
    """Give the tasks, in this order, to the part that lacks most queries: (n_tasks,) of 0, 1, 2."""
    part = np.empty(len(sizes), dtype=np.int64)
    lack = targets.copy()
    empty = {0, 1, 2}
    for done, task in enumerate(order):
        left = len(order) - done
        # The last tasks go to the parts that have none yet.
        choices = sorted(empty) if left <= len(empty) else [0, 1, 2]
        chosen = max(choices, key=lambda i: lack[i])
        part[task] = chosen
        lack[chosen] -= sizes[task]
        empty.discard(chosen)
    return part


def _check(outcomes: Outcomes, kind: str, seed: int, ratios: Sequence[float]) -> None:
    if kind not in ("in-domain", "ood"):
        raise ConfigError(f"split is {kind!r}, expected 'in-domain' or 'ood'")
    if seed < 0:
        raise ConfigError(f"seed is {seed}, expected 0 or a positive integer")
    if len(ratios) != 3 or not all(0 < ratio < np.inf for ratio in ratios):
        raise ConfigError(f"ratios are {tuple(ratios)}, expected three positive numbers")
    if outcomes.n_models < 2:
        raise DataError(
            f"{outcomes.name}: the only model is {outcomes.models[0]!r}; "
            "routing needs at least two models"
        )
    n_complete = int(outcomes.is_complete.sum())
    if n_complete < MINIMUM_COMPLETE:
        raise DataError(
            f"{outcomes.name}: {n_complete} of {outcomes.n_queries} rows have the outcome of every "
            f"model, at least {MINIMUM_COMPLETE} are needed to train and to measure"
        )
