"""Many queries decided together, each under its own policy and constraints.

All of them are encoded in one batch and scored in one run; then those of one policy are decided at
a time. A query's decision is the same, whichever others stand beside it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from equirouter.decision import Ask, Choices, Decision
from equirouter.errors import DataError
from equirouter.policy import NOTHING_FITS, Policy
from equirouter.policy.pacer import Paced, Pacer

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, Float32Array, IntArray
    from equirouter.stage import EarlyExit, Stage

__all__ = ["Order", "choose_embeddings", "decide_orders", "feasible_row", "pace_orders"]


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
) -> list[Decision]:
    """A decision for each order, in their order.

    The cheap stage is asked first, where there is one. Its margin is that between models which are
    not removed, so a query with a single one left is always sure.
    """
    seen = _look(orders, models, stage, early_exit)
    decisions: dict[int, Decision] = {}
    for rows in _by_policy(orders, range(len(orders))):
        policy = orders[rows[0]].policy
        scores, costs = (np.array([seen[row][part] for row in rows]) for part in (0, 1))
        ranked = policy.rank(scores, costs, _feasible(orders, rows, models))
        for row, columns in zip(rows, ranked, strict=True):
            decisions[row] = _decision(orders[row], models, seen[row], columns)
    return [decisions[row] for row in range(len(orders))]


def choose_embeddings(
    embeddings: "Float32Array", order: Order, models: tuple[str, ...], stage: "Stage"
) -> Choices:
    """The choices on embeddings (N, d), all under the policy and constraints of one order.

    Raises DataError for another width than the encoder's.
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
) -> list[tuple[Decision, Paced]]:
    """The same in turn, each at the price that the ones before it led to; none is settled.

    Which stage decides is found at the price before the first of them.
    """
    found = []
    for order, seen, most in zip(
        orders, _look(orders, models, stage, early_exit), most_usd, strict=True
    ):
        allowed = feasible_row(models, order.removed)
        limits = None if most is None else np.array([most.get(m, math.inf) for m in models])
        paced = pacer.decide(seen[0], seen[1], allowed, limits)
        over = {
            model: f"cap: {pacer.cap_usd:g} USD in all has too little left"
            for model, is_over in zip(models, paced.over_cap.tolist(), strict=True)
            if is_over
        }
        order = replace(order, removed=order.removed | over)
        found.append((_decision(order, models, seen, paced.columns), paced))
    return found


_Seen: TypeAlias = "tuple[Float32Array, Float32Array, bool]"
"""Scores as the policy needs them and predicted costs (K,), and whether the cheap stage's."""


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
        for group, scores, costs in _numbers(orders, rows, images, early_exit.stage):
            policy = orders[group[0]].policy
            threshold = early_exit.thresholds[policy.setting]
            margin = policy.margin(scores, costs, _feasible(orders, group, models))
            for row, *numbers, sure in zip(group, scores, costs, margin.tolist(), strict=True):
                if threshold is not None and sure >= threshold:
                    seen[row] = (numbers[0], numbers[1], True)
    rows = [row for row in range(len(orders)) if row not in seen]
    for group, scores, costs in _numbers(orders, rows, images, stage):
        for row, *numbers in zip(group, scores, costs, strict=True):
            seen[row] = (numbers[0], numbers[1], False)
    return [seen[row] for row in range(len(orders))]


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
    orders: Sequence[Order], rows: list[int], images: Sequence[str | None], stage: "Stage"
) -> "Iterator[tuple[list[int], Float32Array, Float32Array]]":
    """Scores for the policy and costs (n, K) of the rows of each policy, encoded in one batch."""
    if not rows:
        return
    encoded = stage.encode([orders[row].ask.query for row in rows], [images[row] for row in rows])
    scores, costs = stage.scorer(encoded)
    for places in _by_policy(orders, rows):
        group = [rows[place] for place in places]
        yield group, stage.scaled(scores[places], orders[group[0]].policy), costs[places]


def _by_policy(orders: Sequence[Order], rows: Sequence[int]) -> list[list[int]]:
    """Places in rows, a list for each policy object."""
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(id(orders[row].policy), []).append(place)
    return list(groups.values())


def _feasible(
    orders: Sequence[Order], rows: Sequence[int], models: Sequence[str]
) -> "BoolArray | None":
    if not any(orders[row].removed for row in rows):
        return None
    return np.stack([feasible_row(models, orders[row].removed) for row in rows])


def _decision(order: Order, models: tuple[str, ...], seen: _Seen, ranked: "IntArray") -> Decision:
    scores, costs, left_early = seen
    chosen, *rest = ranked.tolist()
    nothing = chosen == NOTHING_FITS
    cost = costs[chosen]
    return Decision(
        model=None if nothing else models[chosen],
        predicted_cost_usd=None if nothing else float(cost),
        setting=order.setting or order.policy.setting,
        value=order.value,
        fits=not nothing and bool(order.policy.within(cost)),
        fallbacks=tuple(models[column] for column in rest if column != NOTHING_FITS),
        scores=dict(zip(models, scores.tolist(), strict=True)),
        predicted_costs_usd=dict(zip(models, costs.tolist(), strict=True)),
        left_early=left_early,
        removed=dict(order.removed),
        not_checked=dict(order.not_checked),
    )
