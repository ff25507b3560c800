"""Answers that were asked for to learn: their cost, and what they taught."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import orjson
import sqlalchemy as sa

from equirouter.serve.money.store.reports import slices_in
from equirouter.serve.money.store.schema import feedback, grades, log
from equirouter.serve.records import usd

_MOST = 10_000
"""The latest scores of users, and of graders, that are read: more would keep a gateway busy."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Answers to learn of a model.

    explored: requests that were sent to it in place of the router's choice; shadow: answers for the
    log alone. rated, mean: what users said of the explored, and graders of the shadows. predicted:
    the mean score that the router gave it for those, None where it gave none.
    """

    model: str
    explored: int = 0
    shadow: int = 0
    explored_nusd: int = 0
    shadow_nusd: int = 0
    rated: int = 0
    mean: float | None = None
    predicted: float | None = None

    @property
    def cost_nusd(self) -> int:
        """Of all its answers to learn."""
        return self.explored_nusd + self.shadow_nusd


@dataclass(frozen=True, slots=True)
class Learning:
    """All that was learned, as the latest 10,000 scores of users and of graders tell it.

    queries: of which graders scored answers, the client's or shadows'. complete: of these the ones
    with a score of every model that the router chooses among.
    """

    models: Sequence[Learned] = ()
    queries: int = 0
    complete: int = 0

    def document(self) -> dict[str, Any]:
        """As JSON, with the cost of each model."""
        return {
            "queries": self.queries,
            "complete": self.complete,
            "models": [
                {name: value for name, value in asdict(one).items() if not name.endswith("_nusd")}
                | {"cost_usd": usd(one.cost_nusd)}
                for one in self.models
            ],
        }


def learned_in(connection: sa.Connection, since: float, until: float) -> Learning:
    """Answers of exploration and shadows in a period, and what was said of them."""
    said: dict[str, list[tuple[float, float | None]]] = defaultdict(list)
    explored = log.c.decided_by == "explore"
    for row, plan in _said(connection, feedback, since, until, explored):
        said[row.served_model].append((row.score, plan["scores"].get(row.served_model)))
    scored: dict[str, set[str]] = defaultdict(set)
    wanted: dict[str, tuple[str, ...]] = {}
    for row, plan in _said(connection, grades, since, until):
        if row.decided_by == "shadow":
            said[row.served_model].append((row.score, plan["scores"].get(row.served_model)))
        else:
            wanted[row.request_id] = tuple(plan["scores"])
        scored[plan.get("shadow_of") or row.request_id].add(row.served_model)
    figures = _costs(connection, since, until)
    for model, scores in said.items():
        figures[model] |= _means(scores)
    complete = sum(
        bool(models) and scored[query].issuperset(models) for query, models in wanted.items()
    )
    learned = [Learned(model, **values) for model, values in sorted(figures.items())]
    return Learning(learned, len(scored), complete)


def _said(
    connection: sa.Connection,
    table: sa.Table,
    since: float,
    until: float,
    *more: sa.ColumnElement[bool],
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Answers of a period of which feedback or graders said something, with their plans."""
    c = log.c
    rows = connection.execute(
        sa.select(c.request_id, c.served_model, c.decided_by, c.plan, table.c.score)
        .select_from(table.join(log, c.request_id == table.c.request_id))
        .where(table.c.at_us >= round(since * 1e6), table.c.at_us < round(until * 1e6))
        .where(table.c.score.is_not(None), *more)
        .order_by(table.c.at_us.desc())
        .limit(_MOST)
    )
    for row in rows:
        yield row, orjson.loads(row.plan)


def _means(said: Sequence[tuple[float, float | None]]) -> dict[str, Any]:
    predicted = [score for _, score in said if score is not None]
    return {
        "rated": len(said),
        "mean": fmean(score for score, _ in said),
        "predicted": fmean(predicted) if predicted else None,
    }


_LEARNING = {"explore": "explored", "shadow": "shadow"}


def _costs(connection: sa.Connection, since: float, until: float) -> dict[str, dict[str, Any]]:
    """Model -> how many answers, and their cost."""
    figures: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    slices = slices_in(connection, since, until, until - since)
    for row in (row for rows in slices.values() for row in rows):
        if row["decided_by"] in _LEARNING and row["model"]:
            name = _LEARNING[row["decided_by"]]
            figures[row["model"]][name] += int(row["requests"])
            figures[row["model"]][f"{name}_nusd"] += int(row["cost_nusd"])
    return figures
