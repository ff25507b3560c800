"""Where a router collapses: on which tasks, and from which budget on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray
from equirouter.errors import DataError
from equirouter.policy import BudgetPolicy
from equirouter.policy.collapse_score import (
    checked_chosen,
    checked_outcomes,
    collapse_table,
    pick,
)


@dataclass(frozen=True)
class TaskCollapse:
    """One task, with the choices of a router and of the oracle without a budget.

    strongest_share, oracle_strongest_share: of the task's calls that go to the strongest model of
    all queries. rci in [0, 1], lower is better at equal performance. performance: mean over the
    task's queries, beside the oracle's, that of always calling the strongest, and that of always
    calling best_model, the column of the highest mean on this task (the strongest if it has that).
    """

    task: str
    n_queries: int
    strongest_share: float
    oracle_strongest_share: float
    rci: float
    performance: float
    strongest_performance: float
    best_model: int
    best_performance: float
    oracle_performance: float


def collapse_by_task(
    chosen: ArrayLike,
    performance: ArrayLike,
    cost_usd: ArrayLike,
    tasks: Sequence[str],
    *,
    strongest: int,
) -> list[TaskCollapse]:
    """The choices (N,) of one operating point, task by task, the largest task first.

    performance, cost_usd: (N, K), no NaN. tasks: N names. strongest: its column. Raises DataError
    for other shapes, missing outcomes, or a choice that is no column.
    """
    performance, cost_usd = checked_outcomes(performance, cost_usd)
    columns = checked_chosen(chosen, *performance.shape)
    if columns.ndim != 1 or len(tasks) != len(columns):
        raise DataError(
            f"chosen has shape {columns.shape} for {len(tasks)} tasks and {len(performance)} "
            "queries; expected one choice and one task per query"
        )
    oracle = BudgetPolicy().choose(performance, cost_usd)
    scored, collapsed = pick(columns, performance, collapse_table(performance, cost_usd))
    names = np.asarray(tasks, dtype=object)
    rows_of = {task: np.flatnonzero(names == task) for task in sorted(set(tasks))}
    collapses = []
    for task, rows in sorted(rows_of.items(), key=lambda item: -len(item[1])):
        means = performance[rows].mean(axis=0)
        best = strongest if means[strongest] == means.max() else int(means.argmax())
        collapses.append(
            TaskCollapse(
                task=task,
                n_queries=len(rows),
                strongest_share=float((columns[rows] == strongest).mean()),
                oracle_strongest_share=float((oracle[rows] == strongest).mean()),
                rci=float(collapsed[rows].mean()),
                performance=float(scored[rows].mean()),
                strongest_performance=float(means[strongest]),
                best_model=best,
                best_performance=float(means[best]),
                oracle_performance=float(performance[rows].max(axis=1).mean()),
            )
        )
    return collapses


def reached_from(points: FloatArray, share: FloatArray, level: float) -> float | None:
    """The smallest budget from which on the share stays at level or above; None if it never does.

    points, share: (T,), budgets increasing. A share that falls below the level again at the largest
    budget has not stayed there.
    """
    above = np.asarray(share) >= level
    stays = np.logical_and.accumulate(above[::-1])[::-1]
    return float(points[int(np.argmax(stays))]) if stays.any() else None
