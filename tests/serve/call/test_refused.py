"""A model that refuses a parameter: the next one is asked, and the refusal remembered."""

import asyncio
import json
import logging
from typing import Any

import pytest

from equirouter.errors import UpstreamError
from equirouter.serve.call.parameters import (
    MOST_PER_MODEL,
    SECONDS,
    RefusedParameters,
    refused_parameter,
)
from equirouter.serve.chat import chat_request
from equirouter.serve.records import Candidate, Plan
from equirouter.serve.settings import LimitSettings
from tests.serve import fake_upstream as fake
from tests.serve.gateways import running

AUTO = "equirouter/auto"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def chat(**body: Any) -> Any:
    message = {"role": "user", "content": "Hi"}
    return chat_request({"model": AUTO, "messages": [message], **body}, LimitSettings())


def error(message: Any, param: str | None = None, code: str | None = None) -> bytes:
    details = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json.dumps({"error": details}).encode()


CACHED = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
MISTRALS = {
    "object": "error",
    "message": {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", "max_completion_tokens"],
                "msg": "Extra inputs are not permitted",
                "input": 32000,
            }
        ]
    },
}
VLLMS = (
    "[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), "
    "'msg': 'Extra inputs are not permitted', 'input': 8192}]"
)


@pytest.mark.parametrize(
    ("request_body", "said", "name", "is_lasting"),
    [
        (
            {"max_tokens": 5},
            error(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                "max_tokens",
                "unsupported_parameter",
            ),
            "max_tokens",
            True,
        ),
        (
            {"temperature": 0.7},
            error(
                "Unsupported value: 'temperature' does not support 0.7 with this model.",
                "temperature",
                "unsupported_value",
            ),
            "temperature",
            True,
        ),
        (
            {"temperature": 1},
            error("`temperature` is deprecated for this model."),
            "temperature",
            True,
        ),
        ({"top_k": 1}, error(VLLMS), "top_k", True),
        ({"max_tokens": 1}, json.dumps(MISTRALS).encode(), "max_completion_tokens", True),
        (
            {"foo": 1},
            error("Unrecognized request argument supplied: foo"),
            "foo",
            True,
        ),
        (
            {"messages": [{"role": "user", "content": [CACHED]}]},
            error("messages.0.content.0.cache_control.ttl: Extra inputs are not permitted"),
            "messages.content.cache_control.ttl",
            True,
        ),
        (
            {"messages": [{"role": "user", "content": [IMAGE]}]},
            error(
                "Invalid content type. image_url is only supported by certain models.",
                "messages.[0].content.[0].type",
            ),
            "vision",
            True,
        ),
        ({"tools": [TOOL]}, error("registry/gemma:2b does not support tools"), "tools", True),
        (
            {"tools": [TOOL]},
            error("tools.0.custom.input_schema: JSON schema is invalid"),
            "tools",
            False,
        ),
        (
            {"response_format": {"type": "json_object"}},
            error("This response_format type is unavailable now"),
            "response_format",
            False,
        ),
        (
            {"max_tokens": 10**6},
            error("max_tokens is too large: 1000000. This model supports at most 16384 tokens"),
            "max_tokens",
            False,
        ),
        (
            {"temperature": 9},
            error("Invalid 'temperature': must be at most 2"),
            "temperature",
            False,
        ),
        ({"user": "u"}, error("the user asked for something that is not allowed"), None, False),
        ({"stop": "x"}, error("your prompt was blocked; stop doing that"), None, False),
        ({}, error("Unsupported parameter: 'temperature'", "temperature"), None, False),
        ({}, error("messages: roles must alternate", "messages"), None, False),
        ({"temperature": 1}, b"<p>temperature</p>", None, False),
        ({"temperature": 1}, b"[]", None, False),
        ({"temperature": 1}, b'{"error": null}', None, False),
    ],
)
def test_the_parameter_that_an_error_names(
    request_body: dict[str, Any], said: bytes, name: str | None, is_lasting: bool
) -> None:
    assert refused_parameter(said, chat(**request_body)) == (name, is_lasting)


def refusing(name: str, status: int = 400) -> fake.Shape:
    """Refuse that parameter, answer well without it."""

    async def shape(seen: fake.Seen) -> Any:
        if name not in seen.body:
            return await fake.ok()(seen)
        said = json.loads(error(f"Unsupported parameter: '{name}'", name, "unsupported_parameter"))
        return await fake.document(said, status=status)(seen)

    return shape


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_parameter_goes_to_the_next_model_and_is_remembered(
    stream: bool, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", refusing("temperature", status))
            first = await here.chat(AUTO, temperature=0.5, stream=stream)
            assert first.headers["x-equirouter-model"] == "b"
            assert first.headers["x-equirouter-failed"] == f"a: {status}"
            again = await here.chat(AUTO, temperature=0.1, stream=stream)
            assert again.headers["x-equirouter-model"] == "b"
            assert "x-equirouter-failed" not in again.headers
            plain = await here.chat(AUTO, stream=stream)
            assert plain.headers["x-equirouter-model"] == "a"
            assert here.upstream.models == ["a-theirs", "b-theirs", "b-theirs", "a-theirs"]
            assert here.gateway.pool.refused.document() == {"a": ["temperature"]}

    with caplog.at_level(logging.WARNING, "equirouter.serve"):
        asyncio.run(run())
    assert caplog.text.count("a refuses temperature") == 1


def test_the_reservation_is_that_of_the_model_that_is_tried_first() -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", refusing("temperature"))
            for reserved in (300, 200):
                await here.chat(AUTO, temperature=0.5)
                assert here.admission.tickets[-1].reserved == reserved

    asyncio.run(run())


def test_the_only_model_is_asked_again_and_its_refusal_passed_on() -> None:
    async def run() -> None:
        async with running() as here:
            here.upstream.answers("a-theirs", refusing("temperature"))
            for _ in range(2):
                response = await here.chat("a", temperature=0.5)
                assert response.status == 400
                assert "Unsupported parameter" in (await response.json())["error"]["message"]
            assert here.upstream.models == ["a-theirs", "a-theirs"]

    asyncio.run(run())


def test_a_translated_response_falls_back_too() -> None:
    async def run() -> None:
        async with running(upstream={"responses": False}) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", refusing("reasoning_effort"))
            body = {"model": AUTO, "input": "Hi", "reasoning": {"effort": "low"}}
            for _ in range(2):
                response = await here.http.post("/v1/responses", json=body)
                assert response.headers["x-equirouter-model"] == "b"
            assert here.upstream.models == ["a-theirs", "b-theirs", "b-theirs"]

    asyncio.run(run())


def test_a_value_that_is_refused_is_tried_elsewhere_and_not_remembered() -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            said = json.loads(error("Invalid 'temperature': must be at most 2", "temperature"))
            here.upstream.answers("a-theirs", fake.document(said, status=400))
            response = await here.chat(AUTO, temperature=9)
            assert response.headers["x-equirouter-model"] == "b"
            assert here.gateway.pool.refused.document() == {}

    asyncio.run(run())


def test_the_decision_without_a_call_knows_the_refusals() -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", refusing("temperature"))
            await here.chat(AUTO, temperature=0.5)
            body = {"model": AUTO, "messages": [{"role": "user", "content": "Hi"}]}
            for more, model in (({"temperature": 0}, "b"), ({}, "a")):
                response = await here.http.post("/v1/route", json={**body, **more})
                assert (await response.json())["model"] == model

    asyncio.run(run())


def refused(refusals: RefusedParameters, name: str) -> None:
    said = error(f"Unsupported parameter: '{name}'", name, "unsupported_parameter")
    failed = UpstreamError("status", "status 400", status=400, body=said)
    assert refusals.names_one("a", failed, chat(**{name: 1}))


def test_refusals_are_forgotten_after_an_hour_and_never_many() -> None:
    now = 0.0
    refusals = RefusedParameters(lambda: now)
    plan = Plan((Candidate("a", 1), Candidate("b", 2)), "policy")
    for number in range(1000):
        refused(refusals, f"p{number}")
    assert len(refusals.document()["a"]) == MOST_PER_MODEL
    assert refusals.last(plan, chat(p999=1)).candidates[0].model == "b"
    assert refusals.last(plan, chat(p1=1)).candidates[0].model == "a"
    now = SECONDS + 1
    assert refusals.document() == {}
    assert refusals.last(plan, chat(p999=1)).candidates[0].model == "a"
