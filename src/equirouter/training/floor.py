"""How many complete queries a promise needs at least, and what counts where in a partial table."""

import math

import numpy as np

from equirouter.arrays import IntArray
from equirouter.data.logged import cell_weights, effective_queries
from equirouter.data.outcomes import Outcomes
from equirouter.data.pools import pool_advice
from equirouter.data.split import Split
from equirouter.errors import DataError
from equirouter.policy.quality import DEFAULT_CONFIDENCES
from equirouter.routers import make_router
from equirouter.routers.base import LeaveOneOutRouter
from equirouter.words import number_of

_NEAREST = 0.98
"""The default quality; nearer to 1 the strongest model answers nearly all, which needs no proof."""


def floor_of(quality: float) -> int:
    """Complete queries below which a quality is no promise: 95 for 0.98, 38 for 0.95, 19 for 0.9.

    So many must be seen without one failure until the bound of the exact binomial test (Clopper and
    Pearson 1934) on the rate of failures, -ln(1 - confidence) / n, is down at 1 - quality, with the
    confidence that is tried first where none is asked for. With fewer, a router that never failed
    on any of them looks the same as one that breaks the promise. quality: up to 1; above 0.98 as
    0.98.
    """
    return math.ceil(-math.log1p(-DEFAULT_CONFIDENCES[0]) / (1 - min(quality, _NEAREST)))


def counted_rows(
    outcomes: Outcomes, split: Split, router: str, quality: float, *, refit: bool
) -> tuple[str, ...]:
    """A note on which rows of a partial table count where; none where the table is complete.

    router: a spec. One that tells its scores of a training query without that query is calibrated
    on all that it learns from, any other on the validation part.
    Raises DataError, which says what is missing, where that is fewer than floor_of(quality).
    """
    rows = _calibrating(split, router, refit=refit)
    measured, n_complete = outcomes.is_measured, int(outcomes.is_complete.sum())
    is_log = bool((measured & ~outcomes.is_complete).any())

    def worth(some: IntArray) -> int:
        return math.floor(effective_queries(cell_weights(outcomes)[some[measured[some]]]))

    n = worth(rows) if is_log else int(outcomes.is_complete[rows].sum())
    part = "" if len(rows) > len(split.validation) else " in the validation part"
    if n < floor_of(quality):
        if is_log:
            raise DataError(_refusal_of_log(outcomes, quality, n, part))
        raise DataError(_refusal(outcomes, router, quality, n, part))
    if n_complete == outcomes.n_queries:
        return ()
    learned = outcomes.n_queries if refit else len(split.learnable)
    if is_log:
        return (
            f"{learned} queries are learned from with the outcomes that they have, promises rest "
            f"on what {n} complete ones would tell, test figures on {worth(split.test)}",
        )
    return (
        f"{n_complete} of {outcomes.n_queries} queries have the outcome of every model: {learned} "
        f"are learned from with the outcomes that they have, promises rest on {n} complete ones, "
        f"test figures on {measured[split.test].sum()}",
    )


def _refusal_of_log(outcomes: Outcomes, quality: float, n: int, part: str) -> str:
    return (
        f"{outcomes.name}: quality {quality:g} of the strongest model cannot be promised from a "
        f"log{part} that tells of one of its models as little as "
        f"{number_of(n, 'complete query', 'complete queries')} would: {floor_of(quality)} are the "
        "least. Log more requests, explore more of them ([explore] share), let other models answer "
        "too ([shadow]), leave out a model that is seldom called (--exclude-models), or ask for "
        "less --quality"
    )


def _refusal(outcomes: Outcomes, router: str, quality: float, n: int, part: str) -> str:
    least, n_complete = floor_of(quality), int(outcomes.is_complete.sum())
    allowed = 1 + math.log1p(-DEFAULT_CONFIDENCES[0]) / max(n, 1)
    lower = f", or ask for --quality {math.floor(100 * allowed) / 100:g}" if allowed > 0.01 else ""
    default = (
        ""
        if isinstance(make_router(router), LeaveOneOutRouter)
        else f"; the router factors is calibrated on all {n_complete} complete rows"
    )
    pools = f" {pool_advice(outcomes)}" if n_complete < outcomes.n_queries else ""
    return (
        f"{outcomes.name}: quality {quality:g} of the strongest model cannot be promised from "
        f"{number_of(n, 'query', 'queries')}{part} with the outcome of every model: {least} are "
        "the least with which a promise that is kept differs from one that is not. Ask every model "
        f"{number_of(least - n, 'query', 'queries')} more (equirouter collect){lower}{default}."
        f"{pools}"
    )


def _calibrating(split: Split, router: str, *, refit: bool) -> IntArray:
    """The rows whose complete ones calibrate the pipeline that is saved."""
    if not isinstance(make_router(router), LeaveOneOutRouter):
        return split.validation
    return np.concatenate([split.learnable, split.test]) if refit else split.learnable
