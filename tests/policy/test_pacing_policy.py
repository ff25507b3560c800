"""Pacing: the mean that was asked for, a cap that holds, and a state that can be kept."""

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.errors import ConfigError
from equirouter.policy import NOTHING_FITS, Pacer, PacingPolicy, PacingState, UtilityPolicy
from equirouter.policy.dual import CARRY
from equirouter.policy.path import utility_path
from tests.policy.streams import Costs, costs_of_ends, make_stream

SHARES = np.array([0.05, 0.2, 0.5, 0.8])
"""Targets between what the cheapest models cost and what the best do."""


def paced(
    costs: Costs, seed: int, shares: np.ndarray = SHARES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets (T,), what each call cost (n, T) and the largest call; true costs are noisy."""
    scores, cost_usd = make_stream(costs, seed)
    paid = cost_usd * np.random.default_rng(seed).lognormal(0, 0.5, cost_usd.shape)
    low, high = costs_of_ends(scores, cost_usd, paid)
    targets = low + shares * (high - low)
    chosen = PacingPolicy().replay(scores, cost_usd, targets, paid)
    return targets, np.take_along_axis(paid, chosen, axis=1), paid.max()


@pytest.mark.parametrize("costs", ["even", "lognormal", "few", "same"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8)
def test_the_mean_is_within_2_percent_after_5000_queries(costs: Costs, seed: int) -> None:
    targets, spent, _ = paced(costs, seed)
    np.testing.assert_allclose(spent.mean(axis=0), targets, rtol=0.02)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8)
def test_with_heavy_tails_it_is_so_but_for_single_calls(seed: int) -> None:
    """A call of a thousand times the target cannot be paid back at the end of the stream."""
    targets, spent, largest = paced("heavy", seed, np.array([0.05, 0.2, 0.5]))
    one_call = largest / (len(spent) * targets)
    assert (np.abs(spent.mean(axis=0) / targets - 1) <= 0.02 + one_call).all()


def test_what_the_best_models_do_not_cost_is_not_spent() -> None:
    scores, cost_usd = make_stream("lognormal", 1, n=2000)
    _, high = costs_of_ends(scores, cost_usd, cost_usd)
    chosen = PacingPolicy(3 * high).choose(scores, cost_usd)
    spent = cost_usd[np.arange(2000), chosen].mean()
    assert 0.98 * high < spent <= high
    unlimited = PacingPolicy().choose(scores, cost_usd)
    np.testing.assert_array_equal(unlimited, UtilityPolicy(0).choose(scores, cost_usd))


def test_money_goes_where_it_helps_most() -> None:
    """Not further from the best that any spending of the same sum could have bought than 1 %."""
    scores, cost_usd = make_stream("lognormal", 2)
    low, high = costs_of_ends(scores, cost_usd, cost_usd)
    targets = low + np.array([0.1, 0.3, 0.6]) * (high - low)
    chosen = PacingPolicy().sweep(scores, cost_usd, targets)
    path = utility_path(scores, cost_usd)
    best = np.interp(targets, path.totals(cost_usd) / 5000, path.totals(scores) / 5000)
    got = np.take_along_axis(scores, chosen, axis=1).mean(axis=0)
    assert (got >= 0.99 * best).all()


@pytest.mark.parametrize("factor", [0.1, 10.0])
@pytest.mark.parametrize("costs", ["even", "lognormal"])
def test_it_recovers_from_a_shift_in_traffic(costs: Costs, factor: float) -> None:
    """Costs change tenfold; what was out of reach before is in reach now."""
    first, then = make_stream(costs, 3), make_stream(costs, 4)
    low, high = costs_of_ends(*then, then[1])
    targets = low + np.array([0.2, 0.4, 0.6]) * (high - low)
    scores, cost_usd = (np.concatenate(parts) for parts in zip(first, then, strict=True))
    cost_usd[:5000] *= factor
    chosen = PacingPolicy().sweep(scores, cost_usd, targets)
    spent = np.take_along_axis(cost_usd, chosen, axis=1)
    np.testing.assert_allclose(spent[6000:].mean(axis=0), targets, rtol=0.03)
    assert (spent[5000:].sum(axis=0) <= (5000 + 2 * CARRY) * targets).all()  # saved and owed


CAPS = st.floats(0.001, 1.0)


@given(seed=st.integers(0, 10_000), cap=CAPS, spend=st.floats(1e-5, 0.1), late=st.integers(1, 30))
@settings(max_examples=40)
def test_the_cap_is_never_broken(seed: int, cap: float, spend: float, late: int) -> None:
    """Calls cost less than their limit and are settled in any order, some never made."""
    rng = np.random.default_rng(seed)
    scores, cost_usd = make_stream("heavy", seed, n=150)
    most = cost_usd * rng.uniform(1, 4, cost_usd.shape)
    feasible = rng.random(cost_usd.shape) < 0.8
    pacer = Pacer(spend, cap_usd=cap)
    waiting: list[Any] = []
    spent = 0.0

    def settle() -> float:
        each, row = waiting.pop(int(rng.integers(len(waiting))))
        answers = [column for column in each.columns if column != NOTHING_FITS]
        if not answers or rng.random() < 0.1:
            pacer.settle(each, 0.0)
            return 0.0
        paid = most[row, rng.choice(answers)] * rng.random()  # any fallback may have answered
        pacer.settle(each, paid)
        return float(paid)

    for row in range(150):
        each = pacer.decide(scores[row], cost_usd[row], feasible[row], most[row])
        known = each.columns[each.columns != NOTHING_FITS]
        assert (feasible[row] & ~each.over_cap)[known].all()
        assert not feasible[row][~each.over_cap].any() or each.chosen != NOTHING_FITS
        waiting.append((each, row))
        if len(waiting) > late:
            spent += settle()
        assert spent <= cap
    while waiting:
        spent += settle()
    state = pacer.state
    assert spent <= cap
    np.testing.assert_allclose([state.spent_usd, state.held_usd], [spent, 0.0], atol=1e-12)


def test_the_policy_is_the_pacer_settled_as_predicted() -> None:
    scores, cost_usd = make_stream("lognormal", 5, n=400)
    feasible = np.random.default_rng(5).random(scores.shape) < 0.6
    spend = float(cost_usd.mean()) / 3
    pacer = Pacer(spend)
    ranked = PacingPolicy(spend).rank(scores, cost_usd, feasible)
    for row in range(400):
        each = pacer.decide(scores[row], cost_usd[row], feasible[row])
        np.testing.assert_array_equal(each.columns, ranked[row])
        pacer.settle(each)


def test_a_state_goes_through_json_and_the_stream_goes_on_as_if_never_stopped() -> None:
    scores, cost_usd = make_stream("lognormal", 6, n=300)
    whole, first = (Pacer(0.001, cap_usd=10.0) for _ in range(2))
    expected = [whole.decide(*each).chosen for each in zip(scores, cost_usd, strict=True)]
    found = [first.decide(*each).chosen for each in zip(scores[:150], cost_usd[:150], strict=True)]
    state = json.loads(json.dumps(asdict(first.state), allow_nan=False))
    again = Pacer(0.001, cap_usd=10.0, state=PacingState(**state))
    found += [again.decide(*each).chosen for each in zip(scores[150:], cost_usd[150:], strict=True)]
    assert found == expected
    assert again.state == whole.state
    assert PacingState(**json.loads(json.dumps(asdict(Pacer(1.0).state)))) == PacingState()


def test_a_new_target_takes_over_what_is_owed_in_usd() -> None:
    pacer = Pacer(0.01, state=PacingState(n_queries=5, owed_usd=0.02))
    assert pacer.state.owed_usd == pytest.approx(0.02)
    assert Pacer(1e-5, state=PacingState(owed_usd=0.02)).state.owed_usd == pytest.approx(1e-3)


def test_no_choice_owes_more_than_the_carry_but_the_cheapest() -> None:
    query = np.array([0.0, 1.0]), np.array([0.02, 0.2])  # at a lambda of 1 the second is better
    assert Pacer(0.01, carry=30, start=1.0).decide(*query).columns.tolist() == [1, 0]
    # 0.2 USD are 20 queries' worth: more than 10, so that is the last resort
    assert Pacer(0.01, carry=10, start=1.0).decide(*query).columns.tolist() == [0, 1]
    forced = Pacer(0.01, carry=10)
    forced.decide(np.array([1.0]), np.array([5.0]))
    assert forced.state.owed_usd == pytest.approx(0.1)  # what nothing cheaper could answer


def test_free_models_are_paced_too() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random((40, 3))
    costs = np.tile([0.0, 0.0, 0.01], (40, 1))  # by the smallest target only the free ones
    points = PacingPolicy().points(scores, costs, 5)
    chosen = PacingPolicy().sweep(scores, costs, points)
    assert chosen[:, 0].tolist() == scores[:, :2].argmax(axis=1).tolist()
    assert (chosen[:, -1] == 2).any()
    free = np.zeros((40, 3))
    points = PacingPolicy().points(scores, free, 5)
    chosen = PacingPolicy().sweep(scores, free, points)
    assert (chosen == scores.argmax(axis=1)[:, None]).all()


def test_queries_that_nobody_may_answer_count_for_nothing() -> None:
    pacer = Pacer(0.01, cap_usd=0.05)
    nobody = pacer.decide(np.ones(2), np.full(2, 0.01), np.zeros(2, dtype=bool))
    assert (nobody.chosen, nobody.over_cap.tolist()) == (NOTHING_FITS, [False, False])
    over = pacer.decide(np.ones(2), np.array([0.01, 0.06]), None, np.array([0.2, 0.06]))
    assert (over.chosen, over.over_cap.tolist()) == (NOTHING_FITS, [True, True])
    pacer.settle(nobody)
    pacer.settle(over, 0.0)
    assert pacer.state == PacingState()


def test_a_decision_that_is_taken_back_leaves_nothing_behind() -> None:
    pacer = Pacer(0.02, cap_usd=1.0)
    query = (np.array([0.5, 0.9]), np.array([0.01, 0.03]), None, np.array([0.05, 0.1]))
    first = pacer.decide(*query)
    pacer.settle(first, 0.02)
    before = pacer.state
    second = pacer.decide(*query)
    assert pacer.left_usd == pytest.approx(1.0 - 0.02 - 0.1)  # the most that the second can cost
    pacer.forget(second)
    after = pacer.state
    assert (before.n_queries, after.n_queries) == (1, 1)
    assert pacer.left_usd == pytest.approx(0.98)
    for name in ("spent_usd", "held_usd", "owed_usd", "log_lambda"):
        assert getattr(after, name) == pytest.approx(getattr(before, name)), name


def test_a_start_is_the_first_price() -> None:
    each = Pacer(0.01, start=30.0).decide(np.array([0.5, 0.9]), np.array([0.001, 0.02]))
    assert each.lambda_ == pytest.approx(30.0)
    assert each.chosen == 0  # 0.4 for 0.019 USD is 21 per USD


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"spend_usd": 0.0}, "spend_usd is 0.0"),
        ({"spend_usd": math.nan}, "spend_usd is nan"),
        ({"spend_usd": 1.0, "cap_usd": -1.0}, "cap_usd is -1.0"),
        ({"spend_usd": 1.0, "carry": 0.0}, "carry is 0.0"),
        ({"spend_usd": 1.0, "start": math.inf}, "start is inf"),
    ],
)
def test_what_makes_no_sense_is_refused(settings_: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Pacer(**settings_)  # type: ignore[arg-type]


def test_a_cost_that_is_no_cost_is_refused() -> None:
    pacer = Pacer(1.0)
    each = pacer.decide(np.ones(1), np.ones(1))
    with pytest.raises(ConfigError, match="cost_usd is -1"):
        pacer.settle(each, -1.0)
    with pytest.raises(ConfigError, match=r"the spend is -1 USD"):
        PacingPolicy(-1)
