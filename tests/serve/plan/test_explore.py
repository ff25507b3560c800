"""Exploration: who is drawn how often, who never is, and what a day may cost."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from equirouter.serve.chat import ChatRequest
from equirouter.serve.learning_settings import ExploreSettings
from equirouter.serve.plan.explore import Explorer
from equirouter.serve.records import Candidate, Key, Pair, Plan, RequestControl, RequestRecord
from tests.serve.tills import filled_limit

CHAT = ChatRequest({}, "equirouter/auto", [{"role": "user", "content": "Hi"}])
NO_CONTROL = RequestControl()


def ranked(*models: str, decided_by: Any = "policy", **changes: Any) -> Plan:
    return Plan(tuple(Candidate(name, 1000) for name in models), decided_by, **changes)


def explorer(draws: Sequence[float], **settings: Any) -> Explorer:
    numbers = itertools.cycle(draws)
    made = ExploreSettings(**{"share": 0.13, **settings})
    limit = filled_limit(made.limit_usd_per_day)
    return Explorer(made, limit, draw=lambda: next(numbers))


def over(plan: Plan, cost_nusd: int | None) -> RequestRecord:
    return RequestRecord("r", 0.0, "chat.completions", "auto", plan=plan, cost_nusd=cost_nusd)


def test_the_chance_of_a_model_falls_with_its_rank() -> None:
    # 1/2 + 1/3 + 1/4 = 13/12, so that 0.13 is shared as 0.06, 0.04 and 0.03
    made = explorer((0.05, 0.09, 0.12, 0.131))
    plans = [made.drawn(ranked("a", "b", "c", "d"), CHAT, NO_CONTROL, None) for _ in range(4)]
    assert [plan.candidates[0].model for plan in plans] == ["b", "c", "d", "a"]
    assert [plan.decided_by for plan in plans] == ["explore"] * 3 + ["policy"]
    for plan in plans:
        assert plan.chances == pytest.approx({"a": 0.87, "b": 0.06, "c": 0.04, "d": 0.03})
    assert [one.model for one in plans[1].candidates] == ["c", "a", "b", "d"]
    again = made.withdrawn(plans[1])
    assert (again.decided_by, again.chances) == ("policy", {})
    assert again.candidates[0].model == "a"


TOOLS = ChatRequest({}, "equirouter/auto", CHAT.messages, needs=frozenset({"tools"}))
GOES_ON = ChatRequest(
    {},
    "equirouter/auto",
    [*CHAT.messages, {"role": "assistant", "content": "Yes?"}, *CHAT.messages],
)


@pytest.mark.parametrize(
    ("plan", "chat", "control", "settings"),
    [
        (ranked("a", "b", decided_by="named"), CHAT, NO_CONTROL, {}),
        (ranked("a", "b", decided_by="session"), CHAT, NO_CONTROL, {}),
        (
            ranked("a", "b", decided_by="cascade", pair=Pair(("a", "b"), 0.1, None, True, "x")),
            CHAT,
            NO_CONTROL,
            {},
        ),
        (ranked("a", "b", fits=False), CHAT, NO_CONTROL, {}),
        (ranked("a"), CHAT, NO_CONTROL, {}),
        (ranked("a", "b"), TOOLS, NO_CONTROL, {}),
        (ranked("a", "b"), GOES_ON, NO_CONTROL, {}),
        (ranked("a", "b"), CHAT, RequestControl(explore=False), {}),
        (ranked("a", "b"), CHAT, NO_CONTROL, {"except_models": {"b"}}),
        (ranked("a", "b"), CHAT, NO_CONTROL, {"except_keys": {"mine"}}),
        (ranked("a", "b"), CHAT, NO_CONTROL, {"limit_usd_per_day": 0.0000009}),
    ],
)
def test_what_is_never_explored(plan: Plan, chat: ChatRequest, control: Any, settings: Any) -> None:
    made = explorer((0.0,), **settings)
    assert made.drawn(plan, chat, control, Key("1", "mine")) is plan


def test_a_day_costs_no_more_than_its_limit() -> None:
    made = explorer((0.0,), limit_usd_per_day=2.5e-6)  # 2,500 nano-USD, and a call 1,000 at most

    def goes_elsewhere() -> Plan | None:
        plan = made.drawn(ranked("a", "b"), CHAT, NO_CONTROL, None)
        return plan if plan.decided_by == "explore" else None

    first, second = goes_elsewhere(), goes_elsewhere()
    assert first is not None
    assert second is not None
    assert goes_elsewhere() is None  # 2,000 are reserved
    made.finished(over(first, 300))
    third = goes_elsewhere()  # 1,300
    assert third is not None
    made.withdrawn(second)
    made.finished(over(third, 1000))  # 1,300 spent
    made.finished(over(ranked("a"), 10_000))  # nobody's doing here
    assert goes_elsewhere() is not None
    assert goes_elsewhere() is None
