"""The walk from what a stage makes of queries to the decisions on them, in arrays.

The queries of one operating point are put in order by one call of its rule. A query's decision is
the same, whichever others stand beside it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np

from equirouter.arrays import BoolArray, IntArray
from equirouter.errors import DataError
from equirouter.pipeline.decision import ByModel, Choices, Decision, QueryPlan
from equirouter.pipeline.stage import Seen, Stage
from equirouter.policy import PacedStream
from equirouter.policy.base import Policy
from equirouter.policy.order import NOTHING_FITS, check_inputs
from equirouter.policy.pool_plans import PoolPlans

FEW_MODELS = 64
"""Up to so many the lists of one query are faster than arrays."""


@dataclass(eq=False)
class Point:
    """An operating point: a policy, or the stream of a pacer, and how a decision names it.

    plans: by which more than one model may be asked, at the price `value`.
    """

    rule: Policy | PacedStream
    setting: str
    value: float
    plans: PoolPlans | None = None

    @property
    def of_one(self) -> Policy | None:
        """The policy, where a query stands alone and one model is asked."""
        rule = self.rule
        if self.plans is not None or not isinstance(rule, Policy) or rule.in_order:
            return None
        return rule


@dataclass(eq=False)
class Limits:
    """Which models constraints rule out, each with the reason.

    allowed (K,): False for the removed models.
    """

    removed: Mapping[str, str]
    allowed: BoolArray


@dataclass(frozen=True, eq=False)
class Walk:
    """Decides queries that a stage has looked at.

    models: names in the order of the columns. by_strength (K,): columns, the strongest model first;
    the models that a policy ranks for a far query are taken in this order. None: in the policy's.
    """

    stage: Stage
    models: tuple[str, ...]
    by_strength: IntArray | None

    def decide(
        self, seen: Seen, points: Sequence[Point], limits: Sequence[Limits]
    ) -> list[Decision]:
        """A decision for each of N queries, with its operating point and limits."""
        if len(points) == 1 and len(self.models) <= FEW_MODELS:
            rule = points[0].of_one
            if rule is not None:
                return [self._decision(seen, points[0], rule, limits[0])]
        groups = _by_identity(points)
        if len(groups) == 1:
            return self._decisions(seen, points[0], limits)
        decisions: dict[int, Decision] = {}
        for rows in groups:
            own = [limits[row] for row in rows]
            part = self._decisions(seen.take(np.array(rows)), points[rows[0]], own)
            decisions |= zip(rows, part, strict=True)
        return [decisions[row] for row in range(len(points))]

    def choose(self, embeddings: "np.ndarray", point: Point, limits: Limits) -> Choices:
        """The choices on embeddings (N, d), however many, at one operating point.

        Raises DataError for another width than the encoder's.
        """
        width = self.stage.encoder.dimension
        if embeddings.ndim != 2 or embeddings.shape[1] != width:
            raise DataError(
                f"embeddings have the shape {embeddings.shape}: expected (n_queries, {width}), as "
                f"the encoder {self.stage.encoder.name} makes them"
            )
        chosen = np.empty(len(embeddings), dtype=np.int64)
        paid = np.empty(len(embeddings), dtype=np.float32)

        def use(rows: slice, seen: Seen) -> None:
            feasible = _feasible([limits] * len(seen.scores))
            columns = self.columns(seen, point.rule, feasible, first_only=True)[:, 0]
            chosen[rows] = columns
            paid[rows] = seen.costs[np.arange(len(columns)), columns]

        self.stage.each(embeddings, use)
        refused = chosen == NOTHING_FITS
        paid[refused] = np.nan
        return Choices(
            models=self.models,
            chosen=chosen,
            predicted_cost_usd=paid,
            fits=~refused & point.rule.within(paid),
            setting=point.setting,
            value=point.value,
            removed=limits.removed,
        )

    def columns(
        self,
        seen: Seen,
        rule: Policy | PacedStream,
        feasible: BoolArray | None = None,
        *,
        first_only: bool = False,
    ) -> IntArray:
        """The models in the order of a rule, (N, K), as Policy.rank gives them.

        feasible: see Policy.rank. first_only: the first column alone, (N, 1), which takes no sort.
        """
        scores, prices = seen.scores_for(rule.needs), seen.prices_for(rule.priced_by)
        if first_only:
            ranked = rule.choose(scores, prices, feasible)[:, None]
        else:
            ranked = rule.rank(scores, prices, feasible)
        if self.by_strength is not None and not rule.in_order and seen.far.any():
            far = seen.far
            own = None if feasible is None else feasible[far]
            by_policy = rule.rank(scores[far], prices[far], own)
            ranked[far] = _strongest_first(by_policy, self.by_strength)[:, : ranked.shape[1]]
        return ranked

    @cached_property
    def _column(self) -> dict[str, int]:
        return {model: column for column, model in enumerate(self.models)}

    @cached_property
    def _names(self) -> "np.ndarray":
        """Names by column; the last, which NOTHING_FITS stands for, is None."""
        return np.array([*self.models, None], dtype=object)

    def _decisions(self, seen: Seen, point: Point, limits: Sequence[Limits]) -> list[Decision]:
        """Decisions at one operating point."""
        ranked = self.columns(seen, point.rule, _feasible(limits))
        chosen = ranked[:, 0]
        paid = seen.costs[np.arange(len(chosen)), chosen]
        fits = (chosen != NOTHING_FITS) & point.rule.within(paid)
        certainty = self.stage.certainty
        confidence: list[float | None] = [None] * len(chosen)
        if certainty is not None:
            confidence = certainty.of(seen.estimates, chosen).tolist()
        n_ranked = np.count_nonzero(ranked != NOTHING_FITS, axis=1).tolist()
        names = self._names[ranked].T.tolist()  # by place in the order
        models = names[0]
        scores = seen.scores_for(point.rule.needs)
        far = seen.far.tolist()
        fields = zip(
            models,
            _unless_refused(models, paid.tolist()),
            repeat(point.setting),
            repeat(point.value),
            fits.tolist(),
            [row[1:n] for row, n in zip(zip(*names, strict=True), n_ranked, strict=True)],
            map(ByModel, repeat(self._column), repeat(scores), range(len(ranked))),
            map(ByModel, repeat(self._column), repeat(seen.costs), range(len(ranked))),
            _unless_refused(models, confidence),
            far,
            [limit.removed for limit in limits],
            self._plans(seen, point, limits, far),
        )
        return list(map(Decision._make, fields))

    def _decision(self, seen: Seen, point: Point, rule: Policy, limit: Limits) -> Decision:
        """That of _decisions for one query alone, in lists: arrays of a few numbers are slow."""
        scores, costs, prices = (
            seen.scores_for(rule.needs),
            seen.costs,
            seen.prices_for(rule.priced_by),
        )
        own, paid = scores[0].tolist(), costs[0].tolist()
        priced = paid if prices is costs else prices[0].tolist()
        if not math.isfinite(sum(own) + sum(paid)):
            check_inputs(scores, costs, None)  # says what is wrong, if it is no overflow
        ranked = rule.rank_one(own, priced, limit.allowed.tolist() if limit.removed else None)
        far = self.stage.familiar.is_far(seen.embeddings[0])
        if far and self.by_strength is not None:
            ranked.sort(key=self.by_strength.tolist().index)
        names = [self.models[column] for column in ranked]
        first = ranked[0] if ranked else None
        estimates, certainty = seen.estimates, self.stage.certainty
        return Decision(
            None if first is None else names[0],
            None if first is None else paid[first],
            point.setting,
            point.value,
            first is not None and bool(rule.within(costs[0, first])),
            tuple(names[1:]),
            dict(zip(self.models, own, strict=True)),
            dict(zip(self.models, paid, strict=True)),
            None
            if first is None or certainty is None
            else certainty.of_one(own if estimates is scores else estimates[0].tolist(), first),
            far,
            limit.removed,
        )

    def _plans(
        self, seen: Seen, point: Point, limits: Sequence[Limits], far: Sequence[bool]
    ) -> "Iterable[QueryPlan | None]":
        """Of each query how more than one model is asked; a far one goes to the strongest alone."""
        if point.plans is None:
            return repeat(None)
        scores, costs = (array.astype(np.float64) for array in (seen.estimates, seen.costs))
        plans: list[QueryPlan | None] = []
        for row, limit in enumerate(limits):
            alone = self.by_strength is not None and far[row]
            made = (
                None
                if alone
                else point.plans.first(point.value, scores[row], costs[row], limit.allowed)
            )
            plans.append(
                None
                if made is None
                else QueryPlan(self.models, *made, scores[row], costs[row], limit.allowed)
            )
        return plans


def _by_identity(points: Sequence[Point]) -> list[list[int]]:
    """Rows, a list for each operating point."""
    groups: dict[int, list[int]] = {}
    for row, point in enumerate(points):
        groups.setdefault(id(point), []).append(row)
    return list(groups.values())


def _unless_refused(
    models: list[str | None], values: "Sequence[float | None]"
) -> list[float | None]:
    """The values, None where no model was chosen."""
    return [None if model is None else value for model, value in zip(models, values, strict=True)]


def _strongest_first(ranked: IntArray, by_strength: IntArray) -> IntArray:
    """The columns of each row (n, K) in the order of by_strength (K,), NOTHING_FITS last."""
    place = np.empty_like(by_strength)
    place[by_strength] = np.arange(len(by_strength))
    key = np.where(ranked == NOTHING_FITS, len(place), place[ranked])
    return np.take_along_axis(ranked, np.argsort(key, axis=1, kind="stable"), axis=1)


def _feasible(limits: Sequence[Limits]) -> BoolArray | None:
    """(N, K): False where a model is removed; None where none is."""
    distinct = {id(limit): limit for limit in limits}
    if not any(limit.removed for limit in distinct.values()):
        return None
    place = {key: at for at, key in enumerate(distinct)}
    table = np.stack([limit.allowed for limit in distinct.values()])
    return np.asarray(table[[place[id(limit)] for limit in limits]])
