"""The plans of a pool: the agreement rule, learned plans, and at which price which of them pays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from equirouter.answers import make_extractor
from equirouter.arrays import BoolArray, FloatArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.plan import NONE, Action, AskColumn, PlanPolicy, Replayed, State, Stop
from equirouter.policy.plans import Columns, Plans
from equirouter.policy.quality import Calibration
from equirouter.policy.replies import Replies


class AgreementRule(NamedTuple):
    """Serve what the pair agrees on, else the answer of `otherwise`, whatever it is.

    It learns nothing: two models and the strongest one are enough. An answer that is not known
    agrees with none.
    """

    pair: Columns
    otherwise: int
    escalates: float = 1.0
    """The share of queries on which the pair did not agree; 1 where it was not measured."""

    def first(self, costs: FloatArray) -> Action:
        """The pair, for predicted costs (K,)."""
        cost = float(costs[list(self.pair)].sum() + self.escalates * costs[self.otherwise])
        return Action(self.pair, final=False, expected_cost_usd=cost, p_escalate=self.escalates)

    def others(self, pair: Columns) -> Columns:  # noqa: ARG002  # the rule has one pair
        """The one that may be asked after the pair."""
        return (self.otherwise,)

    def then(self, state: State) -> Stop | AskColumn:
        """Stop where both replied and agree, or the third did; else ask the third.

        Where the third may not be asked, has not replied or not usably, the first of the pair that
        has is served. Raises ConfigError where nobody replied and the third may not be asked.
        """
        replies = Replies.of_query(len(state.costs), state.replies)
        if replies.equal(*self.pair)[0] == 1.0:
            return Stop(self._cheaper(np.asarray(state.costs)), np.nan)
        allowed = state.feasible is None or bool(state.feasible[self.otherwise])
        if self.otherwise not in state.asked and allowed:
            return AskColumn(self.otherwise)
        there = [column for column in (self.otherwise, *self.pair) if column in state.replies]
        if not there:
            raise ConfigError("no model has replied, and no other may be asked")
        return Stop(max(there, key=lambda column: state.replies[column].usable), np.nan)

    def replay(self, replies: Replies, cost_usd: FloatArray) -> Replayed:
        """The rule on n queries whose replies and costs (n, K) are known: one operating point."""
        agree = replies.equal(*self.pair) == 1.0
        order = (self.otherwise, *self.pair)
        usable = replies.servable(order, np.zeros((len(agree), len(order))))
        served = np.where(
            agree, self._cheaper(cost_usd.mean(axis=0)), np.array(order)[usable.argmax(axis=1)]
        )
        cost = cost_usd[:, list(self.pair)].sum(axis=1)
        cost = cost + np.where(agree, 0.0, cost_usd[:, self.otherwise])
        asked = np.tile((*self.pair, self.otherwise), (len(agree), 1))
        asked[agree, 2] = NONE
        return Replayed(served[:, None], asked[:, None], cost[:, None])

    def _cheaper(self, costs: FloatArray) -> int:
        return min(self.pair, key=lambda column: float(costs[column]))


By = Literal["routing", "rule", "learned"]
"""One model per query, the agreement rule, or learned plans."""


@dataclass(frozen=True)
class Gain:
    """In performance - lambda * cost over routing: the mean per query, and its standard error."""

    mean: float
    error: float


@dataclass(frozen=True)
class AtPrice:
    """Figures at a price lambda, on queries that nothing had learned from.

    by: what decides there. rule, learned: None where there is none. checked, escalated: shares of
    the queries of which more than one model is asked, and of which a third is, by what decides.
    """

    price: float
    by: By
    rule: Gain | None
    learned: Gain | None
    checked: float
    escalated: float


@dataclass(frozen=True, eq=False)
class PoolPlans:
    """The agreement rule and the learned plans of K models, and which of them decides when.

    extractor: the name of the one that reads answers out of responses, as the plans were learned;
    None where the answers came from elsewhere. rule: None where no pair is cheap enough. learned:
    without a pair where nothing was learned. at_prices: rising; between two, the lower one says
    what decides; empty where nothing was measured: then the rule decides. calibration: the
    operating points of what decides, at the same prices.
    Raises ConfigError for parts that do not fit together.
    """

    extractor: str | None
    learned: Plans
    rule: AgreementRule | None = None
    at_prices: tuple[AtPrice, ...] = ()
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        if self.extractor is not None:
            make_extractor(self.extractor)
        deciders = {at.by for at in self.at_prices} or {"rule"}
        if ("rule" in deciders and self.rule is None) or (
            "learned" in deciders and self.learned.gains is None
        ):
            raise ConfigError("plans decide by a rule or by gains that they do not have")
        _check_prices(self.at_prices, self.calibration)

    def of_pool(self, columns: Sequence[int]) -> "PoolPlans | None":
        """The plans of a changed pool: columns, where its models stood, -1 for a new one.

        Only a rule whose three models are left, and of which nothing was measured, goes on; all
        else holds for the pool, at the prices, that it was measured on. None where it does not.
        """
        left, rule = list(columns), self.rule
        if rule is None or self.at_prices or not {*rule.pair, rule.otherwise} <= set(left):
            return None
        first, second = map(left.index, rule.pair)
        moved = AgreementRule((first, second), left.index(rule.otherwise), rule.escalates)
        return PoolPlans(self.extractor, Plans(len(left)), moved)

    def check_pool(self, n_models: int) -> None:
        """Raise ConfigError for plans of another number of models."""
        columns = {*self.learned.members}
        if self.rule is not None:
            columns |= {*self.rule.pair, self.rule.otherwise}
        if self.learned.n_models != n_models or not columns <= set(range(n_models)):
            raise ConfigError(f"plans of other models than the {n_models} of the pipeline")

    @property
    def pays(self) -> bool:
        """Whether more than one model is asked at some price."""
        return not self.at_prices or any(at.by != "routing" for at in self.at_prices)

    def first(
        self, lambda_: float, scores: RealArray, costs: FloatArray, feasible: BoolArray
    ) -> tuple[PlanPolicy | AgreementRule, Action] | None:
        """Policy of one query and its first round, where more than one model is asked.

        scores, costs (K,): estimates of performance and predicted costs. feasible (K,): False where
        a model may not be asked.
        """
        rule = self.at(lambda_)
        if isinstance(rule, AgreementRule):
            is_whole = feasible[[*rule.pair, rule.otherwise]].all()
            return (rule, rule.first(costs)) if is_whole else None
        if rule is None:
            return None
        action = rule.first(scores, costs, feasible)
        return None if action.final else (rule, action)

    def at(self, lambda_: float) -> PlanPolicy | AgreementRule | None:
        """Policy at a price; None for one model per query."""
        by = self.by(lambda_)
        if by == "rule":
            return self.rule
        return PlanPolicy(self.learned, lambda_) if by == "learned" else None

    def replay(
        self,
        scores: RealArray,
        predicted_cost_usd: RealArray,
        points: FloatArray,
        replies: Replies,
        cost_usd: FloatArray,
    ) -> Replayed:
        """Decisions at every price (T,), on queries of known replies and costs (n, K)."""
        routing = PlanPolicy(Plans(self.learned.n_models))
        columns = []
        for price in points.tolist():
            rule = self.at(price) or routing
            if isinstance(rule, AgreementRule):
                columns.append(rule.replay(replies, cost_usd))
            else:
                at = np.array([price])
                columns.append(rule.replay(scores, predicted_cost_usd, at, replies, cost_usd))
        return Replayed(*map(np.hstack, zip(*columns, strict=True)))

    def by(self, lambda_: float) -> By:
        """Name of what decides at a price."""
        if not self.at_prices:
            return "rule"
        prices = [at.price for at in self.at_prices]
        return self.at_prices[max(0, int(np.searchsorted(prices, lambda_, side="right")) - 1)].by


def _check_prices(at_prices: Sequence[AtPrice], calibration: Calibration | None) -> None:
    prices = tuple(at.price for at in at_prices)
    if list(prices) != sorted(set(prices)) or not all(0 <= price < np.inf for price in prices):
        raise ConfigError(f"the prices of plans rise from 0 or more: {prices}")
    if (calibration is None) != (not prices):
        raise ConfigError("plans have been measured at prices, or have no operating points")
    if calibration is not None and (calibration.setting, calibration.points) != ("lambda", prices):
        raise ConfigError("the operating points of plans are not those of their prices")
