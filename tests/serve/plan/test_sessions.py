"""Who answered a conversation last, and whether a switch pays."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.cost.prices import Price, Tier
from equirouter.pipeline.decision import Decision
from equirouter.serve.plan.sessions import (
    Sessions,
    history,
    is_tool_loop,
    stays,
    switch_cost_usd,
)
from equirouter.serve.records import Key, RequestControl
from equirouter.serve.settings import SessionSettings

NO_CONTROL = RequestControl()


def said(role: str, content: Any = "text", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


FIRST = [said("system", "Be brief."), said("user", "Hi")]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_conversation_is_known_by_its_beginning() -> None:
    sessions = Sessions(SessionSettings())
    first = sessions.id_of(FIRST, NO_CONTROL, None)
    later = [*FIRST, said("assistant", "Hello"), said("user", "More")]
    assert sessions.id_of(later, NO_CONTROL, None) == first
    same = [{"content": "Be brief.", "role": "system"}, FIRST[1]]
    assert sessions.id_of(same, NO_CONTROL, None) == first  # JSON objects have no order
    assert sessions.id_of([FIRST[0], said("user", "Ho")], NO_CONTROL, None) != first
    assert sessions.id_of([FIRST[1]], NO_CONTROL, None) != first
    key = Key("k1", "one")
    assert sessions.id_of(FIRST, NO_CONTROL, key) not in (first, None)
    assert Sessions(SessionSettings()).id_of(FIRST, NO_CONTROL, None) != first  # keyed


def test_a_session_that_is_named_counts_before_the_beginning() -> None:
    sessions = Sessions(SessionSettings())
    one = sessions.id_of(FIRST, RequestControl(session="one"), None)
    assert sessions.id_of([said("user", "Other")], RequestControl(session="one"), None) == one
    assert sessions.id_of(FIRST, RequestControl(session="two"), None) != one
    assert sessions.id_of(FIRST, NO_CONTROL, None) != one


def test_what_is_switched_off_remembers_nothing() -> None:
    off = Sessions(SessionSettings(enabled=False))
    assert off.id_of(FIRST, RequestControl(session="one"), None) is None
    named_only = Sessions(SessionSettings(detect=False))
    assert named_only.id_of(FIRST, NO_CONTROL, None) is None
    assert named_only.id_of(FIRST, RequestControl(session="one"), None) is not None
    assert off.model(None) is None


def test_sessions_end_after_their_time() -> None:
    clock = Clock()
    sessions = Sessions(SessionSettings(ttl_seconds=10), clock=clock)
    sessions.note("a", "small")
    clock.now = 9.9
    assert sessions.model("a") == "small"
    sessions.note("a", "large")  # used: its time begins again
    clock.now = 19.8
    assert sessions.model("a") == "large"
    clock.now = 19.9
    assert sessions.model("a") is None
    sessions.note("b", "small")
    assert len(sessions) == 1  # the dead one is gone


def test_no_more_are_kept_than_may_be_and_the_least_recently_used_go_first() -> None:
    sessions = Sessions(SessionSettings(max_sessions=2))
    for id_ in ("a", "b", "a", "c"):
        sessions.note(id_, id_)
    assert [sessions.model(id_) for id_ in "abc"] == ["a", None, "c"]


def test_a_model_that_waits_for_tools_is_in_a_loop() -> None:
    call = said("assistant", None, tool_calls=[{"id": "1"}])
    assert is_tool_loop([*FIRST, call, said("tool", tool_call_id="1")])
    assert is_tool_loop([*FIRST, call])
    assert is_tool_loop([*FIRST, call, said("function", name="f")])
    assert not is_tool_loop([*FIRST, call, said("tool"), said("assistant")])
    assert not is_tool_loop(FIRST)
    assert not is_tool_loop([])


def test_the_history_ends_with_the_last_answer() -> None:
    talk = [*FIRST, said("assistant"), said("user"), said("assistant"), said("user")]
    assert list(history(talk)) == talk[:5]
    assert list(history(FIRST)) == []


CHEAP, EXPENSIVE = Price(0.5, 1.5, 0.05), Price(10.0, 30.0, 1.0)


def test_what_a_switch_costs_by_hand() -> None:
    # 20,000 tokens anew at 10 USD per million, not from a cache at 0.05: 20,000 * 9.95e-6
    assert switch_cost_usd(20_000, CHEAP, EXPENSIVE) == pytest.approx(0.199)
    # 0.5 anew is less than 1.0 from the cache
    assert switch_cost_usd(20_000, EXPENSIVE, CHEAP) == 0.0
    # without a cached price the history costs the old model 3 all the same: 20,000 * 7e-6
    assert switch_cost_usd(20_000, Price(3.0, 9.0), EXPENSIVE) == pytest.approx(0.14)
    tiered = Price(1.0, 1.0, tiers=(Tier(10_000, Price(4.0, 4.0)),))
    assert switch_cost_usd(20_000, CHEAP, tiered) == pytest.approx(20_000 * 3.95e-6)
    assert switch_cost_usd(0, CHEAP, EXPENSIVE) == 0.0


def decision(setting: str = "lambda", value: float = 10.0, **numbers: tuple[float, float]) -> Any:
    """numbers: score and predicted cost by model; the first is the best."""
    best, *rest = numbers
    return Decision(
        model=best,
        predicted_cost_usd=numbers[best][1],
        setting=setting,
        value=value,
        fits=True,
        fallbacks=tuple(rest),
        scores={name: score for name, (score, _) in numbers.items()},
        predicted_costs_usd={name: cost for name, (_, cost) in numbers.items()},
        confidence=0.5,
        far=False,
    )


@pytest.mark.parametrize(("switch_usd", "is_kept"), [(0.0, False), (0.0099, False), (0.0101, True)])
def test_a_switch_must_bring_more_than_it_costs(switch_usd: float, is_kept: bool) -> None:
    # utility 0.9 - 10 * 0.02 = 0.7 against 0.65 - 10 * 0.005 = 0.6: a gain of 0.1, or 0.01 USD
    made = decision(large=(0.9, 0.02), small=(0.65, 0.005))
    assert stays(made, "small", lambda _: switch_usd, "cache") is is_kept


def test_the_other_rules() -> None:
    made = decision(large=(0.9, 0.02), small=(0.65, 0.005))
    assert not stays(made, "small", lambda _: 1e9, "none")
    assert stays(made, "small", lambda _: 0.0, "always-stay")
    assert not stays(made, "large", lambda _: 1e9, "cache")  # nothing to keep from
    budget = decision("budget_usd", 0.1, large=(0.9, 0.02), small=(0.65, 0.005))
    assert stays(budget, "small", lambda _: 0.0, "cache")


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 100),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_more_expensive_switch_is_never_made_where_a_cheaper_one_is_not(
    a: float, b: float, cost_a: float, cost_b: float, lambda_: float, usd: float, more: float
) -> None:
    made = decision(value=lambda_, best=(a, cost_a), last=(b, cost_b))
    if stays(made, "last", lambda _: usd, "cache"):
        assert stays(made, "last", lambda _: usd + more, "cache")
