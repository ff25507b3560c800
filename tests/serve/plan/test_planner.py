"""Who may answer a request, best first: constraints, budget, session, and a router that fails."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equirouter.errors import GatewayError
from equirouter.policy import ModelFacts
from equirouter.serve.http.requests import responses_request
from equirouter.serve.records import Key, Plan, Removal, RequestControl
from equirouter.serve.settings import LimitSettings
from tests.pipeline.sealed import change_description
from tests.serve.pipelines import GatedEncoder, save_pipeline
from tests.serve.planners import Planned, order, uppers

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,ZWFzeQ=="}}
PNG_AWAY = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = {"small": ModelFacts(abilities=frozenset({"json"}))}
    return save_pipeline(tmp_path_factory.mktemp("pipeline"), model_facts=facts)


@pytest.fixture(scope="module")
def planned(folder: Path) -> Planned:
    return Planned(folder)


def said(role: str, content: Any = "text", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_the_plan_is_the_decision_of_the_pipeline(planned: Planned) -> None:
    controls: tuple[tuple[RequestControl, dict[str, Any]], ...] = (
        (RequestControl(), {}),
        (RequestControl(lambda_=50.0), {"lambda_": 50.0}),
        (RequestControl(quality=0.5), {"quality": 0.5}),
    )
    for control, asked in controls:
        plan = planned.plan("hard task2 query", control)
        decision = planned.loaded.pipeline.decide("hard task2 query", **asked)
        assert order(plan) == [decision.model, *decision.fallbacks]
        assert (plan.setting, plan.value) == (decision.setting, decision.value)
        assert (plan.scores, plan.predicted_costs_usd) == (
            decision.scores,
            decision.predicted_costs_usd,
        )
        assert (plan.decided_by, plan.removed, plan.fits) == ("policy", {}, True)
        assert (plan.confidence, plan.far) == (decision.confidence, decision.far)
        assert plan.confidence is not None
        assert plan.pipeline == planned.loaded.id
        assert plan.decision_ms > 0


def test_a_named_model_has_a_plan_of_its_own(planned: Planned) -> None:
    plan = planned.plan(model="extra", max_tokens=500, n=2)
    # 1,000 tokens of answers at 5 USD per million, and the prompt
    assert order(plan) == ["extra"]
    assert uppers(plan)["extra"] == 1000 * 5000 + plan.prompt_tokens * 5000
    assert (plan.decided_by, plan.setting, plan.max_output_tokens) == ("named", None, 1000)


@pytest.mark.parametrize(
    ("body", "control", "key", "status", "says"),
    [
        (
            {"model": "huge"},
            RequestControl(),
            None,
            404,
            "no model 'huge'; the models are small, middle",
        ),
        ({"model": "auto"}, RequestControl(), None, 404, "equirouter/auto decides"),
        (
            {"model": "large"},
            RequestControl(),
            Key("k", "k", models=frozenset({"small"})),
            403,
            "large",
        ),
        ({}, RequestControl(exclude=frozenset({"larg"})), None, 400, "exclude: no model larg"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    planned: Planned,
    body: dict[str, Any],
    control: RequestControl,
    key: Key | None,
    status: int,
    says: str,
) -> None:
    with pytest.raises(GatewayError, match=says) as refused:
        planned.plan("query", control, key=key, **body)
    assert refused.value.status == status


def test_a_quality_that_no_other_point_keeps_goes_to_the_strongest(tmp_path: Path) -> None:
    planned = Planned(save_pipeline(tmp_path, confidence=0.95))
    plan = planned.plan(control=RequestControl(quality=1.0))
    assert (plan.setting, order(plan)[0], plan.expected_share) == ("strongest", "large", 1.0)


def test_a_pipeline_after_less_collapse_is_served(tmp_path: Path) -> None:
    planned = Planned(save_pipeline(tmp_path, router="factors", policy="less-collapse"))
    for text in ("easy task1 query", "hard task1 query"):
        plan, alone = planned.plan(text), planned.loaded.pipeline.decide(text)
        assert (plan.setting, plan.value) == ("collapse_price", alone.value)
        assert order(plan) == [alone.model, *alone.fallbacks]
        assert plan.expected_share is not None
    only = planned.plan(control=RequestControl(lambda_=1e6))
    assert (only.setting, order(only)[0]) == ("lambda", "small")


def test_without_a_pipeline_only_named_models_are_served() -> None:
    planned = Planned(None)
    assert order(planned.plan(model="small")) == ["small"]
    assert planned.planner.strongest is None
    with pytest.raises(GatewayError, match=r"needs a pipeline.*pipeline\.path") as refused:
        planned.plan()
    assert refused.value.status == 404


def constrained(folder: Path) -> Planned:
    return Planned(
        folder,
        upstreams={
            "there": {"region": "us"},
            "here": {"base_url": "https://here.example/v1", "region": "eu"},
        },
        models={
            "large": {"upstream": "here", "abilities": ["vision", "tools", "json"]},
            "middle": {"context_tokens": 2000, "abilities": ["tools"]},
        },
    )


@pytest.mark.parametrize(
    ("body", "removed"),
    [
        ({}, {}),
        ({"tools": TOOLS}, {"small": "abilities: no tools"}),  # as the pipeline knows
        (
            {"messages": [said("user", [PNG_AWAY, {"type": "text", "text": "What?"}])]},
            {"small": "abilities: no vision", "middle": "abilities: no vision"},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            {"middle": "abilities: no json"},
        ),
        ({"max_tokens": 1990}, {"middle": "context: some 20"}),
        # counted high, 1.4 tokens a word; a real tokenizer makes one of it
        ({"messages": [said("user", "word " * 1900)]}, {}),
        ({"messages": [said("user", "word " * 2100)]}, {"middle": "context: some 2"}),
        ({"endpoint": "responses"}, {"large": "its upstream has no /v1/responses"}),
    ],
)
def test_constraints_remove_models_with_the_reason(
    folder: Path, body: dict[str, Any], removed: dict[str, str]
) -> None:
    planned = constrained(folder)
    plan = planned.plan(**body)
    assert set(plan.removed) == set(removed)
    assert all(plan.removed[name].text.startswith(reason) for name, reason in removed.items())
    assert not set(order(plan)) & set(removed)
    for name in removed:  # a request that names the model meets the same constraint
        alone = planned.plan(model=name, **body)
        assert (order(alone), dict(alone.removed)) == ([], {name: plan.removed[name]})


@pytest.mark.parametrize("given", [{}, {"abilities": ["tools"]}, {"known_parameters": False}])
def test_the_package_knows_what_usual_models_lack(folder: Path, given: dict[str, Any]) -> None:
    planned = Planned(folder, models={"middle": {"upstream_model": "o1-mini", **given}})
    lacks = {} if given else {"middle": "abilities: no tools"}
    removed = planned.plan(tools=TOOLS).removed
    assert {name: removal.text for name, removal in removed.items() if name != "small"} == lacks


def test_regions_keys_exclusion_and_health_remove_too(folder: Path) -> None:
    key = Key("k", "k", models=frozenset({"middle", "large"}))
    planned = Planned(
        folder,
        upstreams={
            "there": {"region": "us"},
            "here": {"base_url": "https://here.example/v1", "region": "eu"},
        },
        models={"small": {"upstream": "here"}, "middle": {"upstream": "here"}},
        limits={"regions": ["eu"]},
    )
    assert planned.plan().removed == {"large": Removal("region", "region: us, allowed eu")}
    assert planned.plan(key=key).removed["small"].text == "the key may not use it"
    assert order(planned.plan(control=RequestControl(exclude=frozenset({"small"})))) == ["middle"]
    planned.down["middle"] = "circuit open"
    plan = planned.plan(key=key)
    assert order(plan) == []
    assert plan.removed["middle"] == Removal("unavailable", "unavailable: circuit open")


def test_what_nobody_stated_of_a_model_does_not_rule_it_out(folder: Path) -> None:
    # of large neither abilities nor a context are known, of small the pipeline knows both
    planned = Planned(folder, models={"middle": {"abilities": []}})
    body: dict[str, Any] = {"messages": [said("user", [PNG_AWAY])], "tools": TOOLS}
    body["max_tokens"] = 100_000
    plan = planned.plan(**body)
    assert order(plan) == ["large"]
    assert set(plan.removed) == {"small", "middle"}
    assert order(planned.plan(model="large", **body)) == ["large"]


def test_regions_without_a_region_of_an_upstream_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"upstreams\.there: no region is set"):
        Planned(folder, limits={"regions": ["eu"]})


def test_the_budget_is_held_by_what_a_call_can_cost_at_most(planned: Planned) -> None:
    """A thousand tokens of answer: large may cost 0.01 USD and more, middle 0.001, small 0.0001."""
    plan = planned.plan("hard task1 query", RequestControl(budget_usd=0.002))
    assert set(plan.removed) == {"large"}
    assert plan.removed["large"].text.startswith("budget: it may cost up to 0.0102")
    assert plan.removed["large"].text.endswith("0.002 allowed")
    assert set(order(plan)) <= {"small", "middle"}
    assert (plan.setting, plan.value, plan.fits) == ("budget_usd", 0.002, True)
    # with a limit on the answer the most expensive fits as well
    short = planned.plan("hard task1 query", RequestControl(budget_usd=0.02), max_tokens=100)
    assert short.removed == {}


def test_when_nothing_fits_the_cheapest_answers_and_it_is_said(planned: Planned) -> None:
    plan = planned.plan("hard task1 query", RequestControl(budget_usd=1e-6))
    assert order(plan) == ["small"]
    assert not plan.fits
    assert set(plan.removed) == {"middle", "large"}
    assert plan.scores  # the router was asked all the same
    assert plan.class_ is None  # there was nothing to choose


def test_when_nothing_fits_and_the_rule_is_to_refuse_nobody_answers(folder: Path) -> None:
    planned = Planned(folder, pipeline={"when_nothing_fits": "refuse"})
    plan = planned.plan(control=RequestControl(budget_usd=1e-6))
    assert order(plan) == []
    assert all(removal.kind == "budget" for removal in plan.removed.values())
    assert set(plan.removed) == {"small", "middle", "large"}


def test_a_named_model_over_the_budget_does_not_answer(planned: Planned) -> None:
    plan = planned.plan(model="large", control=RequestControl(budget_usd=0.002))
    assert order(plan) == []
    assert plan.removed["large"].text.startswith("budget: it may cost up to")


def test_an_operating_point_that_nobody_fits_says_so(tmp_path: Path) -> None:
    def change(described: dict[str, Any]) -> None:
        calibration = described["policy"]["calibration"]
        calibration["points"] = [point * 1e-6 for point in calibration["points"]]

    change_description(save_pipeline(tmp_path, policy="budget"), change)
    planned = Planned(tmp_path, pipeline={"when_nothing_fits": "refuse"})
    plan = planned.plan("hard task1 query")
    assert order(plan) == []
    assert set(plan.removed) == {"small", "middle", "large"}
    assert all("expected to cost" in removal.text for removal in plan.removed.values())
    # the other rule lets the cheapest answer
    assert order(Planned(tmp_path).plan("hard task1 query")) == ["small"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.sampled_from(["easy task1 query", "hard task3 query", "words never seen " * 50]),
    budget=st.floats(1e-7, 0.05),
    limit=st.one_of(st.none(), st.integers(1, 5000)),
    n=st.integers(1, 4),
)
def test_no_candidate_is_ever_over_a_budget_that_some_model_is_within(
    planned: Planned, text: str, budget: float, limit: int | None, n: int
) -> None:
    body: dict[str, Any] = {} if limit is None else {"max_tokens": limit}
    plan = planned.plan(text, RequestControl(budget_usd=budget), n=n, **body)
    over = [name for name, upper in uppers(plan).items() if upper > budget * 1e9 + 1]
    assert not over if plan.fits else order(plan) == ["small"] == over


def test_a_longer_context_leaves_less_room_for_the_answer(folder: Path) -> None:
    planned = Planned(folder, models={"large": {"context_tokens": 1100}})
    plan = planned.plan("word " * 200, model="large")
    # 308 tokens are counted, and 215 of them likely
    assert (plan.prompt_tokens, plan.max_output_tokens) == (308, 1100 - 215)
    assert planned.plan("word", model="large").max_output_tokens == 1000


def test_what_is_written_to_a_cache_is_bound_by_the_price_of_that(folder: Path) -> None:
    price = {"input": 1.0, "output": 1.0, "cache_write": 1.25}
    planned = Planned(folder, models={"middle": {"price": price}})
    part = {"type": "text", "text": "word " * 100}
    plain, written = (
        planned.plan(model="middle", max_tokens=1, messages=[said("user", [{**part, **more}])])
        for more in ({}, {"cache_control": {"type": "ephemeral"}})
    )
    # nano-USD a token: 1,000 and 1,250; one token of answer
    assert uppers(plain)["middle"] == plain.prompt_tokens * 1000 + 1000
    assert uppers(written)["middle"] == written.prompt_tokens * 1250 + 1000


def test_each_model_counts_images_in_its_own_way(folder: Path) -> None:
    planned = Planned(folder, models={"large": {"image_tokens": 2500}})
    messages = [said("user", [PICTURE, PICTURE])]
    small, large = (planned.plan(model=name, messages=messages) for name in ("small", "large"))
    assert large.prompt_tokens - small.prompt_tokens == 2 * 900


def test_an_image_in_the_request_is_routed_on(planned: Planned) -> None:
    messages = [said("user", [PICTURE, {"type": "text", "text": "task1"}])]
    plan = planned.plan(messages=messages)
    assert plan.scores == planned.loaded.pipeline.decide("task1 easy").scores


TALK = [
    said("user", "easy task1 query 1"),
    said("assistant", "An answer"),
    said("user", "hard task3 query 2"),
]


@pytest.mark.parametrize("scope", ["last_user", "first_user", "conversation"])
def test_the_scope_says_what_is_routed_on(folder: Path, scope: str) -> None:
    planned = Planned(folder, pipeline={"scope": scope})
    read = {
        "last_user": "hard task3 query 2",
        "first_user": "easy task1 query 1",
        "conversation": "easy task1 query 1\n\nAn answer\n\nhard task3 query 2",
    }[scope]
    assert planned.plan(messages=TALK).scores == planned.loaded.pipeline.decide(read).scores


@pytest.mark.parametrize(
    ("rule", "first"), [("strongest", "large"), ("cheapest", "small"), ("refuse", None)]
)
def test_a_router_that_fails_is_counted_said_and_replaced_by_the_rule(
    folder: Path,
    rule: str,
    first: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    planned = Planned(folder, pipeline={"on_router_failure": rule})

    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(GatedEncoder, "embed", broken)
    caplog.set_level(logging.WARNING)
    if first is None:
        with pytest.raises(GatewayError, match="router failed") as refused:
            planned.plan()
        assert refused.value.status == 503
        assert "Retry-After" in refused.value.headers
    else:
        plan = planned.plan(control=RequestControl(exclude=frozenset({"middle"})))
        assert plan.decided_by == "router_failure"
        assert order(plan)[0] == first
        assert set(order(plan)) == {"small", "large"}  # never what a constraint removed
        over = planned.plan(control=RequestControl(budget_usd=0.002))
        assert set(order(over)) == {"small", "middle"}
        assert order(over)[0] == ("middle" if rule == "strongest" else "small")
    assert planned.metrics.failures == (1 if first is None else 2)
    assert "RuntimeError: out of memory" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        "",
        [PNG_AWAY],
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}],
    ],
)
def test_a_request_without_anything_to_read_goes_by_the_same_rule_and_raises_no_alarm(
    folder: Path, content: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    cheapest = "middle" if content else "small"  # which reads no images
    for rule, first in (("strongest", "large"), ("cheapest", cheapest)):
        planned = Planned(folder, pipeline={"on_router_failure": rule})
        plan = planned.plan(messages=[said("user", content)])
        assert (plan.decided_by, order(plan)[0]) == ("unreadable", first)
        assert planned.metrics.failures == 0
    strict = Planned(folder, pipeline={"on_router_failure": "refuse"})
    with pytest.raises(GatewayError, match="name a model") as refused:
        strict.plan(messages=[said("user", content)])
    assert refused.value.status == 400
    assert strict.metrics.failures == 0
    assert not caplog.records


def sessions(folder: Path, **settings: Any) -> Planned:
    return Planned(folder, sessions=settings)


def test_a_conversation_stays_where_a_switch_would_lose_the_cache(folder: Path) -> None:
    """At lambda 50 a hard query is worth the expensive model; 10,000 tokens later it is not."""
    control = RequestControl(lambda_=50.0)

    def talk(words: int) -> list[dict[str, Any]]:
        return [
            said("user", "easy task1 query"),
            said("assistant", "word " * words),
            said("user", "hard task3 query"),
        ]

    planned = sessions(folder)
    alone = planned.plan(control=control, messages=talk(10))
    assert order(alone)[0] == "large"
    first = planned.plan(control=control, messages=talk(10)[:1])
    cheap = order(first)[0]
    assert cheap != "large"
    planned.served(first)
    short = planned.plan(control=control, messages=talk(10))
    assert (short.decided_by, order(short)) == ("policy", order(alone))
    long = planned.plan(control=control, messages=talk(8_000))
    assert (long.decided_by, order(long)[0]) == ("session", cheap)
    assert sorted(order(long)) == sorted(order(alone))  # the others are the fallbacks
    assert (long.class_, long.confidence) == (None, None)  # it was no choice of the router's
    for rule, chosen in (("none", "large"), ("always-stay", cheap)):
        other = sessions(folder, switch_cost=rule)
        other.served(other.plan(control=control, messages=talk(10)[:1]))
        assert order(other.plan(control=control, messages=talk(8_000)))[0] == chosen
        assert order(other.plan(control=control, messages=talk(10)))[0] == chosen


def test_who_answered_is_remembered_not_who_was_chosen(folder: Path) -> None:
    planned = sessions(folder, switch_cost="always-stay")
    first = planned.plan(messages=TALK[:1])
    planned.served(first, order(first)[1])  # a fallback
    assert order(planned.plan(messages=TALK))[0] == order(first)[1]
    other_key = planned.plan(messages=TALK, key=Key("k", "k"))
    assert other_key.decided_by == "policy"
    named = planned.plan("anything", RequestControl(session="mine"))
    planned.served(named, "middle")
    assert order(planned.plan("other words", RequestControl(session="mine")))[0] == "middle"


def test_in_a_tool_loop_the_model_is_kept_unless_it_may_not_answer(folder: Path) -> None:
    planned = sessions(folder, switch_cost="none")
    call = said("assistant", None, tool_calls=[{"id": "1", "function": {"name": "f"}}])
    loop = [said("user", "easy task1 query"), call, said("tool", "result", tool_call_id="1")]
    planned.served(planned.plan(messages=loop[:1]), "large")
    kept = planned.plan(messages=loop)
    assert (kept.decided_by, order(kept)[0]) == ("session", "large")
    after = [*loop, said("assistant", "done"), said("user", "easy task1 query")]
    assert planned.plan(messages=after).decided_by == "policy"
    planned.down["large"] = "circuit open"
    assert "large" not in order(planned.plan(messages=loop))
    planned.down.clear()
    assert "large" not in order(
        planned.plan(control=RequestControl(budget_usd=0.002), messages=loop)
    )


def test_collapse_is_watched_where_all_models_could_be_chosen(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planned = Planned(folder, collapse={"minimum": 20, "false_alarm_every": 1000})
    # lambda 30 buys the expensive model for what is hard, a third of what calibration saw
    control = RequestControl(lambda_=30.0)
    expected = planned.loaded.expected_share("lambda", 30.0)
    plan = planned.plan("hard task3 query", control)
    assert (plan.class_, plan.expected_share) == ("lambda up to 50", expected)
    assert expected is not None
    assert expected < 0.7
    caplog.set_level(logging.INFO)
    for _ in range(60):
        plan = planned.plan("hard task3 query", control)
        planned.served(plan)
        planned.served(plan, endpoint="route")  # only asked, not answered: not counted
    state = planned.planner.collapse.state("lambda up to 50")
    assert (state.decisions, state.share, state.is_alarm) == (60, 1.0, True)
    assert planned.metrics.collapses["lambda up to 50"][2] is True
    assert "routing collapse, class lambda up to 50, alarm: large got 100 %" in caplog.text
    # where a constraint removed a model, calibration says nothing
    less = planned.plan(control=RequestControl(lambda_=30.0, exclude=frozenset({"small"})))
    assert (less.class_, less.expected_share) == ("lambda up to 50", None)


async def _reload(planned: Planned, folder: Path) -> None:
    assert planned.decider is not None
    await planned.decider.reload(folder)


def test_after_a_reload_the_new_pipeline_plans(folder: Path, tmp_path: Path) -> None:
    import asyncio

    planned = Planned(folder, collapse={"minimum": 20, "false_alarm_every": 1000})
    old = planned.plan("hard task3 query", RequestControl(lambda_=30.0))
    for _ in range(60):
        planned.served(old)
    assert planned.metrics.collapses["lambda up to 50"][2] is True
    save_pipeline(tmp_path, router="knn:k=3")
    asyncio.run(_reload(planned, tmp_path))
    new = planned.plan()
    assert planned.metrics.collapses["lambda up to 50"][2] is False  # it was about the old one
    assert new.pipeline == planned.loaded.id != old.pipeline
    assert not planned.planner.collapse.states()
    planned.served(old)  # finished late: it is no decision of this pipeline
    assert not planned.planner.collapse.states()
    assert planned.plan(tools=TOOLS).removed == {}  # this one knows nothing of abilities


PAID = Key("k", "k", budget_nusd=10**9)
STORED = {"previous_response_id": "resp_1"}
SEARCH = {"type": "web_search"}


def plan_of_response(planned: Planned, key: Key | None = PAID, **body: Any) -> Plan:
    """The plan of a request of the Responses API to the model extra."""
    chat = responses_request({"model": "extra", "input": "Hi", **body}, planned.settings.limits)
    return asyncio.run(planned.planner.plan(chat, RequestControl(), key))


def with_extra(**extra: Any) -> Planned:
    return Planned(None, models={"extra": extra})


@pytest.mark.parametrize(
    "reference",
    [
        STORED,
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [said("user", [{"type": "input_file", "file_id": "file-1"}])]},
        {"input": [said("user", [{"type": "input_file", "file_url": "https://e.org/a.pdf"}])]},
        {
            "input": [
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_file", "file_id": "file-1"}],
                }
            ]
        },
    ],
)
def test_what_the_provider_has_of_a_prompt_is_bounded_by_the_context_or_refused(
    reference: dict[str, Any],
) -> None:
    known = plan_of_response(with_extra(context_tokens=50_000), max_output_tokens=100, **reference)
    # 50,000 tokens of prompt and 100 of answer at 5 USD per million
    assert uppers(known) == {"extra": 50_100 * 5000}
    assert known.prompt_tokens == 50_000
    unknown = plan_of_response(with_extra(), **reference)
    assert unknown.candidates == ()
    assert unknown.removed["extra"].kind == "unbounded"
    assert "models.extra.context_tokens" in unknown.removed["extra"].text
    # nobody's budget relies on it, or the settings say to take the risk
    free = plan_of_response(with_extra(), None, **reference)
    assert order(free) == ["extra"]
    assert free.prompt_tokens < 100
    served = Planned(None, money={"unbounded": "serve"})
    assert order(plan_of_response(served, **reference)) == ["extra"]


def test_the_budget_of_a_request_relies_on_the_bound_too() -> None:
    chat = responses_request({"model": "extra", "input": "Hi", **STORED}, LimitSettings())
    control = RequestControl(budget_usd=10.0)
    plan = asyncio.run(with_extra().planner.plan(chat, control, None))
    assert plan.removed["extra"].kind == "unbounded"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"tools": [SEARCH]}, "tools of type web_search"),
        ({"tools": [{"type": "mcp"}, *TOOLS, SEARCH]}, "tools of type mcp, tools of type web_s"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"models": ["other/model"]}, "models"),
        ({"speed": "fast"}, "speed"),
    ],
)
def test_what_no_price_of_tokens_covers_is_refused_under_a_budget(
    body: dict[str, Any], names: str
) -> None:
    planned = with_extra(context_tokens=50_000)
    plan = planned.plan(model="extra", key=PAID, **body)
    assert plan.removed["extra"].kind == "unbounded"
    assert names in plan.removed["extra"].text
    assert order(planned.plan(model="extra", **body)) == ["extra"]
    assert order(planned.plan(model="extra", key=PAID, tools=TOOLS)) == ["extra"]


def test_tools_that_are_not_sent_as_such_are_the_affair_of_the_translation() -> None:
    upstream = {"base_url": "https://there.example/v1", "responses": False}
    planned = Planned(None, upstreams={"there": upstream})
    plan = plan_of_response(planned, tools=[SEARCH])  # which is dropped, and costs nothing
    assert "extra" not in plan.removed


TIERS = {"priority": {"input": 10.0, "output": 10.0}, "flex": {"input": 2.5, "output": 2.5}}


@pytest.mark.parametrize(
    ("tier", "nano_usd"),
    [(None, 5000), ("auto", 5000), ("priority", 10_000), ("flex", 5000), ("ultrafast", 10_000)],
)
def test_a_service_tier_is_reserved_for(tier: str | None, nano_usd: int) -> None:
    """A provider may serve any call at its standard price: flex reserves no less."""
    planned = with_extra(price={"input": 5.0, "output": 5.0, "service_tiers": TIERS})
    plan = planned.plan(model="extra", max_tokens=500, service_tier=tier)
    assert uppers(plan)["extra"] == (500 + plan.prompt_tokens) * nano_usd


def test_a_service_tier_without_a_price_is_refused_under_a_budget() -> None:
    planned = with_extra(price={"input": 5.0, "output": 5.0, "service_tiers": TIERS})
    for tier in (None, "auto", "default", "priority", "flex"):
        assert order(planned.plan(model="extra", key=PAID, service_tier=tier)) == ["extra"]
    plan = planned.plan(model="extra", key=PAID, service_tier="ultrafast")
    assert plan.removed["extra"].kind == "unbounded"
    assert "service tier 'ultrafast'" in plan.removed["extra"].text
    dropped = with_extra(drop=["service_tier"])
    assert order(dropped.plan(model="extra", key=PAID, service_tier="ultrafast")) == ["extra"]


def test_the_limit_of_an_answer_that_is_assumed_goes_with_the_call() -> None:
    planned = with_extra(context_tokens=2000, max_output_tokens=1500)

    def limits(text: str, **body: Any) -> tuple[int | None, int]:
        plan = planned.plan(text, model="extra", **body)
        return plan.candidates[0].answer_tokens, plan.max_output_tokens

    assert limits("Hi") == (1500, 1500)
    assert limits("Hi", n=3) == (1500, 4500)
    # what the request says goes with it anyway
    assert limits("Hi", max_tokens=10) == (None, 10)
    assert limits("Hi", max_tokens=None) == (1500, 1500)
    # where the context leaves less, the provider keeps to that by itself
    sent, counted = limits("8" * 1000)
    assert sent is None
    assert 1 < counted < 1500


def test_every_candidate_has_the_limit_of_its_own(planned: Planned) -> None:
    assert {candidate.answer_tokens for candidate in planned.plan().candidates} == {1000}
