"""Parameters as each model takes them: dropped, renamed, set, by settings and by the table."""

import asyncio
import copy
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from equirouter.policy.constraints import ABILITIES
from equirouter.serve.call.parameters import Fitting, fitting, has, shipped_rules, without
from equirouter.serve.settings import ModelSettings
from tests.serve.gateways import running, settings_for

URL = "https://there.example/v1"


def fitted(name: str, url: str = URL, **model: Any) -> Fitting:
    """Of a model that the upstream knows by that name."""
    changes = {"a": {"upstream_model": name, **model}}
    return fitting("a", settings_for(url, models=changes))


def test_a_system_prompt_stands_before_the_instructions_of_the_request() -> None:
    given = fitted("mine", system_prompt="Be brief.")
    system, asked = {"role": "system", "content": "Rhyme."}, {"role": "user", "content": "why?"}
    ours = {"role": "system", "content": "Be brief."}
    assert given.applied({"messages": [system, asked]})[0] == {"messages": [ours, system, asked]}
    assert given.applied({"input": "why?"})[0]["instructions"] == "Be brief."
    said = given.applied({"input": "why?", "instructions": "Rhyme."})[0]["instructions"]
    assert said == "Be brief.\n\nRhyme."


def test_a_model_is_sent_what_it_takes_and_the_answer_says_what_was_left_out() -> None:
    async def run() -> None:
        taken = {
            "drop": ["top_k", "messages.content.cache_control.ttl"],
            "rename": {"max_tokens": "max_completion_tokens"},
            "set": {"temperature": 1, "reasoning_effort": "low"},
        }
        async with running(models={"a": taken}) as here:
            cached = {"type": "ephemeral", "ttl": "1h"}
            part = {"type": "text", "text": "Hi", "cache_control": cached}
            message = {"role": "user", "content": [part]}
            body: dict[str, Any] = {"top_k": 3, "max_tokens": 7, "temperature": 0.5}
            body["messages"] = [message]
            response = await here.chat("a", **body)
            assert response.headers["x-equirouter-dropped"] == (
                "messages.content.cache_control.ttl, top_k, temperature"
            )
            sent = here.upstream.seen[0].body
            assert sent.pop("messages")[0]["content"][0]["cache_control"] == {"type": "ephemeral"}
            assert sent == {
                "model": "a-theirs",
                "max_completion_tokens": 7,
                "temperature": 1,
                "reasoning_effort": "low",
            }
            # the next model is sent what the client sent
            assert "x-equirouter-dropped" not in (await here.chat("b", **body)).headers
            assert here.upstream.seen[1].body["top_k"] == 3

    asyncio.run(run())


@pytest.mark.parametrize("responses", [True, False])
def test_a_response_is_fitted_too_in_the_form_that_is_sent(responses: bool) -> None:
    async def run() -> None:
        taken = {"drop": ["temperature"], "rename": {"max_tokens": "max_completion_tokens"}}
        sections = {"upstream": {"responses": responses}, "models": {"a": taken}}
        async with running(**sections) as here:
            body = {"model": "a", "input": "Hi", "temperature": 0.5, "max_output_tokens": 9}
            response = await here.http.post("/v1/responses", json=body)
            assert response.status == 200
            assert response.headers["x-equirouter-dropped"] == "temperature"
            sent = here.upstream.seen[0].body
            assert "temperature" not in sent
            limit = "max_output_tokens" if responses else "max_completion_tokens"
            assert sent[limit] == 9
            assert "max_tokens" not in sent

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"drop": ["max_tokens"]}, "drop: 'max_tokens'"),
        ({"drop": ["messages"]}, "drop: 'messages'"),
        ({"drop": ["a..b"]}, "drop: 'a..b'"),
        ({"set": {"model": "x"}}, "set: 'model'"),
        ({"set": {"n": 5}}, "set: 'n'"),
        ({"set": {"max_completion_tokens": 10**6}}, "set: 'max_completion_tokens'"),
        ({"rename": {"top_k": "max_tokens"}}, "rename: 'top_k'"),
        ({"rename": {"max_tokens": "budget"}}, "rename: 'max_tokens'"),
        ({"rename": {"best_of": "n"}}, "rename: 'best_of'"),
    ],
)
def test_what_the_gateway_counts_on_cannot_be_changed(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ModelSettings(upstream="u", **change)


@pytest.mark.parametrize("name", ["o3", "openai/o4-mini-2025-04-16", "gpt-5", "gpt-5-mini"])
def test_the_table_knows_reasoning_models(name: str) -> None:
    body = {"max_tokens": 5, "temperature": 0.2, "top_p": 0.9, "seed": 1}
    assert fitted(name).applied(body) == (
        {"max_completion_tokens": 5, "seed": 1},
        ["temperature", "top_p"],
    )


@pytest.mark.parametrize(
    ("name", "url", "body", "sent"),
    [
        ("gpt-5.1", URL, {"max_tokens": 5, "top_p": 1}, {"max_completion_tokens": 5, "top_p": 1}),
        ("gpt-5-chat-latest", URL, {"max_tokens": 5}, {"max_tokens": 5}),
        ("gpt-4.1", URL, {"max_tokens": 5, "top_p": 1}, {"max_tokens": 5, "top_p": 1}),
        ("claude-opus-4-8", URL, {"max_tokens": 5, "top_k": 1}, {"max_tokens": 5}),
        ("claude-opus-4-6", URL, {"top_k": 1}, {"top_k": 1}),
        ("grok-4-1-fast-reasoning", URL, {"stop": "a", "seed": 1}, {"seed": 1}),
        ("grok-4-fast-non-reasoning", URL, {"stop": "a"}, {"stop": "a"}),
        ("any", "https://api.mistral.ai/v1", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("any", "https://api.groq.com/openai/v1", {"logprobs": True}, {}),
        ("any", URL, {"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
    ],
)
def test_the_table_knows_the_usual_models(
    name: str, url: str, body: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert fitted(name, url).applied(body)[0] == sent


def test_settings_come_before_the_table() -> None:
    own = fitted("o3", set={"temperature": 1}, rename={"max_tokens": "max_output_tokens"})
    assert own.applied({"temperature": 0, "max_tokens": 3, "top_p": 1})[0] == {
        "temperature": 1,
        "max_output_tokens": 3,
    }
    plain = fitted("o3", known_parameters=False)
    assert plain.applied({"temperature": 0, "max_tokens": 3}) == (
        {"temperature": 0, "max_tokens": 3},
        [],
    )


def test_every_rule_of_the_table_says_whence_and_when() -> None:
    for rule in shipped_rules():
        assert rule.keys() <= {
            *("models", "except", "hosts", "drop", "rename", "lacks", "source", "date")
        }
        assert rule.keys() & {"models", "hosts"}
        assert rule.keys() & {"drop", "rename", "lacks"}
        assert rule["source"].startswith("https://")
        assert isinstance(rule["date"], dt.date)
        assert set(rule.get("lacks", ())) <= set(ABILITIES)
        # a rule is as harmless as a setting may be
        ModelSettings(upstream="u", drop=rule.get("drop", ()), rename=rule.get("rename", {}))


JSON = st.recursive(
    st.none() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=20,
)


@given(JSON, st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
def test_what_is_left_out_is_gone_and_nothing_is_changed_in_place(
    body: Any, path: list[str]
) -> None:
    before = copy.deepcopy(body)
    left = without(body, path)
    assert body == before
    assert without(left, path) is left
    if isinstance(body, dict):
        assert has(body, ".".join(path)) == (left != body)
