"""Plans of more than one call: the first round, what follows it, and a replay of both."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from equirouter.arrays import FloatArray
from equirouter.data.cells import TextCells
from equirouter.errors import ConfigError
from equirouter.policy import UtilityPolicy
from equirouter.policy.plan import Action, AskColumn, PlanPolicy, State, Stop
from equirouter.policy.plans import Gains, Plans, more_features
from equirouter.policy.pool_plans import AgreementRule
from equirouter.policy.replies import Replies, Reply, features_of
from tests.policy.plans_by_hand import COSTS, SCORES, by_hand, by_signal
from tests.toys import make_answered_table

ROUTING = Plans(3)


def state(*asked: int, **replies: str | None) -> State:
    """replies: a="18" is the answer of column 0, b of column 1, c of column 2."""
    return State(asked, {"abc".index(k): Reply(v) for k, v in replies.items()}, SCORES, COSTS)


def test_the_first_round_is_the_pair_where_it_gains() -> None:
    action = PlanPolicy(by_hand()).first(SCORES, COSTS)
    assert action.columns == (0, 1)
    assert not action.final
    assert action.p_escalate == pytest.approx(0.25)
    assert action.expected_cost_usd == pytest.approx(0.01 + 0.02 + 0.3)


def test_without_a_gain_it_is_the_model_of_the_highest_utility() -> None:
    policy = PlanPolicy(by_hand(gain=-0.1), 1.0)  # 0.6 - 0.01, 0.5 - 0.02, 0.9 - 1
    assert policy.first(SCORES, COSTS) == Action((0,), True, 0.01, 0.0)


def test_a_pair_of_which_one_may_not_be_asked_is_not_asked() -> None:
    policy = PlanPolicy(by_hand())
    assert policy.first(SCORES, COSTS, np.array([True, False, True])).columns == (2,)
    assert policy.first(SCORES, COSTS, np.zeros(3, dtype=bool)).columns == ()


def test_two_that_agree_are_believed() -> None:
    stop = PlanPolicy(by_hand(), 0.2).then(state(0, 1, a="18", b="18"))
    assert isinstance(stop, Stop)
    assert stop.column == 0
    assert stop.support == pytest.approx(1 / (1 + np.exp(-2)))


def test_two_that_differ_are_not() -> None:
    policy = PlanPolicy(by_hand(), 0.2)
    assert policy.then(state(0, 1, a="18", b="17")) == AskColumn(2)  # 0.75 against 0.5
    assert policy.at(0.5).then(state(0, 1, a="18", b="17")) == Stop(0, 0.5)  # 0.45 against 0.5


def test_two_without_an_answer_do_not_agree() -> None:
    assert PlanPolicy(by_hand(), 0.2).then(state(0, 1, a="", b="")) == AskColumn(2)


def test_answers_that_are_not_known_count_for_nothing() -> None:
    assert PlanPolicy(by_hand(), 0.2).then(state(0, 1, a=None, b=None)) == AskColumn(2)


def test_of_three_the_supported_answer_is_served() -> None:
    policy = PlanPolicy(by_hand())
    served = policy.then(state(0, 1, 2, a="18", b="17", c="17"))
    assert isinstance(served, Stop)
    assert served.column == 1
    assert served.support == pytest.approx(1 / (1 + np.exp(-4)))
    assert policy.then(state(0, 1, 2, a="1", b="2", c="3")) == Stop(0, 0.5)


def test_no_model_is_asked_that_may_not_be() -> None:
    seen = replace(state(0, 1, a="18", b="17"), feasible=np.array([True, True, False]))
    assert PlanPolicy(by_hand()).then(seen) == Stop(0, 0.5)


def test_where_one_has_not_replied_the_other_stands_against_one_more() -> None:
    seen = state(0, 1, a="18")
    assert PlanPolicy(by_hand(), 0.2).then(seen) == AskColumn(2)  # 0.9 - 0.2 against 0.6
    assert PlanPolicy(by_hand(), 0.4).then(seen) == Stop(0, 0.6)  # 0.5 against 0.6
    twice = replace(seen, costs=2 * COSTS)
    assert PlanPolicy(by_hand(), 0.2).then(twice) == Stop(0, 0.6)  # 0.9 - 0.2 * 2 against 0.6
    assert PlanPolicy(by_hand(), 9.0).then(state(0, 1)) == AskColumn(2)
    with pytest.raises(ConfigError, match="no model has replied"):
        PlanPolicy(by_hand()).then(state(0, 1, 2))


def test_a_replay_by_hand() -> None:
    replies = Replies(
        answers=np.array([[0, 0, 1], [0, 1, 1], [0, 1, 2]]),
        answered=np.ones((3, 3)),
        tokens=np.full((3, 3), np.nan),
        lengths=np.full((3, 3), np.nan),
    )
    many = np.tile(SCORES, (3, 1)), np.tile(COSTS, (3, 1))
    paid = np.tile([0.1, 0.2, 2.0], (3, 1))
    made = PlanPolicy(by_hand()).replay(*many, np.array([0.5, 0.2]), replies, paid)
    assert made.served.tolist() == [[0, 0], [0, 1], [0, 0]]
    assert made.calls.tolist() == [[2, 2], [2, 3], [2, 3]]
    assert made.rounds.tolist() == [[1, 1], [1, 2], [1, 2]]
    np.testing.assert_allclose(made.cost_usd, [[0.3, 0.3], [0.3, 2.3], [0.3, 2.3]])


CHECKS_USD = np.array([0.001, 0.002, 0.5])
"""What a judge costs of a reply of each model, on average."""


def test_the_price_of_a_judge_counts_in_what_is_expected_and_in_whether_to_ask() -> None:
    policy = PlanPolicy(replace(by_hand(), check_usd=CHECKS_USD), 0.2)
    action = policy.first(SCORES, COSTS)
    # two calls, what judges say of them, and one more call, for which the gains have a judge too
    assert action.expected_cost_usd == pytest.approx(0.01 + 0.02 + 0.001 + 0.002 + 0.3)
    differ = state(0, 1, a="18", b="17")
    assert policy.then(differ) == AskColumn(2)  # 0.95 - 0.2 * 1.5 against 0.5
    assert policy.at(0.4).then(differ) == Stop(0, 0.5)  # 0.35; without a judge 0.55
    one = PlanPolicy(replace(by_hand(gain=-0.1), check_usd=CHECKS_USD), 1.0)
    assert one.first(SCORES, COSTS).expected_cost_usd == 0.01  # one model alone is not judged


def test_a_replay_pays_the_judges_of_what_it_asks() -> None:
    signals = {
        "judge": np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [np.nan, 0.0, 1.0]]),
        "judge.cost_usd": np.array([[0.03, 0.04, 0.5], [0.03, 0.04, 0.5], [np.nan, 0.04, 0.5]]),
    }
    unknown = np.full((3, 3), np.nan)
    replies = Replies(np.full((3, 3), -1), unknown, unknown, unknown, signals=signals)
    assert replies.signal_names == ("judge",)
    plans = replace(by_signal("judge"), check_usd=CHECKS_USD)
    many = np.tile(SCORES, (3, 1)), np.tile(COSTS, (3, 1))
    paid = np.tile([0.1, 0.2, 2.0], (3, 1))
    made = PlanPolicy(plans).replay(*many, np.array([0.2]), replies, paid)
    # the first of the first query is right with 0.88 against 0.95 - 0.2 * 1.5
    assert made.asked[:, 0].tolist() == [[0, 1, -1], [0, 1, 2], [0, 1, 2]]
    expected = [0.3 + 0.07, 2.3 + 0.57, 2.3 + 0.54]  # nobody judges the first of the third query
    np.testing.assert_allclose(made.cost_usd[:, 0], expected)


def test_signals_of_a_judge_that_is_too_expensive_are_not_known() -> None:
    signals = {
        "judge": np.array([[1.0, 0.5, 0.0]]),
        "judge.cost_usd": np.array([[0.05, 0.051, np.nan]]),
        "free": np.array([[1.0, 1.0, 1.0]]),
    }
    replies = replace(Replies.unknown(1, 3), signals=signals).affordable(np.array([1.0]))
    np.testing.assert_array_equal(replies.signals["judge"], [[1.0, np.nan, 0.0]])
    np.testing.assert_array_equal(replies.check_usd(["judge", "free"]), [[0.05, 0.0, 0.0]])
    np.testing.assert_array_equal(replies.signals["free"], [[1.0, 1.0, 1.0]])


SMALL = arrays.arrays(np.float64, (4, 3), elements=st.floats(0, 1, width=16))


@given(scores=SMALL, costs=SMALL, lambda_=st.floats(0, 100))
def test_without_a_pair_it_is_the_utility_policy(
    scores: FloatArray, costs: FloatArray, lambda_: float
) -> None:
    policy, usual = PlanPolicy(ROUTING, lambda_), UtilityPolicy(lambda_)
    chosen = usual.choose(scores, costs)
    for row, column in enumerate(chosen.tolist()):
        action = policy.first(scores[row], costs[row])
        assert (action.columns, action.final) == ((column,), True)
    nothing = Replies.unknown(4, 3)
    made = policy.replay(scores, costs, np.array([lambda_]), nothing, costs)
    np.testing.assert_array_equal(
        made.served[:, 0], usual.sweep(scores, costs, np.array([lambda_]))[:, 0]
    )
    np.testing.assert_array_equal(made.calls, 1)


@given(
    scores=SMALL,
    costs=SMALL,
    answers=arrays.arrays(np.int64, (4, 3), elements=st.integers(-1, 2)),
    lambda_=st.floats(0, 20),
)
def test_a_replay_is_what_the_rounds_do(
    scores: FloatArray, costs: FloatArray, answers: FloatArray, lambda_: float
) -> None:
    texts = np.array(["", "x", "yy", None], dtype=object)[answers]
    policy = PlanPolicy(by_hand(), lambda_)
    for row in range(4):
        replies = {column: Reply(texts[row, column], 5.0) for column in range(3)}
        whole = Replies.of_query(3, replies)
        one = slice(row, row + 1)
        made = policy.replay(scores[one], costs[one], np.array([lambda_]), whole, costs[one])
        asked = policy.first(scores[row], costs[row]).columns
        step: Stop | AskColumn = AskColumn(asked[0])
        while isinstance(step, AskColumn):
            seen = {column: replies[column] for column in asked}
            step = policy.then(State(asked, seen, scores[row], costs[row]))
            if isinstance(step, AskColumn):
                asked = (*asked, step.column)
        assert (made.served[0, 0], made.calls[0, 0]) == (step.column, len(asked))
        assert made.cost_usd[0, 0] == pytest.approx(costs[row, list(asked)].sum())


@given(lambda_=st.floats(0, 100), level=arrays.arrays(np.float64, 4, elements=st.floats(-1, 1)))
def test_gains_between_two_prices_are_between_those_of_the_two(
    lambda_: float, level: FloatArray
) -> None:
    lambdas = np.array([50.0, 5.0, 0.5, 0.0])
    gains = Gains(lambdas, np.zeros((3, 1, 4, 1)), np.tile(level, (3, 1, 1)))
    value = gains.at(lambda_, np.zeros((1, 1)))[0, 0, 0]
    above = np.flatnonzero(lambdas >= lambda_)
    around = level[[max(0, len(above) - 1), min(3, len(above))]]
    if lambda_ in lambdas.tolist():
        assert value == pytest.approx(level[lambdas.tolist().index(lambda_)])
    assert around.min() - 1e-12 <= value <= around.max() + 1e-12


def test_a_gain_between_two_prices_is_told_by_the_logarithm() -> None:
    gains = Gains(np.array([100.0, 1.0, 0.0]), np.zeros((3, 1, 3, 1)), np.zeros((3, 1, 3)))
    gains.level[:, 0] = [1.0, 0.0, 4.0]
    at = [gains.at(price, np.zeros((1, 1)))[0, 0, 0] for price in (1e9, 100**0.75, 0.25)]
    assert at == pytest.approx([1.0, 0.75, 3.0])  # below the last price above 0: as the price falls


def test_there_is_no_fourth_call() -> None:
    policy = PlanPolicy(replace(by_hand(), n_models=4))
    seen = state(0, 1, 2, a="1", b="2", c="3")
    four = replace(seen, scores=np.append(SCORES, 0.99), costs=np.append(COSTS, 0.0))
    assert policy.then(four) == Stop(0, 0.5)


def test_features_of_one_more_model() -> None:
    seen = features_of((0, 1), np.array([[2.0, 3.0, 5.0]]), of_texts("18", "18"))
    np.testing.assert_array_equal(more_features(seen, np.array([5.0]))[0, -2:], [5, 5])
    seen = features_of((0, 1), np.array([[2.0, 3.0, 5.0]]), of_texts("18", "17"))
    np.testing.assert_array_equal(more_features(seen, np.array([5.0]))[0, -2:], [5, 0])


def of_texts(*answers: str) -> Replies:
    return Replies.of_query(3, {column: Reply(text) for column, text in enumerate(answers)})


def test_features_of_two_replies() -> None:
    replies = Replies.of_query(2, {0: Reply("18", 9.0), 1: Reply("18")})
    odds = np.array([[0.5, -0.5]])
    size = np.log1p(2)
    expected = [0.5, -0.5, 1, 1, np.log1p(9), np.nan, size, size, 1, 0.5, -0.5]
    np.testing.assert_allclose(features_of((0, 1), odds, replies)[0], expected)


RULE = AgreementRule((0, 1), 2)


def test_the_rule_costs_both_and_the_third_as_often_as_they_differ() -> None:
    action = RULE._replace(escalates=0.25).first(COSTS)
    assert action.expected_cost_usd == pytest.approx(COSTS[0] + COSTS[1] + 0.25 * COSTS[2])
    assert (action.columns, action.p_escalate) == ((0, 1), 0.25)


def test_the_agreement_rule() -> None:
    assert RULE.first(COSTS).columns == (0, 1)
    assert RULE.then(state(0, 1, a="18", b="18"))[0] == 0
    for differ in (state(0, 1, a="18", b="17"), state(0, 1, a="", b=""), state(0, 1, a="18")):
        assert RULE.then(differ) == AskColumn(2)
    assert RULE.then(state(0, 1, 2, a="18", b="17", c="16"))[0] == 2
    assert RULE.then(state(0, 1, 2, b="17"))[0] == 1


def test_a_replay_of_the_agreement_rule() -> None:
    answers = np.array([[0, 0, 1], [0, 1, 1], [-1, -1, 0]])
    replies = Replies(answers, np.ones((3, 3)), *(np.full((3, 3), np.nan),) * 2)
    made = RULE.replay(replies, np.tile([0.1, 0.2, 2.0], (3, 1)))
    assert made.served[:, 0].tolist() == [0, 2, 2]
    assert made.calls[:, 0].tolist() == [2, 3, 3]
    np.testing.assert_allclose(made.cost_usd[:, 0], [0.3, 2.3, 2.3])


def test_a_reply_that_was_cut_is_served_only_where_no_other_is() -> None:
    policy = PlanPolicy(by_hand(), 0.5)
    cut, plain = Reply("18", usable=False), Reply("17")
    differ = state(0, 1, a="18", b="17")
    assert policy.then(differ) == Stop(0, 0.5)
    stop = policy.then(replace(differ, replies={0: cut, 1: plain}))
    assert isinstance(stop, Stop)
    assert stop.column == 1
    both = replace(differ, replies={0: cut, 1: cut})
    assert policy.at(0.9).then(both) == AskColumn(2)  # at this price an answer would be accepted
    alone = replace(both, feasible=np.array([True, True, False]))
    assert policy.at(0.9).then(alone) == Stop(0, 0.0)  # the least performance
    assert RULE.then(state(0, 1, a="18", b="18")) != AskColumn(2)
    assert RULE.then(both) == AskColumn(2)
    third = State((0, 1, 2), {0: cut, 1: plain, 2: cut}, SCORES, COSTS)
    assert RULE.then(third)[0] == policy.then(third)[0] == 1


def test_the_finish_reason_of_a_table_says_what_is_usable() -> None:
    table = replace(
        make_answered_table(3),
        finish_reasons=TextCells.of([["stop", "length", None], ["refusal"] * 3, [None] * 3]),
    )
    replies = Replies.of_table(table, np.array([0, 1, 2]))
    assert replies.usable is not None
    assert replies.usable.tolist() == [[True, False, True], [False] * 3, [True] * 3]
    assert replies.answered.tolist() == [[1, 0, 1], [0, 0, 0], [1, 1, 1]]
    assert replies.equal(0, 1)[1] == 0
    taken = replies.take(np.array([1]))
    assert taken.usable is not None
    assert not taken.usable.any()


def test_signals_are_features_and_unknown_ones_take_no_part() -> None:
    replies = Replies.of_query(2, {0: Reply("18", signals={"sure": 0.25}), 1: Reply("18")})
    seen = features_of((0, 1), np.zeros((1, 2)), replies, ("other", "sure"))[0]
    np.testing.assert_array_equal(seen[8:12], [np.nan, np.nan, 0.25, np.nan])
    assert len(seen) == 11 + 4
