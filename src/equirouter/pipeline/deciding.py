"""Many queries decided together, each under its own policy and constraints.

All of them are encoded in one batch and scored in one run; then those of one policy are decided at
a time. A query's decision is the same, whichever others stand beside it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from equirouter.errors import DataError
from equirouter.pipeline.decision import Ask, Choices, Decision
from equirouter.policy import NOTHING_FITS, Policy
from equirouter.policy.pacer import Paced, Pacer

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, Float32Array, IntArray
    from equirouter.pipeline.stage import EarlyExit, Stage

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
    early_exit: "EarlyExit | None" = None,
    by_strength: "IntArray | None" = None,
) -> list[Decision]:
    """A decision for each order, in their order.

    by_strength (K,): columns, the strongest model first; for a query that is far from the training
    queries the models that the policy ranks are taken in this order. None: the policy's order. The
    cheap stage is asked first, where there is one. Its margin is that between models which are
    not removed, so a query with a single one left is always sure.
    """
    seen = _look(orders, models, stage, early_exit)
    decisions: dict[int, Decision] = {}
    for rows in _by_policy(orders, range(len(orders))):
        policy = orders[rows[0]].policy
        scores = np.array([seen[row].scores for row in rows])
        costs = np.array([seen[row].costs for row in rows])
        ranked = policy.rank(scores, costs, _feasible(orders, rows, models))
        if by_strength is not None:
            far = np.array([bool(seen[row].far) for row in rows])
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
        if by_strength is not None and stage.familiar is not None:
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
    early_exit: "EarlyExit | None",
    pacer: Pacer,
    most_usd: Sequence[Mapping[str, float] | None],
    *,
    settled: bool = False,
) -> list[tuple[Decision, Paced]]:
    """The same in turn, each at the price that the ones before it led to.

    settled: each is settled as predicted before the next; else none is. Which stage decides is
    found at the price before the first of them.
    """
    found = []
    for order, seen, most in zip(
        orders, _look(orders, models, stage, early_exit), most_usd, strict=True
    ):
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
    estimates: "Float32Array | None"  # of performance (K,), where the stage can say how sure it is
    far: bool | None
    stage: "Stage"
    left_early: bool


def _look(
    orders: Sequence[Order],
    models: tuple[str, ...],
    stage: "Stage",
    early_exit: "EarlyExit | None",
) -> list[_Seen]:
    """What the stage that decides makes of each query."""
    from equirouter.encoders.base import check_images

    images = check_images([order.ask.image for order in orders], len(orders), encoder=stage.encoder)
    seen: dict[int, _Seen] = {}
    if early_exit is not None:
        rows = _cheap_rows(orders, images, early_exit)
        for group, found in _numbers(orders, rows, images, early_exit.stage, left_early=True):
            policy = orders[group[0]].policy
            threshold = early_exit.thresholds[policy.setting]
            scores = np.array([one.scores for one in found])
            costs = np.array([one.costs for one in found])
            margin = policy.margin(scores, costs, _feasible(orders, group, models))
            seen |= {
                row: one
                for row, one, sure in zip(group, found, margin.tolist(), strict=True)
                if threshold is not None and sure >= threshold
            }
    rows = [row for row in range(len(orders)) if row not in seen]
    for group, found in _numbers(orders, rows, images, stage, left_early=False):
        seen |= zip(group, found, strict=True)
    return list(map(seen.__getitem__, range(len(orders))))


def _cheap_rows(
    orders: Sequence[Order], images: Sequence[str | None], early_exit: "EarlyExit"
) -> list[int]:
    """Rows that the cheap stage may decide: not those that it sees nothing of."""
    encoder = early_exit.stage.encoder
    return [
        row
        for row, order in enumerate(orders)
        if early_exit.thresholds.get(order.policy.setting) is not None
        and (encoder.accepts_images or images[row] is None or order.ask.query.strip())
    ]


def _numbers(
    orders: Sequence[Order],
    rows: list[int],
    images: Sequence[str | None],
    stage: "Stage",
    *,
    left_early: bool,
) -> "Iterator[tuple[list[int], list[_Seen]]]":
    """What a stage makes of the rows of each policy, encoded in one batch."""
    if not rows:
        return
    encoded = stage.encode([orders[row].ask.query for row in rows], [images[row] for row in rows])
    raw, costs = stage.scorer(encoded)
    known: list[bool] | list[None] = [None] * len(rows)
    if stage.familiar is not None:
        known = stage.familiar.far(encoded).tolist()
    for places in _by_policy(orders, rows):
        policy = orders[rows[places[0]]].policy
        scores = stage.scaled(raw[places], policy)
        estimates = None
        if stage.certainty is not None:
            calibrated = policy.needs == "expected_performance"
            estimates = scores if calibrated else stage.estimates(raw[places])
        yield (
            [rows[place] for place in places],
            [
                _Seen(
                    scores[at],
                    costs[place],
                    None if estimates is None else estimates[at],
                    known[place],
                    stage,
                    left_early,
                )
                for at, place in enumerate(places)
            ],
        )


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
        left_early=seen.left_early,
        removed=dict(order.removed),
        not_checked=dict(order.not_checked),
        confidence=None if nothing else _confidence(seen, chosen),
        far=seen.far,
    )


def _confidence(seen: _Seen, chosen: int) -> float | None:
    if seen.stage.certainty is None or seen.estimates is None:
        return None
    return seen.stage.certainty.of_one(seen.estimates.tolist(), chosen)
