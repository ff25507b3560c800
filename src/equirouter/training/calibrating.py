"""The promises and the baseline of a pipeline, from the validation part of its stage."""

from collections.abc import Sequence

import numpy as np

from equirouter.cost.predictor import Tokens
from equirouter.errors import DataError, EquiRouterError
from equirouter.pipeline.record import ValidationRecord, kept_rows
from equirouter.pipeline.stage import Stage
from equirouter.policy import (
    PROBES,
    Baseline,
    Calibration,
    Policy,
    Probe,
    ShareCurve,
    calibrate,
    share_curve,
)
from equirouter.policy.base import POLICIES_ASKED_FOR
from equirouter.registry import POLICIES
from equirouter.training.fitted import FittedStage


def calibrated(
    fitted: FittedStage, policy: str, models: Sequence[str], strongest: int
) -> tuple[Calibration, Baseline, tuple[str, ...]]:
    """The operating points of a policy, what the pipeline does now, and notes on it.

    policy: the registered name of the one that a quality moves along. strongest: a column.
    Raises DataError where no share of the strongest model can be promised.
    """
    calibration = _calibration(fitted, POLICIES.load(policy)(), strongest)
    baseline, notes = _baseline(fitted, policy, models, strongest)
    return calibration, baseline, (*fitted.costs.notes, *notes)


def record_of(fitted: FittedStage, tokens: Tokens | None) -> ValidationRecord:
    """The validation queries that the pipeline keeps for later calibrations.

    tokens: of all queries of the table, (N, K) each, where they are known.
    """
    part = fitted.validation
    kept = kept_rows(*part.performance.shape)
    rows = part.rows[kept]
    return ValidationRecord(
        vectors=part.embeddings[kept].astype(np.float16),
        scores=fitted.router.raw_scores[kept].astype(np.float32),
        amounts=part.predicted_amounts[kept],
        performance=part.performance[kept],
        cost_usd=part.cost_usd[kept],
        tokens=None
        if tokens is None or part.log is not None  # estimated costs are not of these tokens
        else (tokens[0][rows], tokens[1][rows]),
        estimated=np.zeros(part.performance.shape[1], dtype=bool),
        log=None if part.log is None else part.log[kept],
    )


def _calibration(fitted: FittedStage, rule: Policy, strongest: int) -> Calibration:
    """Every operating point on the validation part, as shares of the strongest model."""
    part = fitted.validation
    performance, cost_usd = (
        float(table[:, strongest].mean()) for table in (part.performance, part.cost_usd)
    )
    if performance <= 0:
        raise DataError(
            f"the strongest model has a mean performance of {performance:g} on the "
            f"{len(part.rows)} validation queries, so no share of it can be promised; more rows "
            "are needed, or a scale on which higher is better and 0 is the least"
        )
    if cost_usd <= 0:
        raise DataError(
            f"the calls of the strongest model cost nothing on the {len(part.rows)} validation "
            "queries, so no other model can save money at a share of its performance; give what "
            "its calls cost in cost_usd, or leave it out"
        )
    chosen, points = fitted.choices(rule)
    return calibrate(
        chosen,
        points,
        part.performance,
        part.cost_usd,
        strongest=strongest,
        setting=rule.setting,
        log=part.log,
    )


def _baseline(
    fitted: FittedStage, policy: str, models: Sequence[str], strongest: int
) -> tuple[Baseline, tuple[str, ...]]:
    """Call shares of the new pipeline at every setting that a call may name, and notes."""
    shares: dict[str, ShareCurve] = {}
    for name in dict.fromkeys((*POLICIES_ASKED_FOR, policy)):
        rule: Policy = POLICIES.load(name)()
        chosen, points = fitted.choices(rule)
        shares[rule.setting] = share_curve(chosen, points, strongest)
    probes, notes = _probes(fitted.stage)
    n_queries = len(fitted.validation.rows)
    return Baseline(models[strongest], n_queries, shares, probes), notes


def _probes(stage: Stage) -> tuple[tuple[Probe, ...], tuple[str, ...]]:
    """Scores and costs of PROBES; none, and a note, where the encoder cannot be asked now."""
    try:
        seen = stage.look(PROBES)
    except EquiRouterError as error:
        return (), (f"kept without probes, as the encoder could not be asked: {error}",)
    rows = zip(PROBES, seen.scores.tolist(), seen.costs.tolist(), strict=True)
    return tuple(Probe(query, tuple(scores), tuple(cost)) for query, scores, cost in rows), ()
