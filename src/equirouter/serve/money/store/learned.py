"""Answers that were asked for to learn: their cost, and what they taught."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from equirouter.serve.money.store.reports import slices_in
from equirouter.serve.money.store.schema import feedback, grades, log


@dataclass(frozen=True, slots=True)
class Learned:
    """Answers to learn of a model.

    explored: requests that were sent to it in place of the router's choice; shadow: answers for the
    log alone. rated, mean: what users said of the explored, and graders of the shadows.
    """

    model: str
    explored: int = 0
    shadow: int = 0
    explored_nusd: int = 0
    shadow_nusd: int = 0
    rated: int = 0
    mean: float | None = None


def learned_in(connection: sa.Connection, since: float, until: float) -> list[Learned]:
    """Answers of exploration and shadows in a period, by model."""
    slices = slices_in(connection, since, until, until - since)
    figures: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    for row in (row for rows in slices.values() for row in rows):
        if row["decided_by"] in _LEARNING and row["model"]:
            name = _LEARNING[row["decided_by"]]
            figures[row["model"]][name] += int(row["requests"])
            figures[row["model"]][f"{name}_nusd"] += int(row["cost_nusd"])
    scores: dict[str, list[float]] = defaultdict(list)
    for table, decided_by in ((feedback, "explore"), (grades, "shadow")):
        c = table.c
        said = connection.execute(
            sa.select(log.c.served_model, c.score)
            .select_from(table.join(log, log.c.request_id == c.request_id))
            .where(c.at_us >= round(since * 1e6), c.at_us < round(until * 1e6))
            .where(log.c.decided_by == decided_by, c.score.is_not(None))
        )
        for model, score in said:
            scores[model].append(score)
    for model, known in scores.items():
        figures[model] |= {"rated": len(known), "mean": math.fsum(known) / len(known)}
    return [Learned(model, **values) for model, values in sorted(figures.items())]


_LEARNING = {"explore": "explored", "shadow": "shadow"}
