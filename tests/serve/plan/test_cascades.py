"""Which requests are asked of two models at once, and what is said of that."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equirouter.evaluation.train import train
from equirouter.policy.plans import Plans
from equirouter.policy.pool_plans import AgreementRule, PoolPlans
from equirouter.serve.chat import chat_request
from equirouter.serve.http.requests import messages_request, responses_request
from equirouter.serve.plan.cascades import cascade_note, may_cascade
from equirouter.serve.records import Cascaded, Pair, RequestControl, RequestRecord
from equirouter.serve.setting_types import CascadeSettings
from equirouter.serve.settings import LimitSettings
from tests.pipeline.test_stored_plans import measured
from tests.policy.plans_by_hand import by_signal
from tests.serve.pipelines import GatedEncoder
from tests.serve.planners import Planned, order
from tests.toys import make_table

RULE = PoolPlans("number@1", Plans(3), AgreementRule((0, 1), 2, 0.4))
ON = {"cascade": {"enabled": True}}
LIMITS = LimitSettings()
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALLED = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}


def saved(folder: Path, plans: PoolPlans | None) -> Path:
    GatedEncoder.gate.set()
    made = train(make_table(), GatedEncoder(), router="knn:k=5", quality=0.2, policy="utility")
    return replace(made, plans=plans).save(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("rule"), RULE)


@pytest.fixture(scope="module")
def planned(folder: Path) -> Planned:
    return Planned(folder, **ON)


def chat(**body: Any) -> Any:
    document = {"model": "equirouter/auto", "messages": [{"role": "user", "content": "3 + 4?"}]}
    return chat_request(document | body, LIMITS)


def response(**body: Any) -> Any:
    return responses_request({"model": "equirouter/auto", "input": "3 + 4?", **body}, LIMITS)


def message(**body: Any) -> Any:
    document = {"model": "equirouter/auto", "messages": [{"role": "user", "content": "3 + 4?"}]}
    return messages_request(document | {"max_tokens": 9} | body, LIMITS)


@pytest.mark.parametrize(
    "body",
    [
        {"n": 2},
        {"tools": [TOOL]},
        {"functions": [{"name": "f"}]},
        {"logprobs": True},
        {"store": True},
        {"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}},
        {"web_search_options": {}},
        {"response_format": {"type": "json_object"}},
        {"messages": [CALLED, {"role": "tool", "tool_call_id": "1", "content": "7"}]},
    ],
)
def test_what_cannot_be_compared_is_asked_once(body: dict[str, Any]) -> None:
    assert not may_cascade(chat(**body), "number@1")


def test_what_can_be_compared() -> None:
    assert may_cascade(chat(), "number@1")
    assert may_cascade(chat(n=1, stream=True, store=False, logprobs=False, tools=[]), "number@1")
    assert may_cascade(chat(response_format={"type": "json_object"}), "json:/answer@1")
    assert may_cascade(response(), "number@1")
    assert may_cascade(response(include=["reasoning.encrypted_content"]), "number@1")
    assert not may_cascade(response(include=["message.output_text.logprobs"]), "number@1")
    assert not may_cascade(response(tools=[{"type": "web_search"}]), "number@1")
    assert not may_cascade(response(prompt={"id": "p"}), "number@1")
    assert may_cascade(message(), "number@1")
    assert may_cascade(message(thinking={"type": "enabled", "budget_tokens": 9}), "number@1")
    assert not may_cascade(message(tools=[{"name": "f", "input_schema": {}}]), "number@1")
    assert not may_cascade(message(mcp_servers=[{"url": "u"}]), "number@1")
    form = {"type": "json_schema", "schema": {}}
    assert not may_cascade(message(output_config={"format": form}), "number@1")
    assert may_cascade(message(output_config={"format": form}), "json:/answer@1")
    used = [{"type": "tool_result", "tool_use_id": "1", "content": "7"}]
    assert not may_cascade(message(messages=[{"role": "user", "content": used}]), "number@1")


def test_two_are_asked_where_the_pipelines_plans_say_so(planned: Planned) -> None:
    plan = planned.plan()
    costs = plan.predicted_costs_usd
    expected = costs["small"] + costs["middle"] + 0.4 * costs["large"]
    assert plan.pair is not None
    assert plan.pair.expected_cost_usd == pytest.approx(expected)
    cost = plan.pair.expected_cost_usd
    assert plan.pair == Pair(("small", "middle"), cost, 0.4, False, "number@1")
    assert plan.decided_by == "cascade"
    assert plan.first_nusd == sum(
        one.upper_nusd for one in plan.candidates if one.model in ("small", "middle")
    )


@pytest.mark.parametrize(
    ("control", "body", "off"),
    [
        (RequestControl(cascade=False), {}, {}),
        (RequestControl(budget_usd=1.0), {}, {}),
        (RequestControl(), {"n": 2}, {}),
        (RequestControl(), {}, {"cascade": {"enabled": False}}),
    ],
)
def test_else_a_plan_is_as_if_there_were_no_cascades(
    folder: Path, control: RequestControl, body: dict[str, Any], off: dict[str, Any]
) -> None:
    plain = Planned(folder).plan(control=replace(control, cascade=True), **body)
    plan = Planned(folder, **(off or ON)).plan(control=control, **body)
    assert plan.pair is None
    here = {"decision_ms": 0.0, "session": None}  # a hash under another key
    assert replace(plan, **here) == replace(plain, **here)  # type: ignore[arg-type]


def test_a_pair_of_which_one_may_not_answer_is_not_asked(planned: Planned) -> None:
    plan = planned.plan(control=RequestControl(exclude=frozenset({"middle"})))
    assert plan.pair is None
    assert order(plan)[0] == "large"  # who is asked where two do not agree


def test_a_query_unlike_all_others_is_asked_once(planned: Planned) -> None:
    plan = planned.plan("qwertz asdf yxcv")
    assert plan.far
    assert plan.pair is None


def turns(*said: str) -> Sequence[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": text} for place, text in enumerate(said)]


def test_a_conversation_that_stays_is_asked_once(folder: Path) -> None:
    planned = Planned(folder, **ON)
    first = planned.plan()
    assert first.pair is not None
    best = order(first)[0]
    later = turns("easy task1 query", "7", "easy task1 query")
    planned.served(first, best)
    assert planned.plan(messages=later).pair is None
    # a question that is asked again is no further turn
    assert planned.plan().pair is not None
    routed = Planned(folder, **ON, sessions={"switch_cost": "none"})
    routed.served(routed.plan(), best)
    assert routed.plan(messages=later).pair is not None


def test_the_model_of_a_conversation_is_the_one_that_was_served(folder: Path) -> None:
    planned = Planned(folder, **ON, sessions={"switch_cost": "always-stay"})
    planned.served(planned.plan(), "middle")
    later = planned.plan(messages=turns("easy task1 query", "7", "hard task2 query"))
    assert (order(later)[0], later.decided_by, later.pair) == ("middle", "session", None)


def test_a_mean_spend_is_told_of_the_sum(folder: Path) -> None:
    planned = Planned(folder, **ON, pipeline={"spend_usd": 0.001})
    plan = planned.plan()
    assert plan.pair is not None
    planned.planner.finished(
        RequestRecord("r", 0.0, "chat.completions", "auto", plan=plan, cost_nusd=3_000_000)
    )
    status = planned.planner.status()
    assert status is not None
    assert status["pacing"]["mean_usd"] == pytest.approx(0.003)  # type: ignore[index]


def test_what_is_said_of_settings_and_plans() -> None:
    on = CascadeSettings(enabled=True)
    assert cascade_note(on, RULE) == (
        "cascade: final answers are read by number@1. What has none, such as free text, cannot be "
        "compared: send it with cascade = false, or train with a judge",
        True,
    )
    for plans, says in (
        (None, "has no plans"),
        (measured("routing"), "never pay"),
        (replace(RULE, extractor=None), "cascade.extractor"),
    ):
        note, is_used = cascade_note(on, plans)
        assert says in note
        assert not is_used
    assert cascade_note(CascadeSettings(extractor="label"), replace(RULE, extractor=None))[1]


def test_signals_that_plans_and_checks_do_not_share_are_said() -> None:
    on = CascadeSettings(enabled=True)
    judged = replace(RULE, learned=by_signal("judge"))
    note, is_right = cascade_note(on, judged)
    assert "learned with signals that no check gives here: judge." in note
    assert not is_right
    note, is_right = cascade_note(on, judged, ["judge"])
    assert note.endswith("number@1. A judge scores the replies")
    assert is_right
    note, is_right = cascade_note(on, judged, ["judge", "json"])
    assert "The plans know nothing of json, so" in note
    assert not is_right
    note, is_right = cascade_note(on, judged, ["judge"], ["judge"])
    assert "judge never asks its model" in note
    assert "A judge scores" not in note
    assert not is_right


def test_an_unknown_extractor_is_an_error() -> None:
    with pytest.raises(ValueError, match="'colour' is not an answer extractor"):
        CascadeSettings(extractor="colour")


@pytest.mark.parametrize(("drift", "said"), [("accepted", "more"), ("escalated", "fewer")])
def test_an_alarm_comes_where_agreement_is_not_as_it_was(
    folder: Path, drift: str, said: str
) -> None:
    settings = {"false_alarm_every": 1000, "minimum": 20, "window": 60}
    planned = Planned(folder, **ON, collapse=settings)
    plan = planned.plan()

    def served(ended: Any, n: int) -> str | None:
        how = Cascaded(("small", "middle"), "agree", ended, 1.0)
        for _ in range(n):
            planned.planner.finished(
                RequestRecord("r", 0.0, "chat.completions", "auto", plan=plan, cascade=how)
            )
        return planned.planner.agreement.state().drifts

    for _ in range(30):  # as when the plans were learned: 0.6 of the pairs are accepted
        served("accepted", 3)
        assert served("escalated", 2) is None
    assert served(drift, 60) == said
    state = planned.planner.agreement.state()
    assert state.expected == pytest.approx(0.6)
    assert (state.share > 0.7) == (said == "more")
    assert (state.share < 0.4) == (said == "fewer")
