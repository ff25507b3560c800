"""The plan policy: one model, or two cheap ones at once and then stop or ask one more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, IntArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.order import NOTHING_FITS
from equirouter.policy.plans import Columns, Plans
from equirouter.policy.replies import Replies, Reply
from equirouter.policy.utility import UtilityPolicy
from equirouter.routers.base import ScoresAre

MOST_CALLS = 3
NONE = -1
"""In place of a column: no model was asked."""


class Action(NamedTuple):
    """The first round: the columns to ask at once, none where no model may answer.

    final: its answer is served whatever it is. p_escalate: how likely a second round is;
    expected_cost_usd: of all calls, those of checks too, by predicted costs.
    """

    columns: Columns
    final: bool
    expected_cost_usd: float
    p_escalate: float


class Stop(NamedTuple):
    """Serve the answer of this column, whose expected performance is `support`."""

    column: int
    support: float


class AskColumn(NamedTuple):
    """Ask this column as well."""

    column: int


@dataclass(frozen=True, eq=False)
class State:
    """All that is known of one query after the first round, or the second.

    asked: the columns in the order in which they were asked. replies: of those that replied; one
    that failed or timed out has none. scores, costs (K,): as `first` had them; feasible (K,).
    """

    asked: Columns
    replies: Mapping[int, Reply]
    scores: RealArray
    costs: RealArray
    feasible: BoolArray | None = None


class Replayed(NamedTuple):
    """Plans on n queries at T operating points.

    served (n, T): column of the answer that is served. asked (n, T, 3): columns in the order in
    which they were asked, the first two at once where there are two; -1 for none. cost_usd (n, T):
    of all calls, those of checks too.
    """

    served: IntArray
    asked: IntArray
    cost_usd: FloatArray

    @property
    def calls(self) -> IntArray:
        """(n, T), 1 to 3."""
        return np.asarray((self.asked >= 0).sum(axis=2))

    @property
    def rounds(self) -> IntArray:
        """(n, T), 1 or 2."""
        return np.asarray(1 + (self.asked[:, :, 2] >= 0))

    @classmethod
    def of_one(cls, chosen: IntArray, cost_usd: FloatArray) -> "Replayed":
        """One model per query: chosen (n, T), and the costs of the models (n, K)."""
        asked = np.full((*chosen.shape, MOST_CALLS), NONE)
        asked[:, :, 0] = chosen
        return cls(chosen, asked, np.take_along_axis(cost_usd, chosen, axis=1))

    @classmethod
    def empty(cls, n: int, n_points: int) -> "Replayed":
        """Of n queries, to be filled."""
        shape = (n, n_points)
        return cls(np.zeros(shape, np.int64), np.full((*shape, MOST_CALLS), NONE), np.zeros(shape))

    def take(self, points: IntArray) -> "Replayed":
        """A copy with these operating points."""
        return Replayed(self.served[:, points], self.asked[:, points], self.cost_usd[:, points])


class _Best(NamedTuple):
    """The pair of the highest gain for n queries, -1 where none gains, each (n,).

    escalates: the share of a second round; more_usd: what that is expected to cost.
    """

    place: IntArray
    escalates: FloatArray
    more_usd: FloatArray


@dataclass(frozen=True, eq=False)
class PlanPolicy:
    """At a price lambda, the plan of the highest expected performance - lambda * cost of all calls.

    A plan is one model whose answer is served, as UtilityPolicy has it; or two cheap models at
    once, after which the better supported answer is served, or one more model is asked and the best
    supported answer of the three is served. Three calls and two rounds at most. A pair is asked
    only where its gain over the one model is expected to be above 0, so without pairs this is
    UtilityPolicy.
    """

    plans: Plans
    lambda_: float = 0.0

    needs: ClassVar[ScoresAre] = "expected_performance"
    setting: ClassVar[str] = "lambda"
    _utility: UtilityPolicy = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_utility", UtilityPolicy(self.lambda_))

    def at(self, lambda_: float) -> "PlanPolicy":
        """These plans at another price."""
        return PlanPolicy(self.plans, lambda_)

    def points(self, scores: RealArray, predicted_cost_usd: RealArray, n: int = 100) -> FloatArray:
        """N prices of a sweep (n,), falling to 0.

        Without pairs those of UtilityPolicy; with pairs every other one is between the prices for
        which plans were fitted, evenly on a logarithmic scale.
        """
        gains = self.plans.gains
        fitted = np.zeros(0) if gains is None else gains.lambdas[gains.lambdas > 0]
        if not fitted.size:
            return self._utility.points(scores, predicted_cost_usd, n)
        between = np.geomspace(fitted.max(), fitted.min(), n // 2)
        routing = self._utility.points(scores, predicted_cost_usd, n - n // 2)
        return np.sort(np.concatenate([between, routing]))[::-1]

    def first(
        self, scores: RealArray, costs: RealArray, feasible: BoolArray | None = None
    ) -> Action:
        """The first round for one query, by estimates of performance and predicted costs (K,).

        feasible (K,): False where a model is never asked.
        """
        score, cost = _row(scores), _row(costs)
        allowed = None if feasible is None else np.asarray(feasible)[None]
        alone = int(self._utility.choose(score, cost, allowed)[0])
        if alone == NOTHING_FITS:
            return Action((), final=True, expected_cost_usd=0.0, p_escalate=0.0)
        best = self._best_pairs(score, allowed)
        if best.place[0] < 0:
            return Action(
                (alone,), final=True, expected_cost_usd=float(cost[0, alone]), p_escalate=0.0
            )
        pair = self.plans.pairs[int(best.place[0])]
        both = float(self.plans.with_checks(cost)[0, list(pair)].sum())
        expected = both + max(0.0, float(best.more_usd[0]))
        share = float(np.clip(best.escalates[0], 0.0, 1.0))
        return Action(pair, final=False, expected_cost_usd=expected, p_escalate=share)

    def others(self, pair: Columns) -> Columns:
        """The columns one of which may be asked once both of a pair have replied."""
        return tuple(column for column in self.plans.members if (pair, column) in self.plans.more)

    def then(self, state: State) -> Stop | AskColumn:
        """Stop or ask one more after a round, for one query.

        Where a model of a pair has not replied, the other's answer stands against asking one more
        by the router's estimates alone. Raises ConfigError where nobody replied and no model is
        left to ask.
        """
        scores, costs = _row(state.scores), self.plans.with_checks(_row(state.costs))
        there = tuple(sorted(state.replies))
        replies = Replies.of_query(self.plans.n_models, state.replies)
        odds = self.plans.odds(scores)
        left = np.ones(scores.shape[1], dtype=bool) if state.feasible is None else state.feasible
        left = np.asarray(left) & ~np.isin(np.arange(scores.shape[1]), state.asked)
        stop = self._stop(there, scores, odds, replies)
        if len(state.asked) >= MOST_CALLS and stop is not None:
            return self._served(stop)
        if there in self.plans.pairs:
            values = self.plans.after(there, odds, replies)
            open_ = left[values.others]
            value = values.more[0, open_] - self.lambda_ * costs[0, values.others[open_]]
            others = values.others[open_]
        else:
            others = np.flatnonzero(left)
            value = scores[0, others] - self.lambda_ * costs[0, others]
        if others.size and (stop is None or value.max() > stop.support):
            return AskColumn(int(others[value.argmax()]))
        if stop is None:
            raise ConfigError("no model has replied, and no other may be asked")
        return self._served(stop)

    def _served(self, stop: Stop) -> Stop:
        """An answer that could not be used, where there is no other, has the least performance."""
        return stop._replace(support=max(stop.support, self.plans.lowest))

    def _stop(
        self, there: Columns, scores: FloatArray, odds: FloatArray, replies: Replies
    ) -> Stop | None:
        """The best supported of the answers that there are; None where there is none."""
        if not there:
            return None
        known = there in self.plans.checks
        support = (
            self.plans.support(there, odds, replies)
            if known
            else replies.servable(there, scores[:, list(there)])
        )[0]
        best = int(support.argmax())
        return Stop(there[best], float(support[best]))

    def _best_pairs(self, scores: FloatArray, feasible: BoolArray | None) -> "_Best":
        n, gains = len(scores), self.plans.gains
        if gains is None:
            return _Best(np.full(n, -1), np.zeros(n), np.zeros(n))
        features = self.plans.query_features(self.plans.odds(scores))
        gain, escalates, more_usd = gains.at(self.lambda_, features)
        if feasible is not None:
            gain = np.where(feasible[:, np.array(self.plans.pairs)].all(axis=2), gain, -np.inf)
        row, best = np.arange(n), gain.argmax(axis=1)
        place = np.where(gain[row, best] > 0, best, -1)
        return _Best(place, escalates[row, best], more_usd[row, best])

    def replay(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        points: FloatArray,
        replies: Replies,
        cost_usd: FloatArray,
    ) -> Replayed:
        """The plans at every price (T,), on queries whose replies and costs are known.

        scores, predicted_cost_usd, cost_usd: (n, K). Only the replies and costs of models that a
        plan asks are read.
        """
        estimates = np.asarray(scores, dtype=np.float64)
        expected = np.asarray(predicted_cost_usd, dtype=np.float64)
        served = self._utility.sweep(estimates, expected, points)
        made = Replayed.of_one(served, cost_usd)
        second = _SecondRound(self.plans, estimates, expected, replies, cost_usd)
        for point, lambda_ in enumerate(points.tolist()):
            best = self.at(lambda_)._best_pairs(estimates, None).place
            for place in np.unique(best[best >= 0]).tolist():
                rows = np.flatnonzero(best == place)
                pair = self.plans.pairs[place]
                columns, third, paid = second.at(pair, rows, lambda_)
                made.served[rows, point], made.cost_usd[rows, point] = columns, paid
                made.asked[rows, point, :2], made.asked[rows, point, 2] = pair, third
        return made


class _SecondRound:
    """Rounds after a pair, on queries whose replies are known; what needs no price is kept."""

    def __init__(
        self,
        plans: Plans,
        scores: FloatArray,
        expected_usd: FloatArray,
        replies: Replies,
        cost_usd: FloatArray,
    ) -> None:
        self.plans, self.replies = plans, replies
        self.expected_usd = plans.with_checks(expected_usd)
        self.cost_usd = cost_usd + replies.check_usd(plans.signals)
        self.odds = plans.odds(scores)
        self.values = {pair: plans.after(pair, self.odds, replies) for pair in plans.pairs}
        self.best_of = {
            columns: np.array(columns)[plans.support(columns, self.odds, replies).argmax(axis=1)]
            for columns in plans.checks
        }

    def at(
        self, pair: Columns, rows: IntArray, lambda_: float
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Of these rows the column that is served, the third that is asked, and the cost."""
        values = self.values[pair]
        served = self.best_of[pair][rows]
        cost = self.cost_usd[rows][:, list(pair)].sum(axis=1)
        value = values.more[rows] - lambda_ * self.expected_usd[rows][:, values.others]
        best = value.argmax(axis=1)
        asks = value.max(axis=1) > values.stop[rows].max(axis=1)
        third = np.where(asks, values.others[best], NONE)
        for place, column in enumerate(values.others.tolist()):
            more = asks & (best == place)
            three = tuple(sorted((*pair, column)))
            served[more] = self.best_of[three][rows[more]]
            cost[more] += self.cost_usd[rows[more], column]
        return served, third, cost


def _row(values: RealArray) -> FloatArray:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not all(map(math.isfinite, row.tolist())):
        raise ConfigError(f"scores and costs of one query are finite numbers (K,): {row.shape}")
    return row[None]
