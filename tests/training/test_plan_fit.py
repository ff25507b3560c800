"""Plans fitted on labelled queries, on a world in which two cheap models err independently."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter.arrays import FloatArray, IntArray
from equirouter.policy import UtilityPolicy
from equirouter.policy.plan import PlanPolicy, Replayed
from equirouter.policy.replies import Replies
from equirouter.training.plan_fit import (
    LabelledQueries,
    best_rule,
    fit_check,
    fit_plans,
    replay_unseen,
)
from tests.training.independent_errors import ACCURACY, COSTS, world


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def measured(policy: PlanPolicy, on: LabelledQueries, lambda_: float) -> tuple[float, float]:
    """Mean performance and cost."""
    point = np.array([lambda_])
    made = policy.replay(on.scores, on.predicted_cost_usd, point, on.replies, on.cost_usd)
    served: IntArray = made.served[:, 0]
    got = on.performance[np.arange(len(served)), served]
    return float(got.mean()), float(made.cost_usd.mean())


def best_cost(policy: PlanPolicy, on: LabelledQueries, performance: float) -> float:
    """The least cost of a price at which this performance is kept."""
    prices = [0.0, *np.geomspace(0.001, 100, 60)]
    kept = [cost for got, cost in (measured(policy, on, p) for p in prices) if got >= performance]
    return min(kept)


NEW = world(4000, 1)


def test_what_two_agree_on_costs_less_than_the_strongest() -> None:
    # They agree and are right on .49, agree on an error on .3 * .3 / 50 = .002 of the queries. With
    # the strongest on all others a performance of about .49 + .51 * .95 costs .03 + .51.
    plans = fit_plans(world(1000, 0), rng())
    assert plans.pairs == ((0, 1),)
    assert best_cost(PlanPolicy(plans), NEW, 0.95) < 0.6
    assert best_cost(PlanPolicy(replace(plans, gains=None)), NEW, 0.94) > 0.9  # one model per query


def test_the_first_round_says_what_is_to_be_expected() -> None:
    plans = fit_plans(world(1000, 0), rng())
    action = PlanPolicy(plans, 0.1).first(ACCURACY, COSTS)
    assert action.columns == (0, 1)
    assert action.p_escalate == pytest.approx(0.51, abs=0.05)
    assert action.expected_cost_usd == pytest.approx(0.03 + 0.51, abs=0.05)


def test_answers_that_never_agree_do_no_harm() -> None:
    policy = PlanPolicy(fit_plans(world(1000, 0, agree=False), rng()))
    new = world(4000, 1, agree=False)
    for lambda_ in (0.0, 0.02, 0.1, 0.5, 2.0, 100.0):
        got, cost = measured(policy, new, lambda_)
        routed = UtilityPolicy(lambda_).choose(new.scores, new.predicted_cost_usd)
        usual, paid = new.performance[np.arange(4000), routed].mean(), COSTS[routed].mean()
        assert got - lambda_ * cost >= usual - lambda_ * paid - 0.015


def test_an_extractor_that_fails_costs_money_and_no_quality() -> None:
    policy = PlanPolicy(fit_plans(world(1000, 0, lost=0.2), rng()))
    new = world(4000, 1, lost=0.2)
    whole = best_cost(PlanPolicy(fit_plans(world(1000, 0), rng())), NEW, 0.94)
    assert whole < best_cost(policy, new, 0.94) < 0.9


def test_answers_of_the_cheap_models_are_enough() -> None:
    def without_third(made: LabelledQueries) -> LabelledQueries:
        answers, answered = made.replies.answers.copy(), made.replies.answered.copy()
        answers[:, 2], answered[:, 2] = -1, np.nan
        return replace(made, replies=replace(made.replies, answers=answers, answered=answered))

    policy = PlanPolicy(fit_plans(without_third(world(1000, 0)), rng()))
    assert best_cost(policy, without_third(NEW), 0.945) < 0.6


def test_prices_of_zero() -> None:
    free = np.zeros_like
    made = world(1000, 0)
    made = replace(made, cost_usd=free(made.cost_usd), predicted_cost_usd=free(made.cost_usd))
    policy = PlanPolicy(fit_plans(made, rng()))
    new = replace(NEW, cost_usd=free(NEW.cost_usd), predicted_cost_usd=free(NEW.cost_usd))
    assert policy.plans.pairs == ((0, 1),)  # none has the strongest, which is free too
    performance, cost = measured(policy, new, 1.0)
    assert (performance >= 0.945, cost) == (True, 0.0)


def test_performance_on_another_scale_makes_the_same_plans() -> None:
    made = world(1000, 0)
    scaled = replace(made, performance=made.performance * 10 - 5, scores=made.scores * 10 - 5)
    new = replace(NEW, scores=NEW.scores * 10 - 5)
    for lambda_ in (0.0, 0.1, 1.0):
        plain = measured(PlanPolicy(fit_plans(made, rng())), NEW, lambda_)
        assert measured(PlanPolicy(fit_plans(scaled, rng())), new, 10 * lambda_) == plain


def test_the_same_seed_makes_the_same_plans() -> None:
    first, second = (fit_plans(world(600, 0), rng(3)).gains for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.coef, second.coef)


@pytest.mark.parametrize(
    ("labelled", "note"),
    [
        (world(399, 0), "399 labelled queries: plans need 400"),
        (
            replace(world(500, 0), cost_usd=np.tile([0.3, 0.3, 1.0], (500, 1))),
            "no two models cost 35% of the strongest together",
        ),
        (
            replace(
                world(500, 0),
                replies=Replies(np.full((500, 3), -1), *(np.full((500, 3), np.nan),) * 3),
            ),
            "no answer is known",
        ),
    ],
)
def test_where_there_is_no_pair_a_note_says_why(labelled: LabelledQueries, note: str) -> None:
    plans = fit_plans(labelled, rng())
    assert (plans.pairs, plans.gains) == ((), None)
    assert note in plans.notes[0]


def replayed(labelled: LabelledQueries, prices: np.ndarray) -> Replayed:
    made = replay_unseen(labelled, prices, rng())
    assert made is not None
    return made


def test_a_replay_of_unseen_queries_promises_what_new_ones_keep() -> None:
    labelled = world(1000, 0)
    prices = np.array([0.3, 0.05])
    made = replayed(labelled, prices)
    assert set(np.unique(made.calls).tolist()) <= {1, 2, 3}
    got = labelled.performance[np.arange(1000)[:, None], made.served].mean(axis=0)
    policy = PlanPolicy(fit_plans(labelled, rng()))
    for place, price in enumerate(prices.tolist()):
        performance, cost = measured(policy, NEW, price)
        assert got[place] == pytest.approx(performance, abs=0.03)
        assert made.cost_usd[:, place].mean() == pytest.approx(cost, abs=0.06)


def test_a_replay_of_unseen_queries_does_not_know_their_outcomes() -> None:
    labelled = world(500, 0)
    prices = np.array([0.3, 0.1, 0.0])
    plain = replayed(labelled, prices)
    first = np.flatnonzero(rng().permutation(500) % 5 == 0)  # the first fold: all of it is unseen
    performance = labelled.performance.copy()
    performance[first] = 1 - performance[first]
    changed = replayed(replace(labelled, performance=performance), prices)
    np.testing.assert_array_equal(changed.served[first], plain.served[first])
    np.testing.assert_array_equal(changed.calls[first], plain.calls[first])
    assert (changed.served != plain.served).any()  # the others have learned from it


def test_where_nothing_is_to_be_gained_no_gain_is_expected() -> None:
    # Answers that never agree, and numbers that say nothing: learned by heart they seem to.
    gains = []
    for seed in range(8):
        random = rng(seed)
        made = world(400, seed, agree=False)
        noise = replace(made.replies, tokens=random.normal(size=(400, 3)))
        noise = replace(noise, lengths=random.normal(size=(400, 3)))
        accuracy = np.array([0.45, 0.45, 0.6])
        right = (random.random((400, 3)) < accuracy).astype(float)
        scores = np.tile(accuracy, (400, 1))
        plans = fit_plans(replace(made, performance=right, scores=scores, replies=noise), rng(seed))
        assert plans.gains is not None
        features = plans.query_features(plans.odds(scores))
        gains.append(plans.gains.at(0.0, features)[0].mean())
    assert np.mean(gains) < 0


def test_a_check_by_hand() -> None:
    # Two kinds of rows, right in 3 of 4 and in 1 of 4: log odds of log 3 and -log 3.
    x = np.repeat([1.0, -1.0], 400)[:, None]
    target = (
        np.tile([1.0, 1.0, 1.0, 0.0], 100).tolist() + np.tile([0.0, 0.0, 0.0, 1.0], 100).tolist()
    )
    made = fit_check(x, np.array(target)[:, None])
    np.testing.assert_allclose(made.weights[:, 0], [0.0, np.log(3)], atol=0.1)
    p = made.apply(x)[:, 0]
    residual: FloatArray = p - target
    assert x[:, 0] @ residual + 10 * made.weights[1, 0] == pytest.approx(0, abs=1e-4)  # stationary


def test_a_feature_that_is_not_known_counts_as_its_mean() -> None:
    made = fit_check(np.array([[1.0], [3.0], [np.nan]]), np.array([[0.0], [1.0], [1.0]]))
    assert made.centre.tolist() == [2.0]
    assert made.apply(np.array([[np.nan]])) == made.apply(np.array([[2.0]]))


def test_targets_that_are_all_equal_are_told_with_finite_weights() -> None:
    made = fit_check(np.arange(50.0)[:, None], np.ones((50, 1)))
    assert np.isfinite(made.weights).all()
    assert made.apply(np.array([[10.0]]))[0, 0] > 0.95


def test_the_best_rule_is_the_cheapest_that_keeps_the_quality() -> None:
    made = world(2000, 0)
    rule = best_rule(made)
    assert rule is not None
    assert (rule.pair, rule.otherwise) == ((0, 1), 2)
    served = rule.replay(NEW.replies, NEW.cost_usd)
    assert NEW.performance[np.arange(4000), served.served[:, 0]].mean() > 0.95
    assert served.cost_usd.mean() == pytest.approx(0.03 + 0.51, abs=0.02)
    assert best_rule(replace(made, cost_usd=made.cost_usd**0)) is None  # equal prices


def test_a_signal_that_knows_the_truth_saves_more() -> None:
    def with_signal(made: LabelledQueries, seed: int) -> LabelledQueries:
        noise = rng(seed).random(made.performance.shape) < 0.05
        tests = (noise ^ (made.performance > 0)).astype(float)
        return replace(made, replies=replace(made.replies, signals={"tests": tests}))

    plans = fit_plans(with_signal(world(1000, 0), 2), rng())
    assert plans.signals == ("tests",)
    new = with_signal(NEW, 3)
    with_it, without = (
        best_cost(PlanPolicy(each), new, 0.95) for each in (plans, fit_plans(world(1000, 0), rng()))
    )
    # one of two is right on .91, which the tests tell but for a twentieth
    assert with_it < 0.3 < 0.45 < without
