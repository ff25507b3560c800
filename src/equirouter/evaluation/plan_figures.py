"""Asking more than one model: figures of replays, and plans against routing."""

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.evaluation.pipeline_metrics import CostsAt
from equirouter.pipeline import RoutingPipeline
from equirouter.policy import Calibration, OperatingPoint, StrongestPolicy
from equirouter.policy.plan import Replayed
from equirouter.policy.pool_plans import PoolPlans
from equirouter.policy.replies import Replies
from equirouter.training.plan_choice import Candidates
from equirouter.training.protocol import Part

QUALITIES = (1.0, 0.99, 0.98, 0.95, 0.9)


def figures_of(
    made: Replayed,
    performance: FloatArray,
    strongest: int,
    output_tokens: FloatArray | None = None,
) -> dict[str, FloatArray]:
    """Of a replay on n queries, (T,) each.

    calls, rounds: means. escalated: share of the queries of which a third model was asked.
    wrongly_accepted: share whose answer is one of the first two although the strongest model's (a
    column of performance (n, K)) is better. output_tokens_p50, _p95: median and 95th percentile of
    the tokens that are written one after the other: the longer of two answers that are asked at
    once, and a third. output_tokens (n, K): where known, else these are left out.
    """
    got = performance[np.arange(len(made.served))[:, None], made.served]
    accepted = made.calls == 2
    worse = got < performance[:, [strongest]]
    figures = {
        "calls": made.calls.mean(axis=0),
        "rounds": made.rounds.mean(axis=0),
        "escalated": (made.rounds > 1).mean(axis=0),
        "wrongly_accepted": (accepted & worse).mean(axis=0),
    }
    tokens = None if output_tokens is None else _sequential(made, output_tokens)
    if tokens is not None:
        for percent in (50, 95):
            figures[f"output_tokens_p{percent}"] = np.percentile(tokens, percent, axis=0)
    return figures


def _sequential(made: Replayed, output_tokens: FloatArray) -> FloatArray | None:
    """Tokens (n, T) that are written one after the other; None where some are not known."""
    shape = made.asked.shape
    flat = np.maximum(made.asked, 0).reshape(shape[0], -1)
    tokens = np.take_along_axis(output_tokens, flat, axis=1).reshape(shape)
    tokens = np.where(made.asked >= 0, tokens, 0.0)
    total = tokens[:, :, :2].max(axis=2) + tokens[:, :, 2]
    return total if np.isfinite(total).all() else None


def served(pipeline: RoutingPipeline, scores: FloatArray, part: Part, table: Outcomes) -> Replayed:
    """Answers served on a part at the quality of a pipeline, by several models where it says so.

    scores (n, K): its calibrated estimates.
    """
    price = pipeline.plan_lambda()
    if pipeline.plans is None or price is None:
        policy, _ = pipeline.policy_for()
        chosen = policy.choose(scores, part.predicted_cost_usd)[:, None]
        return Replayed.of_one(chosen, part.cost_usd)
    strongest_usd = part.predicted_cost_usd[:, pipeline.models.index(pipeline.baseline.strongest)]
    replies = Replies.of_table(table, part.rows).affordable(strongest_usd)
    point = np.array([price])
    return pipeline.plans.replay(scores, part.predicted_cost_usd, point, replies, part.cost_usd)


def compared(
    candidates: Candidates, plans: PoolPlans | None, usual: Calibration, strongest: int
) -> tuple[CostsAt, ...]:
    """Costs that keep each quality on queries that nothing had learned from, and what is taken.

    usual: the operating points of one model per query. strongest: a column. Costs are shares of the
    strongest model's, by the means as they are; None where nothing cheaper than it keeps the
    quality.
    """
    rows = []
    others = {"rule": candidates.rule, "learned": candidates.learned}
    known = {
        name: None if made is None else candidates.calibration(made, strongest)
        for name, made in others.items()
    }
    for quality in QUALITIES:
        point, by = usual.operating_point(quality), "routing"
        if plans is not None and plans.calibration is not None:
            promised = plans.calibration.operating_point(quality)
            by = plans.by(promised.value) if promised.is_better(point) else by
        costs = {
            name: None if each is None else _cost(each.operating_point(quality))
            for name, each in known.items()
        }
        rows.append(CostsAt(quality=quality, routing=_cost(point), **costs, taken=by))
    return tuple(rows)


def _cost(point: OperatingPoint) -> float | None:
    return None if point.setting == StrongestPolicy.setting else point.relative_cost


GROUPS = 10


def auc(values: FloatArray, right: BoolArray) -> float | None:
    """How often a right answer (n,) has the higher value (n,) than a wrong one; a tie is half.

    0.5 knows nothing, 1 all. None where all are right or none is. Source: Hanley and McNeil 1982.
    """
    pairs = _ordered(values, right)
    return None if pairs is None else pairs[0] / pairs[1]


def auc_beyond(values: FloatArray, right: BoolArray, score: FloatArray) -> float | None:
    """The AUC among answers whose score (n,) is alike: what the values know beyond the score.

    Alike is the same of GROUPS groups of equal size. None where no group has right and wrong ones.
    """
    ordered = [_ordered(values[rows], right[rows]) for rows in _groups(score)]
    known = [pairs for pairs in ordered if pairs is not None]
    return sum(p[0] for p in known) / sum(p[1] for p in known) if known else None


def _ordered(values: FloatArray, right: BoolArray) -> tuple[float, int] | None:
    """Pairs of a right and a wrong answer in the right order, and all pairs; None without any."""
    n_right = int(right.sum())
    n_pairs = n_right * (len(right) - n_right)
    if not n_pairs:
        return None
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # from 1, of equal ones the mean
    above = float(rank[place][right].sum()) - n_right * (n_right + 1) / 2
    return above, n_pairs


def _groups(score: FloatArray) -> list[IntArray]:
    return np.array_split(np.argsort(score, kind="stable"), GROUPS)
