"""Many queries decided together, each under its own policy and constraints.

All of them are encoded in one batch and scored in one run; then those of one policy are decided at
a time. A query's decision is the same, whichever others stand beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from equirouter.decision import Ask, Decision
from equirouter.policy import NOTHING_FITS, Policy

if TYPE_CHECKING:
    from equirouter.arrays import BoolArray, Float32Array, IntArray
    from equirouter.stage import EarlyExit, Stage

__all__ = ["Order", "decide_orders", "feasible_row"]


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
    from equirouter.encoders.base import check_images

    images = check_images([order.ask.image for order in orders], len(orders), encoder=stage.encoder)
    found: dict[int, Decision] = {}
    if early_exit is not None:
        cheap = _Batch(orders, models, early_exit.stage, images, early_exit.thresholds)
        found |= cheap.decide(cheap.can_decide())
    rest = [row for row in range(len(orders)) if row not in found]
    found |= _Batch(orders, models, stage, images, None).decide(rest)
    return [found[row] for row in range(len(orders))]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Orders before one stage. thresholds: by setting, the least margin that decides; None: all."""

    orders: Sequence[Order]
    models: tuple[str, ...]
    stage: "Stage"
    images: Sequence[str | None]
    thresholds: Mapping[str, float | None] | None

    def can_decide(self) -> list[int]:
        """Rows that the cheap stage may decide: not those that it sees nothing of."""
        thresholds = self.thresholds or {}
        return [
            row
            for row, order in enumerate(self.orders)
            if thresholds.get(order.policy.setting) is not None
            and (
                self.stage.encoder.accepts_images
                or self.images[row] is None
                or order.ask.query.strip()
            )
        ]

    def decide(self, rows: list[int]) -> dict[int, Decision]:
        """The decisions on these rows, by row; without those that the stage is not sure of."""
        if not rows:
            return {}
        encoded = self.stage.encode(
            [self.orders[row].ask.query for row in rows], [self.images[row] for row in rows]
        )
        scores, costs = self.stage.scorer(encoded)
        groups: dict[int, list[int]] = {}  # places in rows, by policy
        for place, row in enumerate(rows):
            groups.setdefault(id(self.orders[row].policy), []).append(place)
        found: dict[int, Decision] = {}
        for places in groups.values():
            at = [rows[place] for place in places]
            found |= self._group(at, scores[places], costs[places])
        return found

    def _group(
        self, rows: list[int], scores: "Float32Array", costs: "Float32Array"
    ) -> dict[int, Decision]:
        """The decisions on rows of one policy, from their scores and costs (n, K)."""
        policy = self.orders[rows[0]].policy
        scores = self.stage.scaled(scores, policy)
        feasible = self._feasible(rows)
        threshold = None if self.thresholds is None else self.thresholds[policy.setting]
        if threshold is not None:
            sure = policy.margin(scores, costs, feasible) >= threshold
            rows = [row for row, is_sure in zip(rows, sure.tolist(), strict=True) if is_sure]
            scores, costs = scores[sure], costs[sure]
            feasible = None if feasible is None else feasible[sure]
            if not rows:
                return {}
        ranked = policy.rank(scores, costs, feasible)
        return {
            row: self._decision(self.orders[row], order, scores[place], costs[place])
            for place, (row, order) in enumerate(zip(rows, ranked, strict=True))
        }

    def _feasible(self, rows: list[int]) -> "BoolArray | None":
        removed = [self.orders[row].removed for row in rows]
        if not any(removed):
            return None
        return np.stack([feasible_row(self.models, names) for names in removed])

    def _decision(
        self, order: Order, ranked: "IntArray", scores: "Float32Array", costs: "Float32Array"
    ) -> Decision:
        chosen, *rest = ranked.tolist()
        nothing = chosen == NOTHING_FITS
        cost = costs[chosen]
        return Decision(
            model=None if nothing else self.models[chosen],
            predicted_cost_usd=None if nothing else float(cost),
            setting=order.policy.setting,
            value=order.value,
            fits=not nothing and bool(order.policy.within(cost)),
            fallbacks=tuple(self.models[column] for column in rest if column != NOTHING_FITS),
            scores=dict(zip(self.models, scores.tolist(), strict=True)),
            predicted_costs_usd=dict(zip(self.models, costs.tolist(), strict=True)),
            left_early=self.thresholds is not None,
            removed=dict(order.removed),
            not_checked=dict(order.not_checked),
        )
