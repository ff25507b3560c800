"""The outcomes that means over queries are taken of, of a log with predictions from the queries."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data.logged import cell_weights, estimated, is_estimated
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import equal_queries
from equirouter.routers.linear import cross_fitted

FOLDS = 2


@dataclass(frozen=True, eq=False)
class MeasuredMeans:
    """The values averaged, performance and cost_usd (N, K), of the rows of Outcomes.is_measured.

    log (N, 3, K): of a log the known performance and cost_usd, NaN where not known, and the
    weights, see data/logged.py; None where all that is measured is known.
    """

    performance: FloatArray
    cost_usd: FloatArray
    log: FloatArray | None = None


def measured_outcomes(
    outcomes: Outcomes, embeddings: Float32Array, seed: int = 42
) -> MeasuredMeans:
    """The table's own outcomes; of rows of a log that are measured, doubly robust estimates.

    embeddings: (N, d) of all queries. seed: of the folds, of which one predicts the other.
    """
    known = outcomes.performance, outcomes.cost_usd
    if not is_estimated(outcomes):
        return MeasuredMeans(*known)
    group = equal_queries(outcomes)
    fold = np.random.default_rng(seed).permutation(int(group.max()) + 1)[group] % FOLDS
    performance, cost_usd = (
        estimated(outcomes, each, cross_fitted(embeddings, each, fold)) for each in known
    )
    return MeasuredMeans(performance, cost_usd, np.stack([*known, cell_weights(outcomes)], axis=1))
