"""Fitted plans: which pairs of models may be asked at once, and checks of what they reply."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.policy.replies import Replies, features_of, log_odds

LARGEST = 30.0
"""exp(-30) is 1e-13."""


@dataclass(frozen=True, eq=False)
class Check:
    """Logistic regressions of A targets in [0, 1] on F features.

    centre, spread (F,): of the features where they are known; weights (F + 1, A), the first row for
    the level. A feature that is not known takes no part: it counts as its mean.
    """

    centre: FloatArray
    spread: FloatArray
    weights: FloatArray

    def apply(self, features: FloatArray) -> FloatArray:
        """Expected targets (n, A) for features (n, F)."""
        return sigmoid(self.standardised(features) @ self.weights)

    def standardised(self, features: FloatArray) -> FloatArray:
        """The features (n, F + 1) that the weights are for, none of them unknown."""
        known = np.nan_to_num((features - self.centre) / self.spread, nan=0.0)
        return np.hstack([np.ones((len(features), 1)), known])


def sigmoid(x: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -LARGEST, LARGEST))))


Columns = tuple[int, ...]
"""Models as rising columns: a pair, or three."""


@dataclass(frozen=True, eq=False)
class Gains:
    """Linear functions of a query's log odds for each of P pairs at each of G prices.

    lambdas (G,), falling. Of `coef` (3, P, G, F) and `level` (3, P, G) the first part is the gain
    in performance - lambda * cost over routing, the second the probability of a third call, the
    third what that is expected to cost, in USD.
    """

    lambdas: FloatArray
    coef: FloatArray
    level: FloatArray

    def at(self, lambda_: float, features: FloatArray) -> FloatArray:
        """(3, n, P) for features (n, F): between two prices by the logarithm of the price."""
        before, after, share = self._between(lambda_)
        coef = self.coef[:, :, before] * (1 - share) + self.coef[:, :, after] * share
        level = self.level[:, :, before] * (1 - share) + self.level[:, :, after] * share
        return np.asarray(features @ coef.transpose(0, 2, 1) + level[:, None])

    def _between(self, lambda_: float) -> tuple[int, int, float]:
        """The prices before and after, and how far lambda is from the first to the second."""
        place = int(np.searchsorted(-self.lambdas, -lambda_))
        if place == 0 or place == len(self.lambdas):
            end = min(place, len(self.lambdas) - 1)
            return end, end, 0.0
        above, below = self.lambdas[place - 1], self.lambdas[place]
        if below <= 0:
            return place - 1, place, float((above - lambda_) / above)
        return place - 1, place, math.log(above / lambda_) / math.log(above / below)


@dataclass(frozen=True, eq=False)
class PairValues:
    """The worth of a pair's replies on n queries, in performance.

    stop (n, 2): of serving the one or the other. more (n, J): of asking `others` (J,) as well and
    serving the best supported answer of the three.
    """

    stop: FloatArray
    more: FloatArray
    others: IntArray


@dataclass(frozen=True, eq=False)
class Plans:
    """The pairs of models that may be asked at once, the checks of their replies, the gains.

    members: columns that may be asked in a plan. checks: of two or three models, how likely each is
    right. more: of a pair and one more model, the performance of the best supported answer of the
    three. lowest, highest: of performance. Without a pair, a plan is one model.
    """

    n_models: int
    members: Columns = ()
    pairs: tuple[Columns, ...] = ()
    checks: Mapping[Columns, Check] = field(default_factory=dict)
    more: Mapping[tuple[Columns, int], Check] = field(default_factory=dict)
    gains: Gains | None = None
    lowest: float = 0.0
    highest: float = 1.0
    signals: tuple[str, ...] = ()
    """Names of the signals that the checks read."""
    check_usd: FloatArray | None = None
    """(K,), what those signals cost of a reply of each model, on average; None: nothing."""
    notes: tuple[str, ...] = ()
    """Why there is no pair, or what a user should know of the pairs."""

    def check_width(self, n: int) -> int:
        """The number of features of a check of n models."""
        return int(
            features_of(range(n), np.zeros((0, n)), Replies.unknown(0, n), self.signals).shape[1]
        )

    @property
    def more_width(self) -> int:
        """The number of features of the value of one more call after a pair."""
        return int(more_features(np.zeros((0, self.check_width(2))), np.zeros(0)).shape[1])

    def with_checks(self, cost_usd: FloatArray) -> FloatArray:
        """The costs (n, K) of calls, with those of the checks of their replies."""
        return cost_usd if self.check_usd is None else cost_usd + self.check_usd

    def odds(self, scores: FloatArray) -> FloatArray:
        """Log odds (n, K) of estimates of performance."""
        return log_odds((scores - self.lowest) / ((self.highest - self.lowest) or 1.0))

    def performance(self, share: FloatArray) -> FloatArray:
        """Performance where 0 is the lowest and 1 the highest."""
        return self.lowest + (self.highest - self.lowest) * share

    def query_features(self, odds: FloatArray) -> FloatArray:
        """The features (n, F) of the gains: log odds of the members, and their squares."""
        own = odds[:, list(self.members)]
        return np.hstack([own, own**2])

    def support(self, columns: Columns, odds: FloatArray, replies: Replies) -> FloatArray:
        """How well each of two or three models does on n queries by the check, (n, S).

        -inf where a reply is not usable: it is served only where no other is.
        """
        seen = features_of(columns, odds, replies, self.signals)
        support = self.performance(self.checks[columns].apply(seen))
        return replies.servable(columns, support)

    def after(self, pair: Columns, odds: FloatArray, replies: Replies) -> PairValues:
        """The values of stopping and of one more call, once a pair has replied."""
        seen = features_of(pair, odds, replies, self.signals)
        others = [column for column in self.members if (pair, column) in self.more]
        more = [
            self.more[pair, column].apply(more_features(seen, odds[:, column])) for column in others
        ]
        stop = replies.servable(pair, self.performance(self.checks[pair].apply(seen)))
        return PairValues(stop, self.performance(np.hstack(more)), np.array(others))


def more_features(seen: FloatArray, odds: FloatArray) -> FloatArray:
    """A pair's features and, of one more model, its log odds, alone and where the pair agrees."""
    agree = seen[:, -3]
    return np.hstack([seen, odds[:, None], (agree * odds)[:, None]])
