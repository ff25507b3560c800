"""Plans fitted on labelled queries: checks, the value of one more call, the gain of each pair.

Every stage learns from what the stage before says of queries that it has not seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.data.outcomes import Outcomes
from equirouter.policy.plan import PlanPolicy, Replayed
from equirouter.policy.plans import Check, Columns, Gains, Plans, more_features, sigmoid
from equirouter.policy.pool_plans import AgreementRule
from equirouter.policy.replies import Replies, features_of
from equirouter.policy.utility import UtilityPolicy
from equirouter.routers.ridge import fit_lines, spectrum
from equirouter.training.fitted import FittedRouter, cross_fitted
from equirouter.training.protocol import Part

LEAST_QUERIES = 400
"""Labelled queries from which on learned plans kept the quality that was asked for."""

MOST_MEMBERS = 7
CHEAP = 0.35
"""A pair may cost this share of the strongest model, both calls together: above it a pair and a
third call cost about as much as the strongest model alone, and in no pool that was tried paid."""

N_PRICES = 24
LOWER = 10.0
"""How far below the lowest price of routing a plan may still change."""

FOLDS = 5
PENALTY = 10.0
"""On the squared weights of standardised features: as if ten queries had shown nothing."""

PRIOR_LEVEL = 0.1
"""On the level: it stays finite where all targets are equal."""

TINY = 1e-9
MOST_STEPS = 20
ENOUGH = 1e-6


@dataclass(frozen=True, eq=False)
class LabelledQueries:
    """n queries with the replies, outcomes and predicted costs of K models, (n, K) each, no NaN.

    scores: estimates of performance, each made without the query's own outcome.
    """

    scores: FloatArray
    predicted_cost_usd: FloatArray
    performance: FloatArray
    cost_usd: FloatArray
    replies: Replies

    @classmethod
    def of(cls, part: Part, scores: FloatArray, outcomes: Outcomes) -> Self:
        """The queries of a part of a table, with such estimates (n, K) of them."""
        expected = part.predicted_cost_usd
        strongest = _strongest(part.performance, part.cost_usd)
        replies = Replies.of_table(outcomes, part.rows).affordable(expected[:, strongest])
        return cls(scores, expected, part.performance, part.cost_usd, replies)

    def take(self, rows: IntArray) -> "LabelledQueries":
        """These of the queries."""
        return LabelledQueries(
            self.scores[rows],
            self.predicted_cost_usd[rows],
            self.performance[rows],
            self.cost_usd[rows],
            self.replies.take(rows),
        )


def labelled_by(fitted: FittedRouter, outcomes: Outcomes, seed: int) -> LabelledQueries:
    """The queries that a router is calibrated on, with estimates as if each were new."""
    return LabelledQueries.of(fitted.validation, cross_fitted(fitted, seed), outcomes)


def fit_plans(labelled: LabelledQueries, rng: np.random.Generator) -> Plans:
    """The plans that labelled queries allow; without a pair, and with a note, where they are few.

    Needs no more than NumPy; a second for five models and a thousand queries.
    """
    n, n_models = labelled.scores.shape
    if n < LEAST_QUERIES:
        return Plans(n_models, notes=(f"{n} labelled queries: plans need {LEAST_QUERIES}",))
    return _fitted(labelled, rng)


def replay_unseen(
    labelled: LabelledQueries, points: FloatArray, rng: np.random.Generator
) -> Replayed | None:
    """Plans at every price (T,) on queries that they have not learned from.

    A price that is chosen on these keeps what it promises on new queries.
    """

    def replay(learned: LabelledQueries, unseen: LabelledQueries) -> Replayed:
        return PlanPolicy(_fitted(learned, rng)).replay(
            unseen.scores, unseen.predicted_cost_usd, points, unseen.replies, unseen.cost_usd
        )

    return replayed_by_folds(labelled, len(points), replay, rng)


def replayed_by_folds(
    labelled: LabelledQueries,
    n_points: int,
    replay: Callable[[LabelledQueries, LabelledQueries], Replayed | None],
    rng: np.random.Generator,
) -> Replayed | None:
    """Replays on every query by what was learned from the folds without it: five times four fifths.

    replay: learns from the first, replays on the second; None where nothing can be learned.
    """
    n = len(labelled.scores)
    fold = rng.permutation(n) % FOLDS
    whole = Replayed.empty(n, n_points)
    for number in range(FOLDS):
        out = np.flatnonzero(fold == number)
        made = replay(labelled.take(np.flatnonzero(fold != number)), labelled.take(out))
        if made is None:
            return None
        for into, part in zip(whole, made, strict=True):
            into[out] = part
    return whole


def _fitted(labelled: LabelledQueries, rng: np.random.Generator) -> Plans:
    n, n_models = labelled.scores.shape
    members, pairs = cheap_pairs(labelled)
    if not pairs:
        note = f"no two models cost {CHEAP:.0%} of the strongest together: one model per query"
        return Plans(n_models, notes=(note,))
    known = np.isfinite(labelled.replies.answered[:, list(members)])
    if not known.any():
        return Plans(n_models, notes=("no answer is known: one model per query",))
    return _Fit(labelled, members, pairs, rng.permutation(n) % FOLDS).plans()


def best_rule(labelled: LabelledQueries) -> AgreementRule | None:
    """The agreement rule of the cheapest pair that performs as well as the strongest model.

    Where none does, of the pair that performs best. None where no pair is cheap enough.
    """
    _, pairs = cheap_pairs(labelled)
    if not pairs:
        return None
    row, means = np.arange(len(labelled.scores)), labelled.performance.mean(axis=0)
    strongest = _strongest(labelled.performance, labelled.cost_usd)
    rules = [AgreementRule(pair, strongest) for pair in pairs]

    def worth(rule: AgreementRule) -> tuple[float, float]:
        made = rule.replay(labelled.replies, labelled.cost_usd)
        got = float(labelled.performance[row, made.served[:, 0]].mean())
        return min(got, float(means[strongest])), -float(made.cost_usd.mean())

    return max(rules, key=worth)


def _strongest(performance: FloatArray, cost_usd: FloatArray) -> int:
    """The column of the highest mean performance; of equal ones the cheapest."""
    means, costs = performance.mean(axis=0), cost_usd.mean(axis=0)
    return max(range(len(means)), key=lambda column: (means[column], -costs[column]))


def cheap_pairs(labelled: LabelledQueries) -> tuple[Columns, tuple[Columns, ...]]:
    """The models that plans may ask, by layers of the Pareto front, and the cheap pairs of them."""
    performance, cost = labelled.performance.mean(axis=0), labelled.cost_usd.mean(axis=0)
    left, members = list(range(len(cost))), list[int]()
    while left and len(members) < MOST_MEMBERS:
        layer = [
            i
            for i in left
            if not any(
                cost[j] <= cost[i]
                and performance[j] >= performance[i]
                and (cost[j] < cost[i] or performance[j] > performance[i])
                for j in left
            )
        ]
        members += sorted(layer, key=lambda i: -performance[i])
        left = [i for i in left if i not in layer]
    strongest = members[0]
    cheap = [
        pair
        for pair in combinations(sorted(members[:MOST_MEMBERS]), 2)
        if strongest not in pair and cost[list(pair)].sum() <= CHEAP * cost[strongest]
    ]
    return tuple(sorted(members[:MOST_MEMBERS])), tuple(cheap)


class _Fit:
    """The stages in their order, each with its values for queries that it has not learned from."""

    def __init__(
        self,
        labelled: LabelledQueries,
        members: Columns,
        pairs: tuple[Columns, ...],
        fold: IntArray,
    ) -> None:
        self.labelled, self.members, self.pairs, self.fold = labelled, members, pairs, fold
        lowest, highest = labelled.performance.min(), labelled.performance.max()
        signals = labelled.replies.signal_names
        paid = labelled.replies.check_usd(signals).mean(axis=0)
        self.empty = Plans(
            labelled.scores.shape[1],
            members=members,
            lowest=float(lowest),
            highest=float(highest),
            signals=signals,
            check_usd=paid if paid.any() else None,
        )
        self.odds = self.empty.odds(labelled.scores)
        self.share = (labelled.performance - lowest) / ((highest - lowest) or 1.0)
        self.row = np.arange(len(self.odds))
        self.checks: dict[Columns, Check] = {}
        self.served: dict[Columns, FloatArray] = {}
        self.support: dict[Columns, FloatArray] = {}
        self.more: dict[tuple[Columns, int], Check] = {}
        self.more_value: dict[tuple[Columns, int], FloatArray] = {}

    def plans(self) -> Plans:
        for pair in self.pairs:
            self._check(pair)
            for column in self.members:
                if column not in pair:
                    self._one_more(pair, column)
        return Plans(
            self.empty.n_models,
            self.members,
            self.pairs,
            self.checks,
            self.more,
            self._gains(),
            self.empty.lowest,
            self.empty.highest,
            self.empty.signals,
            self.empty.check_usd,
        )

    def _check(self, columns: Columns) -> None:
        """A check of a set of models, and the share of the best supported answer (n,)."""
        if columns in self.checks:
            return
        features = features_of(columns, self.odds, self.labelled.replies, self.empty.signals)
        target = self.share[:, list(columns)]
        self.checks[columns] = fit_check(features, target)
        support = self.labelled.replies.servable(columns, self._unseen(features, target))
        self.support[columns] = support.max(axis=1)
        self.served[columns] = target[self.row, support.argmax(axis=1)]

    def _one_more(self, pair: Columns, column: int) -> None:
        three = tuple(sorted((*pair, column)))
        self._check(three)
        seen = features_of(pair, self.odds, self.labelled.replies, self.empty.signals)
        features, target = more_features(seen, self.odds[:, column]), self.served[three][:, None]
        self.more[pair, column] = fit_check(features, target)
        self.more_value[pair, column] = self._unseen(features, target)[:, 0]

    def _unseen(self, features: FloatArray, target: FloatArray) -> FloatArray:
        """The values (n, A) of checks that have not learned from the query's fold."""
        values = np.empty_like(target)
        for number in range(FOLDS):
            out = self.fold == number
            values[out] = fit_check(features[~out], target[~out]).apply(features[out])
        return values

    def _gains(self) -> Gains:
        """The gain of each pair over routing at each price, by ridge on the query's log odds."""
        labelled = self.labelled
        lambdas = _prices(labelled)
        routed = UtilityPolicy().sweep(labelled.scores, labelled.predicted_cost_usd, lambdas)
        column = self.row[:, None]
        usual = labelled.performance[column, routed]
        usual = usual - lambdas * labelled.predicted_cost_usd[column, routed]
        targets = np.stack([self._outcome(pair, lambdas, usual) for pair in self.pairs], axis=2)
        n, shape = len(usual), (3, len(self.pairs), len(lambdas))
        features = self.empty.query_features(self.odds)
        lines = fit_lines(spectrum(features), targets.transpose(1, 0, 2, 3).reshape(n, -1))
        return Gains(lambdas, lines.coef.reshape(*shape, -1), lines.level.reshape(shape))

    def _outcome(self, pair: Columns, lambdas: FloatArray, usual: FloatArray) -> FloatArray:
        """(3, n, G): the gain of asking a pair, whether it asks one more, and what that costs."""
        cost = self.empty.with_checks(self.labelled.predicted_cost_usd)
        of = self.empty.performance
        others = [column for column in self.members if column not in pair]
        three = [tuple(sorted((*pair, column))) for column in others]
        value = of(np.stack([self.more_value[pair, column] for column in others], axis=1))
        then = np.stack([self.served[columns] for columns in three], axis=1)
        made = np.empty((3, *usual.shape))
        for point, lambda_ in enumerate(lambdas.tolist()):
            net = value - lambda_ * cost[:, others]
            best = net.argmax(axis=1)
            asks = net[self.row, best] > of(self.support[pair])
            paid = np.where(asks, cost[self.row, np.array(others)[best]], 0.0)
            served = np.where(asks, then[self.row, best], self.served[pair])
            spent = cost[:, list(pair)].sum(axis=1) + paid
            made[:, :, point] = of(served) - lambda_ * spent - usual[:, point], asks, paid
        return made


def _prices(labelled: LabelledQueries) -> FloatArray:
    """Prices (G,), falling to 0: half where routing changes, half evenly on a logarithmic scale.

    Where routing changes at a few prices only, plans still do at others.
    """
    scores, cost = labelled.scores, labelled.predicted_cost_usd
    routing = UtilityPolicy().points(scores, cost, N_PRICES // 2)
    paid = routing[routing > 0]
    if not paid.size:
        return np.zeros(1)
    between = np.geomspace(paid.max(), paid.min() / LOWER, N_PRICES // 2)
    return np.unique(np.concatenate([routing, between, [0.0]]))[::-1]


def fit_check(features: FloatArray, targets: FloatArray) -> Check:
    """Logistic regression of targets (n, A) in [0, 1] on features (n, F), NaN = not known.

    Maximum likelihood with a normal prior on the weights (PENALTY), by Newton's method.
    """
    known = np.isfinite(features)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, features, 0.0).sum(axis=0) / count
    away = np.where(known, features - centre, 0.0)
    spread = np.sqrt((away**2).sum(axis=0) / count)
    empty = Check(centre, np.where(spread > TINY, spread, 1.0), np.zeros((0, 0)))
    x = empty.standardised(features)
    prior = np.full(x.shape[1], PENALTY)
    prior[0] = PRIOR_LEVEL
    weights = np.stack([_newton(x, target, prior) for target in targets.T], axis=1)
    return Check(empty.centre, empty.spread, weights)


def _newton(x: FloatArray, target: FloatArray, prior: FloatArray) -> FloatArray:
    weights = np.zeros(x.shape[1])
    for _ in range(MOST_STEPS):
        p = sigmoid(x @ weights)
        gradient = x.T @ (p - target) + prior * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(prior)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < ENOUGH:
            break
    return weights
