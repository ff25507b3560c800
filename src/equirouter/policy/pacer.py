"""Pacing: a mean spend per query over a stream of unknown length, by a price that follows it.

Each query takes the highest expected performance minus lambda times predicted cost, and lambda is
the price of money: it rises after a call that cost more than the spend and falls after one that
cost less. That is online dual mirror descent with exponential weights (Balseiro, Lu and Mirrokni
2020, "The best of many worlds: dual mirror descent for online allocation problems"; Agrawal and
Devanur 2015, "Fast algorithms for online stochastic convex programming"), with two additions that
make the mean exact: what is owed or saved moves the spend of the next queries, and neither may grow
beyond a bound.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.base import Policy, PricedBy
from equirouter.policy.dual import CARRY, Dual, slope_range, within_carry
from equirouter.policy.order import NOTHING_FITS, best_column, check_inputs, columns_by_value
from equirouter.policy.utility import UtilityPolicy
from equirouter.routers.base import ScoresAre


@dataclass(frozen=True)
class PacingState:
    """All that a pacer remembers, as JSON can hold it; `Pacer(state=...)` goes on from it.

    n_queries: that were given a model. spent_usd: paid, and the predicted cost of calls that are
    not settled. held_usd: what the cap holds for those beyond that. owed_usd: spent above the
    target, below 0 what is saved. log_lambda: of the price; None before the first query that shows
    one. lowest, highest: logarithms of the prices that matter for the traffic.
    """

    n_queries: int = 0
    spent_usd: float = 0.0
    held_usd: float = 0.0
    owed_usd: float = 0.0
    log_lambda: float | None = None
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True, eq=False)
class Paced:
    """One decision of a pacer, to be settled when the call's cost is known.

    columns (K,): as Policy.rank gives them. lambda_: the price that it was made at. predicted_usd:
    of the first column, 0 where there is none. held_usd: what the cap holds for the call until it
    is settled. over_cap (K,): models that were left out because the cap has too little left. moved:
    by how much it raised the logarithm of the price.
    """

    columns: IntArray
    lambda_: float
    predicted_usd: float
    held_usd: float
    over_cap: BoolArray = field(repr=False)
    moved: float = 0.0

    @property
    def chosen(self) -> int:
        """The first column; NOTHING_FITS where no model may answer."""
        return int(self.columns[0])


class Pacer:
    """Decides a stream, query by query, so that the mean cost per query comes to spend_usd.

    spend_usd: the target, USD per query. cap_usd: what all calls together may cost at most. carry:
    how many queries' worth of the target may be owed or saved up: a call that would owe more is not
    chosen unless it is the cheapest that may answer, and what goes beyond it is forgotten. So a
    stream spends at most (n + carry) * spend_usd, the calls aside that nothing cheaper could
    answer. start: a first lambda, such as that of an operating point with this mean cost. state: of
    another pacer, to go on from.
    Where the target is more than the best models cost, it just spends less. Raises ConfigError.
    """

    def __init__(
        self,
        spend_usd: float,
        *,
        cap_usd: float = math.inf,
        carry: float = CARRY,
        start: float | None = None,
        state: PacingState | None = None,
    ) -> None:
        for name, value in (("spend_usd", spend_usd), ("cap_usd", cap_usd), ("carry", carry)):
            if not value > 0:  # also refuses NaN
                raise ConfigError(f"{name} is {value}: expected a number above 0")
        if start is not None and not 0 < start < math.inf:
            raise ConfigError(f"start is {start}: expected a finite lambda above 0")
        self.spend_usd = spend_usd
        self.cap_usd = cap_usd
        self.carry = carry
        state = state or PacingState(log_lambda=None if start is None else math.log(start))
        self._spent_usd = state.spent_usd
        self._held_usd = state.held_usd
        self._dual = Dual(np.array([spend_usd]), carry)
        self._dual.n_queries[0] = state.n_queries
        self._dual.owed[0] = np.clip(state.owed_usd / spend_usd, -carry, carry)
        if state.log_lambda is not None:
            self._dual.log_lambda[0] = state.log_lambda
        self._dual.lowest = math.inf if state.lowest is None else state.lowest
        self._dual.highest = -math.inf if state.highest is None else state.highest

    @property
    def state(self) -> PacingState:
        """All that it remembers now."""
        log_lambda, lowest, highest = (
            value if math.isfinite(value) else None
            for value in (float(self._dual.log_lambda[0]), self._dual.lowest, self._dual.highest)
        )
        return PacingState(
            n_queries=int(self._dual.n_queries[0]),
            spent_usd=self._spent_usd,
            held_usd=self._held_usd,
            owed_usd=float(self._dual.owed[0] * self.spend_usd),
            log_lambda=log_lambda,
            lowest=lowest,
            highest=highest,
        )

    @property
    def lambda_(self) -> float:
        """The price now: performance that one USD must buy; 0 before any query showed one."""
        return float(self._dual.lambdas()[0])

    @property
    def left_usd(self) -> float:
        """USD that the cap leaves for calls that are not decided yet."""
        return self.cap_usd - self._spent_usd - self._held_usd

    def decide(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
        most_usd: RealArray | None = None,
        *,
        counts: bool = True,
    ) -> Paced:
        """The models (K,) for the next query, in the order in which they would be tried.

        scores (K,): estimates of performance. predicted_cost_usd (K,): charged at once, and
        corrected by `settle`. feasible (K,): False for models that must not answer. most_usd (K,):
        what a call can cost at most, such as that of its longest answer; the cap is kept on it.
        Without, the cap is kept on predictions, and calls that cost more than predicted go over it
        by the difference. A query that no model may answer is not counted. counts: False only
        looks, at the price of this moment: nothing is charged or learned, or to be settled.
        """
        mask = None if feasible is None else np.asarray(feasible)[None]
        values, costs, allowed = check_inputs(
            np.asarray(scores)[None], np.asarray(predicted_cost_usd)[None], mask
        )
        most = costs if most_usd is None else np.maximum(np.asarray(most_usd)[None], costs)
        over_cap = allowed & (most > self.left_usd)
        allowed = allowed & ~over_cap
        if not allowed.any():
            columns = np.full(allowed.shape[1], NOTHING_FITS)
            return Paced(columns, self.lambda_, 0.0, 0.0, over_cap[0])
        if counts:
            low, high = slope_range(values, costs, allowed)
            self._dual.see(float(low[0]), float(high[0]))
        lambda_ = self.lambda_
        near = within_carry(costs, allowed, self._dual.owed, self._dual.spend_usd, self.carry)
        columns = order_of(values - lambda_ * costs, costs, allowed, near)[0]
        predicted = float(costs[0, columns[0]])
        held = 0.0 if self.cap_usd == math.inf else float(most[allowed].max()) - predicted
        if not counts:
            return Paced(columns, lambda_, predicted, 0.0, over_cap[0])
        before = float(self._dual.log_lambda[0])
        self._dual.pay(np.array([predicted]))
        moved = float(self._dual.log_lambda[0]) - before
        self._spent_usd += predicted
        self._held_usd += held
        return Paced(columns, lambda_, predicted, held, over_cap[0], moved)

    def settle(self, paced: Paced, cost_usd: float | None = None) -> None:
        """Say what a decided call has cost, once for each: None is as predicted, 0 no call made.

        Calls may be settled in any order, and later ones decided before. Raises ConfigError.
        """
        if cost_usd is not None and not 0 <= cost_usd < math.inf:
            raise ConfigError(f"cost_usd is {cost_usd}: expected a finite number of 0 or more")
        self._held_usd = max(self._held_usd - paced.held_usd, 0.0)
        if cost_usd is not None and paced.chosen != NOTHING_FITS:
            more = cost_usd - paced.predicted_usd
            self._spent_usd = max(self._spent_usd + float(more), 0.0)
            self._dual.correct(np.array([more]))

    def forget(self, paced: Paced) -> None:
        """Take a decision back instead of settling it: the query was not answered.

        It does not count then, neither as one more query nor as one that cost nothing: many of
        those would let the others cost more than the target.
        """
        self._held_usd = max(self._held_usd - paced.held_usd, 0.0)
        if paced.chosen != NOTHING_FITS:
            self._spent_usd = max(self._spent_usd - paced.predicted_usd, 0.0)
            self._dual.undo(np.array([paced.predicted_usd]), paced.moved)


class PacedStream:
    """The next queries of a pacer's stream, ranked one after the other as a policy ranks them.

    most_usd: per query what a call of each model can cost at most (K,), see Pacer.decide. settled:
    each call is settled as predicted before the next is decided; else none is. paced: the pacer's
    decisions, once the queries are ranked.
    """

    needs: ScoresAre = "expected_performance"
    priced_by: PricedBy = "cost"
    in_order = True

    def __init__(
        self, pacer: Pacer, most_usd: Sequence[RealArray | None], *, settled: bool
    ) -> None:
        self._pacer = pacer
        self._most_usd = most_usd
        self._settled = settled
        self.paced: list[Paced] = []

    def choose(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The first column of `rank`, (N,)."""
        return self.rank(scores, predicted_cost_usd, feasible)[:, 0]

    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The columns (N, K) as Policy.rank gives them; each query moves the price of the next."""
        allowed = np.ones(scores.shape, dtype=bool) if feasible is None else feasible
        for row, most in enumerate(self._most_usd):
            paced = self._pacer.decide(scores[row], predicted_cost_usd[row], allowed[row], most)
            if self._settled:
                self._pacer.settle(paced)
            self.paced.append(paced)
        return np.stack([paced.columns for paced in self.paced])

    def within(self, predicted_cost_usd: RealArray) -> BoolArray:
        """True: no single call is limited."""
        return np.ones(np.shape(predicted_cost_usd), dtype=bool)


def order_of(
    value: RealArray, cost_usd: RealArray, allowed: BoolArray, near: BoolArray
) -> IntArray:
    """Columns (N, K) by value among those within the carry, then the other allowed ones by cost."""
    first = columns_by_value(value, cost_usd, near)
    if (near == allowed).all():
        return first
    then = columns_by_value(-cost_usd, cost_usd, allowed & ~near)
    both = np.concatenate([first, then], axis=1)
    place = np.argsort(both == NOTHING_FITS, axis=1, kind="stable")[:, : value.shape[1]]
    return np.take_along_axis(both, place, axis=1)


class PacingPolicy(Policy):
    """Decides rows in their order, so that their mean cost comes to spend_usd: see Pacer.

    spend_usd: USD per query, inf for the best whatever it costs. Every call starts anew, without
    knowing anything of the stream. Costs are taken to be as predicted, but in `replay`. Raises
    ConfigError for a target that is not positive.
    """

    needs = "expected_performance"
    setting = "spend_usd"
    in_order = True

    def __init__(self, spend_usd: float = math.inf) -> None:
        if not spend_usd > 0:  # also refuses NaN
            raise ConfigError(f"the spend is {spend_usd} USD: expected a number above 0, per query")
        self.spend_usd = spend_usd

    def rank(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        feasible: BoolArray | None = None,
    ) -> IntArray:
        """The order of a pacer for each row in turn; see Policy.rank."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, feasible)
        stream = _Stream(scores, cost_usd, allowed, np.array([self.spend_usd]), cost_usd)
        return order_of(scores - stream.lambdas * cost_usd, cost_usd, allowed, stream.near)

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int = 100) -> FloatArray:
        """Evenly spaced targets from what the cheapest models cost on average to what the best do.

        A stream without costs has one point, as often as asked for.
        """
        scores, cost_usd, _ = check_inputs(scores, predicted_cost_usd, None)
        best = UtilityPolicy().choose(scores, cost_usd)
        most = float(cost_usd[np.arange(len(best)), best].mean())
        least = float(cost_usd.min(axis=1).mean())
        return np.maximum(np.linspace(least, most, n), math.ulp(0.0))

    def sweep(
        self, scores: RealArray, predicted_cost_usd: RealArray, points: FloatArray
    ) -> IntArray:
        """Chosen columns (N, T) for the targets (T,), each from its own start."""
        return self.replay(scores, predicted_cost_usd, points, predicted_cost_usd)

    def replay(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        points: FloatArray,
        paid_usd: RealArray,
    ) -> IntArray:
        """Chosen columns (N, T), where each call's cost (N, K) is known before the next query."""
        scores, cost_usd, allowed = check_inputs(scores, predicted_cost_usd, None)
        return _Stream(scores, cost_usd, allowed, np.asarray(points), paid_usd).chosen


class _Stream:
    """Every row (N, K) decided in turn for T targets.

    chosen (N, T). lambdas (N, 1), near (N, K): of the first target, price and what the carry
    allowed.
    """

    def __init__(
        self,
        scores: RealArray,
        cost_usd: RealArray,
        allowed: BoolArray,
        targets: FloatArray,
        paid_usd: RealArray,
    ) -> None:
        dual = Dual(targets)
        self.chosen = np.full((len(scores), len(targets)), NOTHING_FITS)
        self.lambdas = np.zeros((len(scores), 1))
        self.near = allowed.copy()
        some = allowed.any(axis=1)
        low, high = slope_range(scores[some], cost_usd[some], allowed[some])
        for row, (least, most) in zip(
            np.flatnonzero(some).tolist(),
            zip(low.tolist(), high.tolist(), strict=True),
            strict=True,
        ):
            dual.see(least, most)
            lambdas = dual.lambdas()
            costs, may = cost_usd[row][None], allowed[row][None]
            near = within_carry(costs, may, dual.owed, dual.spend_usd, dual.carry)
            chosen = best_column(scores[row] - lambdas[:, None] * costs, costs, near)
            dual.pay(paid_usd[row, chosen])
            self.chosen[row], self.lambdas[row], self.near[row] = chosen, lambdas[0], near[0]
