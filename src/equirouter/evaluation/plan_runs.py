"""Plans, and the anchors that ask more than one model, on the test part of one split."""

from typing import NamedTuple

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data.outcomes import Outcomes
from equirouter.evaluation.plan_figures import auc, auc_beyond, figures_of
from equirouter.policy import UtilityPolicy
from equirouter.policy.plan import NONE, Replayed
from equirouter.policy.plans import Columns, Plans
from equirouter.policy.pool_plans import AgreementRule, PoolPlans
from equirouter.policy.replies import Replies
from equirouter.training.fitted import FittedRouter
from equirouter.training.plan_choice import made_plans
from equirouter.training.plan_fit import LabelledQueries, best_rule, labelled_by
from equirouter.training.protocol import Part, Prepared


class CheckAUC(NamedTuple):
    """AUC of whether the answer that a check would serve of a pair is right; see CheckResults.

    The router's and the agreement's are of that answer too. None where there is no check.
    """

    pair: tuple[str, str]
    router_auc: float | None
    agreement_auc: float | None
    agreement_beyond: float | None
    check_auc: float | None
    check_beyond: float | None


class PlanRun(NamedTuple):
    """A replay on the test part at T operating points, its figures (T,), its check if it has one.

    points (T,): lambdas, falling.
    """

    points: FloatArray
    replayed: Replayed
    figures: dict[str, FloatArray]
    check: CheckAUC | None
    notes: tuple[str, ...]


def router_run(
    fitted: FittedRouter,
    prepared: Prepared,
    outcomes: Outcomes,
    scores: FloatArray,
    *,
    seed: int,
    n_points: int,
) -> PlanRun:
    """Run of what `train` would serve with this router: routing, or plans where they gain.

    scores (n, K): its estimates on the test part. Half of the points are those of routing, which
    every pipeline keeps; the others are prices at which plans decide, if there are any.
    """
    test, labelled = prepared.test, labelled_by(fitted, outcomes, seed)
    plans, candidates, notes = made_plans(labelled, outcomes.answers_by, prepared.strongest, seed)
    strongest_usd = test.predicted_cost_usd[:, prepared.strongest]
    replies = Replies.of_table(outcomes, test.rows).affordable(strongest_usd)
    points, replayed = with_routing(plans, scores, test, replies, n_points)
    rule = best_rule(labelled)
    pair = None if rule is None else rule.pair
    check = (
        None if pair is None else _check(candidates.plans, pair, scores, test, replies, outcomes)
    )
    return PlanRun(points, replayed, _figures(replayed, prepared, outcomes), check, notes)


def anchor_runs(prepared: Prepared, outcomes: Outcomes) -> dict[str, PlanRun]:
    """The agreement rule of the best pair, and that pair with a check that knows everything.

    The pair is the best on training and validation part. None of them where no pair is cheap.
    """
    learned = prepared.learnable
    known = np.isfinite(learned.performance + learned.cost_usd).all(axis=1)
    learned = learned.take(np.flatnonzero(known))
    rule = best_rule(LabelledQueries.of(learned, learned.performance, outcomes))
    if rule is None:
        return {}
    test = prepared.test
    agree = rule.replay(Replies.of_table(outcomes, test.rows), test.cost_usd)
    made = {"agree": agree, "oracle-check": _oracle_check(rule, test)}
    return {
        name: PlanRun(np.zeros(1), each, _figures(each, prepared, outcomes), None, ())
        for name, each in made.items()
    }


def _figures(made: Replayed, prepared: Prepared, outcomes: Outcomes) -> dict[str, FloatArray]:
    test, tokens = prepared.test, outcomes.output_tokens
    return figures_of(
        made,
        test.performance,
        prepared.strongest,
        None if tokens is None else tokens[test.rows],
    )


def with_routing(
    plans: PoolPlans | None, scores: FloatArray, test: Part, replies: Replies, n_points: int
) -> tuple[FloatArray, Replayed]:
    """Routing and plans at their own prices, from the highest price to the lowest."""
    expected = test.predicted_cost_usd
    taken = [] if plans is None else [at.price for at in plans.at_prices if at.by != "routing"]
    n_routed = n_points - n_points // 2 if taken else n_points
    routed = UtilityPolicy().points(scores, expected, n_routed)
    alone = Replayed.of_one(UtilityPolicy().sweep(scores, expected, routed), test.cost_usd)
    if plans is None or not taken:
        return routed, alone
    places = np.linspace(0, len(taken) - 1, n_points - n_routed).round().astype(np.int64)
    prices = np.array(taken)[places]
    several = plans.replay(scores, expected, prices, replies, test.cost_usd)
    points = np.concatenate([routed, prices])
    order = np.argsort(-points, kind="stable")
    joined = Replayed(*(np.concatenate(both, axis=1) for both in zip(alone, several, strict=True)))
    return points[order], joined.take(order)


def _oracle_check(rule: AgreementRule, test: Part) -> Replayed:
    """The better of the pair, or the third where its answer is better still."""
    performance, pair = test.performance, list(rule.pair)
    row = np.arange(len(performance))
    best = np.array(pair)[performance[:, pair].argmax(axis=1)]
    asks = performance[:, rule.otherwise] > performance[row, best]
    served = np.where(asks, rule.otherwise, best)
    asked = np.tile((*rule.pair, rule.otherwise), (len(row), 1))
    asked[~asks, 2] = NONE
    cost = test.cost_usd[:, pair].sum(axis=1) + asks * test.cost_usd[:, rule.otherwise]
    return Replayed(served[:, None], asked[:, None], cost[:, None])


def _check(
    plans: Plans,
    pair: Columns,
    scores: FloatArray,
    test: Part,
    replies: Replies,
    outcomes: Outcomes,
) -> CheckAUC:
    """Of the better supported answer where there is a check, else of the better one by score."""
    row, columns = np.arange(len(scores)), np.array(pair)
    support = None
    if pair in plans.checks:
        support = plans.support(pair, plans.odds(scores), replies)
    best = columns[(scores[:, pair] if support is None else support).argmax(axis=1)]
    performance = test.performance
    right = performance[row, best] > (performance.min() + performance.max()) / 2
    score = scores[row, best]
    agree = np.nan_to_num(replies.equal(*pair), nan=0.5)
    value = None if support is None else support.max(axis=1)
    first, second = (outcomes.models[column] for column in pair)
    return CheckAUC(
        (first, second),
        auc(score, right),
        auc(agree, right),
        auc_beyond(agree, right, score),
        None if value is None else auc(value, right),
        None if value is None else auc_beyond(value, right, score),
    )
