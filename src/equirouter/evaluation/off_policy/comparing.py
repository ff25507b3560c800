"""Two pipelines on the queries of a log, which knows one outcome of each and its propensity."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from equirouter.arrays import BoolArray
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import nearly_equal_queries
from equirouter.encoders.cache import EmbeddingCache, encode_table
from equirouter.errors import DataError
from equirouter.evaluation.off_policy.estimates import Estimate, LoggedOutcomes, PolicyValue
from equirouter.evaluation.promotion.comparison import chosen_columns, comparable
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.training.protocol import readable

MOST_LEFT_OUT = 0.05
"""Share of queries that may be left out, as the log could not have made one of the choices."""


@dataclass(frozen=True)
class LoggedComparison:
    """A challenger against the champion, as a log tells it.

    n_queries: those that count. n_left_out: those for which one of the two chooses a model that the
    log could not have called. values: of champion and challenger. performance, cost_usd: the
    challenger's mean less the champion's, doubly robust and paired. same: the share of queries for
    which both choose the same model.
    """

    n_queries: int
    n_left_out: int
    values: tuple[PolicyValue, PolicyValue]
    performance: Estimate
    cost_usd: Estimate
    same: float

    def document(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def compare_from_log(
    champion: RoutingPipeline,
    challenger: RoutingPipeline,
    table: Outcomes,
    *,
    cache: EmbeddingCache | None = None,
) -> LoggedComparison:
    """Both on the queries of a log of which an outcome and its propensity are known.

    That neither has learned from them is for the caller to see to. Queries without a score count as
    if they were like the others. Raises DataError for a table without propensities, a model that it
    does not have, choices that the log could not have made on more than 5 % of the queries, and too
    little overlap (see LoggedOutcomes).
    """
    pair = (champion, challenger)
    for pipeline in pair:
        table = readable(pipeline.stage.encoder, table)
    comparable(table, pair)  # whether it has their models
    table = _logged(table)
    chosen = np.stack([chosen_columns(pipeline, table, cache) for pipeline in pair], axis=1)
    assert table.propensity is not None  # noqa: S101  # _logged
    kept: BoolArray = np.all(np.take_along_axis(table.propensity, chosen, axis=1) > 0, axis=1)
    n_left_out = int((~kept).sum())
    if n_left_out > MOST_LEFT_OUT * len(kept):
        raise DataError(
            f"{table.name}: on {n_left_out} of {len(kept)} queries one of the two chooses a model "
            "that the log could not have called (no propensity, or 0), so nothing tells what it "
            "would have scored. Let the gateway explore ([explore] share), or give outcomes of all "
            "models"
        )
    table, chosen = table.take(kept), chosen[kept]
    assert table.propensity is not None  # noqa: S101  # as above
    log = LoggedOutcomes(
        encode_table(champion.stage.encoder, table, cache=cache),
        table.performance,
        table.cost_usd,
        table.propensity,
        nearly_equal_queries(table),
        performance_range=table.performance_range,
    )
    first, second = chosen.T
    return LoggedComparison(
        n_queries=table.n_queries,
        n_left_out=n_left_out,
        values=(log.value(first), log.value(second)),
        performance=log.difference(first, second, "performance"),
        cost_usd=log.difference(first, second, "cost_usd"),
        same=float((first == second).mean()),
    )


def _logged(table: Outcomes) -> Outcomes:
    """The queries with an outcome that counts."""
    if table.propensity is None:
        raise DataError(
            f"{table.name}: no query has the outcomes of all models, and there is no column "
            "propensity, which says with what probability each outcome came to be known: give the "
            "outcomes of all models, or a log of a gateway that explores (equirouter log export)"
        )
    known = np.isfinite(table.performance) & np.isfinite(table.cost_usd) & (table.propensity > 0)
    rows = np.flatnonzero(known.any(axis=1))
    if len(rows) < 2:
        raise DataError(
            f"{table.name}: {len(rows)} of its queries, new to both pipelines, have a performance, "
            "a cost and its propensity: there is nothing to compare on"
        )
    return table.take(rows)
