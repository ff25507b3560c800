"""The plans of a pool: the agreement rule, learned plans, and at which price which of them pays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from equirouter.answers import make_extractor
from equirouter.arrays import BoolArray, FloatArray, RealArray
from equirouter.errors import ConfigError
from equirouter.policy.agreement import AgreementRule
from equirouter.policy.plan import Action, PlanPolicy, Replayed
from equirouter.policy.plans import Plans
from equirouter.policy.quality import Calibration
from equirouter.policy.replies import Replies

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
        return Replayed(
            np.hstack([made.served for made in columns]),
            np.hstack([made.asked for made in columns]),
            np.hstack([made.cost_usd for made in columns]),
        )

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
