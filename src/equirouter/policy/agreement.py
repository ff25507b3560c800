"""The agreement rule: two models at once; where they agree it is served, else a third is asked."""

from typing import NamedTuple

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError
from equirouter.policy.plan import NONE, Action, AskColumn, Replayed, State, Stop
from equirouter.policy.plans import Columns
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
