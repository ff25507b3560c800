"""Predicted collapse scores, which the policy less-collapse is priced by."""

from dataclasses import replace

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data.logged import is_estimated
from equirouter.data.outcomes import Outcomes
from equirouter.errors import DataError, FitError
from equirouter.policy.base import Policy, PricedBy
from equirouter.policy.collapse_score import collapse_table
from equirouter.routers.base import Router
from equirouter.routers.factors import FactorRouter
from equirouter.training.protocol import Part, Prepared


def check_collapse_is_known(outcomes: Outcomes, rule: Policy) -> None:
    """Raise DataError for a log under a policy that is priced by collapse.

    Which model was the best of a query, and which cost less, is known where all have answered.
    """
    if rule.priced_by == "collapse" and is_estimated(outcomes):
        raise DataError(
            f"{outcomes.name}: a log does not tell which models matched the one that answered, so "
            "no collapse score can be learned from it; choose --policy utility or budget, or ask "
            "every model (equirouter collect)"
        )


def with_prices(prepared: Prepared, priced_by: PricedBy) -> Prepared:
    """The split with predicted collapse scores where a policy is priced by them.

    By a `factors` of their own: every router of a run gets the same ones, as it gets the same
    predicted costs. They are learned from the complete queries of training and validation part,
    those of a query without that query.
    """
    if priced_by == "cost":
        return prepared
    learned = prepared.learnable
    router, predicted = fit_collapse(learned)
    place = {row: at for at, row in enumerate(learned.rows.tolist())}
    own = predicted[[place[row] for row in prepared.both.rows.tolist()]]
    new = 1.0 - router.predict(prepared.test.embeddings).astype(np.float64)
    return replace(
        prepared,
        both=replace(prepared.both, predicted_collapse=own),
        test=replace(prepared.test, predicted_collapse=new),
        collapse=router,
    )


def fit_collapse(part: Part) -> tuple[Router, FloatArray]:
    """A router of 1 - collapse score, higher is better; and the scores (n, K) of its queries.

    Incomplete queries are not learned from; complete ones have the score that they would get had
    they not been.
    """
    complete = np.flatnonzero(np.isfinite(part.performance + part.cost_usd).all(axis=1))
    known = part.take(complete)
    router = FactorRouter().fit(
        known.embeddings,
        1.0 - collapse_table(known.performance, known.cost_usd),
        known.cost_usd,
        tasks=known.tasks,
        rng=np.random.default_rng(0),  # nothing is drawn
    )
    if router.held_out is None:
        raise FitError("FactorRouter has no held_out scores after fit")
    scores = router.predict(part.embeddings).astype(np.float64)
    scores[complete] = router.held_out
    return router, 1.0 - scores
