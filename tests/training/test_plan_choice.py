"""Which of routing, the agreement rule and learned plans decides at which price."""

from dataclasses import replace

import numpy as np
import pytest

from equirouter.policy.plan import Replayed
from equirouter.policy.pool_plans import AtPrice, PoolPlans
from equirouter.training.plan_choice import Candidates, made_plans, rule_unseen
from equirouter.training.plan_fit import LabelledQueries
from tests.training.independent_errors import COSTS, world


def made(labelled: LabelledQueries) -> tuple[PoolPlans | None, Candidates, tuple[str, ...]]:
    return made_plans(labelled, "number@1", 2, seed=0)


def deciders(plans: PoolPlans) -> set[str]:
    return {at.by for at in plans.at_prices}


def test_plans_decide_where_they_gain_and_one_model_elsewhere() -> None:
    plans, candidates, notes = made(world(1000, 0))
    assert plans is not None
    assert notes == ()
    assert plans.extractor == "number@1"
    assert plans.rule is None or plans.rule.pair == (0, 1)
    # 0.7 for 0.01, 0.95 for 1: from lambda = 0.25 on the first alone; the pair costs 0.54 at 0.95
    assert plans.by(0.1) != "routing"
    assert plans.by(100.0) == "routing"
    assert plans.calibration is not None
    point = plans.calibration.operating_point(0.99)
    assert point.relative_cost < 0.65
    assert deciders(plans) >= {"routing"}
    usual = candidates.calibration(candidates.routed, 2).operating_point(0.99)
    assert usual.relative_cost > 0.8


def test_a_gain_within_one_standard_error_is_none() -> None:
    plans, candidates, _ = made(world(1000, 0))
    assert plans is not None
    for at in plans.at_prices:
        chosen = {"routing": None, "rule": at.rule, "learned": at.learned}[at.by]
        others = [gain for gain in (at.rule, at.learned) if gain is not None]
        if chosen is None:
            assert all(gain.mean <= gain.error for gain in others)
        else:
            assert chosen.mean > chosen.error
            assert all(gain.mean <= max(chosen.mean, gain.error) for gain in others)
    # the gain at one price again, from the replays
    place = len(candidates.prices) // 2
    assert candidates.learned is not None
    row = np.arange(1000)

    def worth(replayed: Replayed) -> np.ndarray:
        got = candidates.labelled.performance[row, replayed.served[:, place]]
        return np.asarray(got - candidates.prices[place] * replayed.cost_usd[:, place])

    more = worth(candidates.learned) - worth(candidates.routed)
    at = plans.at_prices[len(plans.at_prices) - 1 - place]
    assert at.price == candidates.prices[place]
    assert at.learned is not None
    assert (at.learned.mean, at.learned.error) == pytest.approx(
        (more.mean(), more.std(ddof=1) / 1000**0.5)
    )


def test_answers_that_never_agree_are_not_compared() -> None:
    for n in (300, 1000):
        plans, _, notes = made(world(n, 0, agree=False))
        assert plans is None
        assert "at no price lambda does comparing answers gain" in notes[-1]


def judged(usd: float | None) -> LabelledQueries:
    """Queries whose answers never agree, with a judge that knows all; usd: what a reply costs."""
    labelled = world(600, 0, agree=False)
    signals = {"judge": labelled.performance}
    if usd is not None:
        signals["judge.cost_usd"] = np.full((600, 3), usd)
    return replace(labelled, replies=replace(labelled.replies, signals=signals))


def test_a_judge_decides_only_where_its_price_is_worth_it() -> None:
    # at lambda 0.2 one model is worth 0.95 - 0.2; where neither of the pair is right, in 0.09, one
    # more is asked: 0.995 - 0.2 * (0.03 + 0.09 * 1), less 0.2 for every 2.09 * the judge's price
    cheap, candidates, notes = made(judged(0.001))
    assert cheap is not None
    assert cheap.by(0.2) == "learned"
    assert cheap.learned.signals == ("judge",)
    assert cheap.learned.check_usd is not None
    assert cheap.learned.check_usd.tolist() == pytest.approx([0.001] * 3)
    assert notes == ()
    assert candidates.learned is not None
    asked, calls = candidates.learned.asked, candidates.learned.calls
    paid = np.append(COSTS, 0.0)[asked].sum(axis=2)  # -1, no call, is the last
    judges = np.where(calls > 1, calls * 0.001, 0.0)
    np.testing.assert_allclose(candidates.learned.cost_usd, paid + judges)
    expensive, _, _ = made(judged(0.6))
    assert expensive is not None  # where cost counts for nothing
    assert expensive.by(0.2) == "routing"
    unpriced, _, notes = made(judged(None))
    assert unpriced is not None
    assert "does not say what judge cost (signal.judge.cost_usd)" in notes[-1]


def test_few_queries_allow_the_rule_alone() -> None:
    plans, candidates, notes = made(world(300, 0))
    assert candidates.learned is None
    assert notes == (
        "answers are compared by the agreement rule alone: 300 labelled queries: plans need 400",
    )
    assert plans is not None
    assert deciders(plans) == {"routing", "rule"}
    assert plans.rule is not None
    differ = world(300, 0).replies.equal(0, 1) == 0
    assert plans.rule.escalates == pytest.approx(differ.mean())


def test_without_a_cheap_pair_there_is_nothing_to_compare() -> None:
    labelled = world(500, 0)
    expensive = replace(labelled, cost_usd=np.tile([0.3, 0.3, 1.0], (500, 1)))
    plans, candidates, notes = made(expensive)
    assert plans is None
    assert (candidates.rule, candidates.learned) == (None, None)
    assert notes == ("no two models cost 35% of the strongest together: one model per query",)


def test_the_rule_is_chosen_on_other_queries_than_it_is_measured_on() -> None:
    labelled = world(400, 0)
    rng = np.random.default_rng(0)
    fold = np.random.default_rng(0).permutation(400) % 5
    replayed = rule_unseen(labelled, rng)
    assert replayed is not None
    agree = labelled.replies.equal(0, 1) == 1
    np.testing.assert_array_equal(replayed.calls[:, 0], np.where(agree, 2, 3))
    changed = labelled.performance.copy()
    changed[fold == 0] = 0
    again = rule_unseen(replace(labelled, performance=changed), np.random.default_rng(0))
    assert again is not None
    np.testing.assert_array_equal(again.served[fold == 0], replayed.served[fold == 0])


def test_a_replay_of_all_is_that_of_what_decides() -> None:
    labelled = world(1000, 0)
    plans, _, _ = made(labelled)
    assert plans is not None
    prices = np.array([at.price for at in plans.at_prices])
    new = world(500, 1)
    replayed = plans.replay(new.scores, new.predicted_cost_usd, prices, new.replies, new.cost_usd)
    for place, at in enumerate(plans.at_prices):
        calls = replayed.calls[:, place]
        assert (calls.max() == 1) == (at.by == "routing" or at.checked == 0)
        if at.by == "rule":
            assert (calls > 2).mean() == pytest.approx(at.escalated, abs=0.08)


def test_between_two_prices_the_lower_one_decides() -> None:
    plans, _, _ = made(world(1000, 0))
    assert plans is not None
    at: AtPrice
    for at, after in zip(plans.at_prices, plans.at_prices[1:], strict=False):
        assert plans.by(at.price) == plans.by((at.price + after.price) / 2) == at.by
