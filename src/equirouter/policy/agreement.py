"""The agreement rule: two models at once; where they agree it is served, else a third is asked."""

from typing import NamedTuple

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.policy.plan import Action, Ask, Replayed, State, Stop
from equirouter.policy.plans import Columns
from equirouter.policy.replies import Replies

__all__ = ["AgreementRule"]


class AgreementRule(NamedTuple):
    """Serve what the pair agrees on, else the answer of `otherwise`, whatever it is.

    It learns nothing: two models and the strongest one are enough. An answer that is not known
    agrees with none.
    """

    pair: Columns
    otherwise: int

    def first(self, costs: FloatArray) -> Action:
        """The pair, for predicted costs (K,); whether a third follows is not known: 1 is said."""
        cost = float(costs[[*self.pair, self.otherwise]].sum())
        return Action(self.pair, final=False, expected_cost_usd=cost, p_escalate=1.0)

    def then(self, state: State) -> Stop | Ask:
        """Stop where both replied and agree, or the third did; else ask the third.

        Where the third has not replied, the first of the pair that has is served.
        """
        replies = Replies.of_query(len(state.costs), state.replies)
        if replies.equal(*self.pair)[0] == 1.0:
            return Stop(self._cheaper(np.asarray(state.costs)), np.nan)
        if self.otherwise not in state.asked:
            return Ask(self.otherwise)
        served = (self.otherwise, *self.pair)
        return Stop(next(column for column in served if column in state.replies), np.nan)

    def replay(self, replies: Replies, cost_usd: FloatArray) -> Replayed:
        """The rule on n queries whose replies and costs (n, K) are known: one operating point."""
        agree = replies.equal(*self.pair) == 1.0
        served = np.where(agree, self._cheaper(cost_usd.mean(axis=0)), self.otherwise)
        cost = cost_usd[:, list(self.pair)].sum(axis=1)
        cost = cost + np.where(agree, 0.0, cost_usd[:, self.otherwise])
        calls = np.where(agree, 2, 3)
        return Replayed(served[:, None], calls[:, None], calls[:, None] - 1, cost[:, None])

    def _cheaper(self, costs: FloatArray) -> int:
        return min(self.pair, key=lambda column: float(costs[column]))
