"""Train, validation and test part of a table: by query, or by whole task."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.pools import MINIMUM_COMPLETE, pool_advice
from equirouter.data.repeats import equal_queries
from equirouter.errors import ConfigError, DataError
from equirouter.words import number_of

SplitKind: TypeAlias = Literal["in-domain", "ood"]
Ratios: TypeAlias = tuple[float, float, float]

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

    @property
    def learnable(self) -> IntArray:
        """The rows of training and validation part: all that may be known before the test."""
        return np.concatenate([self.train, self.validation])

    def with_test_in_training(self) -> "Split":
        """A split to learn from every row by: the test part is added to the training part.

        Nothing is left to measure on, so its test part is the validation part over again.
        """
        train = np.sort(np.concatenate([self.train, self.test]))
        return replace(self, train=train, test=self.validation)

    def with_incomplete_in_training(self, outcomes: Outcomes) -> "Split":
        """A split whose training part has all rows that could not be measured in another one.

        Those are the rows of validation and test part without the outcome of every model. One stays
        where a measured query is equal to it, so that no router learns from that query; and under
        "ood" all stay, so that no router learns from the tasks that it is measured on.
        """
        if self.kind == "ood" or outcomes.is_measured.all():
            return self
        group = equal_queries(outcomes)
        held_out = np.concatenate([self.validation, self.test])
        measured = np.isin(group, group[held_out[outcomes.is_measured[held_out]]])
        stays = outcomes.is_measured | measured
        moved = held_out[~stays[held_out]]
        return replace(
            self,
            train=np.sort(np.concatenate([self.train, moved])),
            validation=self.validation[stays[self.validation]],
            test=self.test[stays[self.test]],
        )


def split_outcomes(
    outcomes: Outcomes,
    kind: SplitKind = "in-domain",
    seed: int = 42,
    ratios: Ratios = (3, 1, 6),
) -> Split:
    """Split the queries of a table; the defaults are those of the paper (App. A.2).

    "in-domain" shuffles the queries. "ood" (out of domain) gives each part whole tasks: of 64
    orders drawn with the seed, each dealt out to the part that lacks most, the one whose parts come
    nearest to the ratios by number of queries. Queries with the same text and image, but for case
    and white space, are in one part: under "ood" in that of the first task that has the query. The
    same table, kind, seed and ratios give the same split. Rows with missing outcomes are split like
    all others.
    Raises DataError for one model only, fewer than 20 complete rows, fewer than three different
    queries, and for "ood" fewer than three tasks; ConfigError for another kind, a negative seed or
    a ratio that is not positive.

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
    group = equal_queries(outcomes)
    n_groups = int(group.max()) + 1
    if n_groups < 3:
        raise DataError(
            f"{outcomes.name}: its {n} queries have {number_of(n_groups, 'text')} between them "
            "(case and white space do not count); a split, which keeps equal queries together, "
            "needs at least 3"
        )
    sizes = _sizes(shares, n)
    order = rng.permutation(n)
    if n_groups == n:
        part = np.empty(n, dtype=np.int64)
        part[order] = np.repeat([0, 1, 2], sizes)
        return part
    members = np.bincount(group)
    alone = members[group] == 1
    of_group, lack = _deal_repeated(group[order], members, sizes)
    part = of_group[group]
    singles = order[alone[order]]
    if len(singles):
        fill = _fill(lack, len(singles), empty=lack == sizes)
        part[singles] = np.repeat([0, 1, 2], fill)
    return part


def _sizes(shares: FloatArray, n: int) -> IntArray:
    """How many of n queries each part gets: (3,), at least 1 each, however small its ratio."""
    first, second = (int(cut) for cut in np.rint(np.cumsum(shares)[:2] * n))
    first = min(max(first, 1), n - 2)
    second = min(max(second, first + 1), n - 1)
    return np.array([first, second - first, n - second], dtype=np.int64)


def _fill(lack: FloatArray, n: int, empty: BoolArray) -> IntArray:
    """How many of n single queries each part gets, in the ratios of what it lacks: (3,).

    empty: the parts that have nobody yet and so get at least one; there are no more than n.
    """
    weights = np.maximum(lack, 0.0)
    cuts = np.rint(np.cumsum(weights) / weights.sum() * n)
    fill: IntArray = np.diff(cuts, prepend=0.0).astype(np.int64)
    for i in np.flatnonzero(empty & (fill == 0)):
        fill[fill.argmax()] -= 1
        fill[i] = 1
    return fill


def _deal_repeated(
    group: IntArray, members: IntArray, sizes: IntArray
) -> tuple[IntArray, FloatArray]:
    """Give groups of two and more queries, as they first occur, to the part that is most behind.

    group: (N,) in a random order. members: queries per group. sizes: (3,) of the parts. A part is
    behind by its share of all that was dealt, less what it has, so equal queries are as frequent in
    one part as in another. Returns the part per group, 0 for single queries, and what every part
    then lacks.
    """
    shares = sizes / sizes.sum()
    part, has = np.zeros(len(members), dtype=np.int64), np.zeros(3)
    left = len(members)  # groups that have no part yet, single queries among them
    dealt = 0
    for number in dict.fromkeys(group[members[group] > 1].tolist()):
        dealt += members[number]
        behind = shares * dealt - has
        empty = has == 0
        if left <= empty.sum():  # the last groups go to the parts that have none yet
            behind[~empty] = -np.inf
        chosen = int(behind.argmax())
        part[number] = chosen
        has[chosen] += members[number]
        left -= 1
    return part, sizes - has


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
    _, first, group = np.unique(equal_queries(outcomes), return_index=True, return_inverse=True)
    part = best[task_of][first[group]]  # a query that several tasks have goes with the first
    if len(set(part.tolist())) < 3:
        raise DataError(
            f"{outcomes.name}: its {len(names)} tasks have so many queries in common that a split "
            "by whole tasks, which keeps equal queries together, would leave a part empty; use the "
            "in-domain split"
        )
    return part


def _deal(
    sizes: FloatArray,
    targets: FloatArray,
    order: IntArray,
) -> IntArray:
    """Give tasks, in this order, to the part that lacks most queries: (n_tasks,) of 0, 1, 2."""
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
    n_complete = int(outcomes.is_measured.sum())
    if n_complete < MINIMUM_COMPLETE:
        raise DataError(
            f"{outcomes.name}: {n_complete} of {outcomes.n_queries} queries have the outcome of "
            f"every model, at least {MINIMUM_COMPLETE} are needed to train and to measure."
            + (f" {pool_advice(outcomes)}" if n_complete < outcomes.n_queries else "")
        )
