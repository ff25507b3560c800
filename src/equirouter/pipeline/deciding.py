"""Many queries decided together, each under its own policy and constraints.

All of them are encoded in one batch and scored in one run; then those of one policy are decided at
a time. A query's decision is the same, whichever others stand beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from equirouter.errors import DataError
from equirouter.pipeline.decision import Ask, Choices, Decision
from equirouter.policy import NOTHING_FITS, Policy
from equirouter.policy.pacer import Paced, Pacer

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, Float32Array, IntArray
    from equirouter.pipeline.stage import Stage

__all__ = [
    "Order",
    "choose_embeddings",
    "decide_orders",
    "feasible_row",
    "pace_orders",
    "strongest_first",
]


@dataclass(frozen=True, eq=False)
class Order:
    """An ask, and what it comes to: a policy at its setting's value, and the constraints' verdict.

    Orders of one policy object are decided together.
    """

    ask: Ask
    policy: Policy
    value: float
    removed: dict[str, str]
    not_checked: dict[str, str]
    setting: str | None = None  # what the value is one of, where not the policy's


def feasible_row(models: Sequence[str], removed: Mapping[str, str]) -> "BoolArray":
    """(K,): False for the removed models."""
    return np.array([model not in removed for model in models], dtype=bool)


def decide_orders(
    orders: Sequence[Order],
    models: tuple[str, ...],
    stage: "Stage",
    by_strength: "IntArray | None" = None,
) -> list[Decision]:
    """A decision for each order, in their order.

    by_strength (K,): columns, the strongest model first; for a query that is far from the training
    queries the models that the policy ranks are taken in this order. None: the policy's order.
    """
    seen = _look(orders, stage)
    decisions: dict[int, Decision] = {}
    for rows in _by_policy(orders, range(len(orders))):
        policy = orders[rows[0]].policy
        scores = np.array([seen[row].scores for row in rows])
        costs = np.array([seen[row].costs for row in rows])
        ranked = policy.rank(scores, costs, _feasible(orders, rows, models))
        if by_strength is not None:
            far = np.array([seen[row].far for row in rows])
            ranked[far] = strongest_first(ranked[far], by_strength)
        for row, columns in zip(rows, ranked, strict=True):
            decisions[row] = _decision(orders[row], models, seen[row], columns)
    return list(map(decisions.__getitem__, range(len(orders))))


def strongest_first(ranked: "IntArray", by_strength: "IntArray") -> "IntArray":
    """The same columns of each row (n, K) in the order of by_strength (K,), NOTHING_FITS last."""
    place = np.empty_like(by_strength)
    place[by_strength] = np.arange(len(by_strength))
    key = np.where(ranked == NOTHING_FITS, len(place), place[ranked])
    return np.take_along_axis(ranked, np.argsort(key, axis=1, kind="stable"), axis=1)


def choose_embeddings(
    embeddings: "Float32Array",
    order: Order,
    models: tuple[str, ...],
    stage: "Stage",
    by_strength: "IntArray | None" = None,
) -> Choices:
    """The choices on embeddings (N, d), all under the policy and constraints of one order.

    by_strength: see decide_orders. Raises DataError for another width than the encoder's.
    """
    width = stage.encoder.dimension
    if embeddings.ndim != 2 or embeddings.shape[1] != width:
        raise DataError(
            f"embeddings have the shape {embeddings.shape}: expected (n_queries, {width}), as "
            f"the encoder {stage.encoder.name} makes them"
        )
    policy, removed = order.policy, order.removed
    chosen = np.empty(len(embeddings), dtype=np.int64)
    paid = np.empty(len(embeddings), dtype=np.float32)
    allowed = feasible_row(models, removed)

    def choose(rows: slice, scores: "Float32Array", costs: "Float32Array") -> None:
        feasible = np.broadcast_to(allowed, scores.shape) if removed else None
        columns = policy.choose(scores, costs, feasible)
        if by_strength is not None:
            far = stage.familiar.far(np.asarray(embeddings[rows]))
            limits = None if feasible is None else feasible[far]
            ranked = policy.rank(scores[far], costs[far], limits)
            columns[far] = strongest_first(ranked, by_strength)[:, 0]
        chosen[rows] = columns
        paid[rows] = costs[np.arange(len(columns)), columns]

    stage.each(embeddings, policy, choose)
    refused = chosen == NOTHING_FITS
    paid[refused] = np.nan
    return Choices(
        models=models,
        chosen=chosen,
        predicted_cost_usd=paid,
        fits=~refused & policy.within(paid),
        setting=policy.setting,
        value=order.value,
        removed=removed,
        not_checked=order.not_checked,
    )


def pace_orders(
    orders: Sequence[Order],
    models: tuple[str, ...],
    stage: "Stage",
    pacer: Pacer,
    most_usd: Sequence[Mapping[str, float] | None],
    *,
    settled: bool = False,
) -> list[tuple[Decision, Paced]]:
    """The same in turn, each at the price that the ones before it led to.

    settled: each is settled as predicted before the next; else none is.
    """
    found = []
    for order, seen, most in zip(orders, _look(orders, stage), most_usd, strict=True):
        allowed = feasible_row(models, order.removed)
        limits = None if most is None else np.array([most.get(m, math.inf) for m in models])
        paced = pacer.decide(seen.scores, seen.costs, allowed, limits)
        if settled:
            pacer.settle(paced)
        over = {
            model: f"cap: {pacer.cap_usd:g} USD in all has too little left"
            for model, is_over in zip(models, paced.over_cap.tolist(), strict=True)
            if is_over
        }
        order = replace(order, removed=order.removed | over)
        found.append((_decision(order, models, seen, paced.columns), paced))
    return found


class _Seen(NamedTuple):
    """What a stage makes of a query: scores as the policy needs them and predicted costs (K,)."""

    scores: "Float32Array"
    costs: "Float32Array"
    estimates: "Float32Array"  # of performance (K,)
    far: bool
    stage: "Stage"


def _look(orders: Sequence[Order], stage: "Stage") -> list[_Seen]:
    """What the stage makes of each query, all encoded in one batch."""
    from equirouter.encoders.base import check_images

    images = check_images([order.ask.image for order in orders], len(orders), encoder=stage.encoder)
    if not orders:
        return []
    encoded = stage.encode([order.ask.query for order in orders], images)
    raw, costs = stage.scorer(encoded)
    far = stage.familiar.far(encoded).tolist()
    seen: dict[int, _Seen] = {}
    for rows in _by_policy(orders, range(len(orders))):
        policy = orders[rows[0]].policy
        scores = stage.scaled(raw[rows], policy)
        calibrated = policy.needs == "expected_performance"
        estimates = scores if calibrated else stage.estimates(raw[rows])
        seen |= {
            row: _Seen(scores[at], costs[row], estimates[at], far[row], stage)
            for at, row in enumerate(rows)
        }
    return list(map(seen.__getitem__, range(len(orders))))


def _by_policy(orders: Sequence[Order], rows: Sequence[int]) -> list[list[int]]:
    """Places in rows, a list for each policy object."""
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(id(orders[row].policy), []).append(place)
    return list(groups.values())


def _feasible(
    orders: Sequence[Order], rows: Sequence[int], models: Sequence[str]
) -> "BoolArray | None":
    for row in rows:
        if orders[row].removed:
            return np.stack([feasible_row(models, orders[row].removed) for row in rows])
    return None


def _decision(order: Order, models: tuple[str, ...], seen: _Seen, ranked: "IntArray") -> Decision:
    chosen, *rest = ranked.tolist()
    nothing = chosen == NOTHING_FITS
    cost = seen.costs[chosen]
    return Decision(
        model=None if nothing else models[chosen],
        predicted_cost_usd=None if nothing else float(cost),
        setting=order.setting or order.policy.setting,
        value=order.value,
        fits=not nothing and bool(order.policy.within(cost)),
        fallbacks=tuple(models[column] for column in rest if column != NOTHING_FITS),
        scores=dict(zip(models, seen.scores.tolist(), strict=True)),
        predicted_costs_usd=dict(zip(models, seen.costs.tolist(), strict=True)),
        removed=dict(order.removed),
        not_checked=dict(order.not_checked),
        confidence=None
        if nothing
        else seen.stage.certainty.of_one(seen.estimates.tolist(), chosen),
        far=seen.far,
    )
