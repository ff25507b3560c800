"""The Responses API: passed through, and read as a chat for the decision."""

import asyncio
from typing import Any

import pytest

from equirouter.conversation import read_scope
from equirouter.errors import GatewayError
from equirouter.serve.chat import ChatRequest
from equirouter.serve.http.requests import responses_request
from equirouter.serve.plan.prompt_tokens import prompt_tokens
from equirouter.serve.settings import LimitSettings
from tests.serve import fake_upstream as fake
from tests.serve.gateways import running


def read(**body: Any) -> ChatRequest:
    return responses_request({"model": "equirouter/auto", **body}, LimitSettings())


def test_an_answer_is_passed_on_and_paid() -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300_000)]
            body = {"model": "equirouter/auto", "input": "Hi", "unknown": 1}
            response = await here.http.post("/v1/responses", json=body)
            assert await response.json() == fake.response()
            [seen] = here.upstream.seen
            assert seen.path == "/v1/responses"
            assert seen.body == {**body, "model": "a-theirs"}
            assert here.record.endpoint == "responses"
            assert here.admission.tickets[0].ended == [("settled", 40_000)]
            assert here.planner.asked[0][0].messages == [{"role": "user", "content": "Hi"}]

    asyncio.run(run())


def test_a_stream_is_passed_on_and_paid() -> None:
    async def run() -> None:
        async with running() as here:
            body = {"model": "a", "input": "Hi", "stream": True}
            response = await here.http.post("/v1/responses", json=body)
            assert await response.read() == b"".join(fake.streamed_response())
            assert here.upstream.seen[0].body == {**body, "model": "a-theirs"}
            assert here.record.error is None
            assert here.admission.tickets[0].ended == [("settled", 40_000)]

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_response_is_no_answer(stream: bool) -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 300), ("b", 200)]
            said = {"error": {"message": "overloaded"}, "status": "failed"}
            failed = fake.event({"type": "response.failed", "response": said})
            here.upstream.answers(
                "a-theirs", fake.stream([failed]) if stream else fake.document(said)
            )
            body = {"model": "equirouter/auto", "input": "Hi", "stream": stream}
            response = await here.http.post("/v1/responses", json=body)
            assert response.status == 200
            assert response.headers["x-equirouter-model"] == "b"

    asyncio.run(run())


def test_a_response_that_fails_later_is_passed_on_as_it_is() -> None:
    async def run() -> None:
        async with running() as here:
            said = {"error": {"message": "overloaded"}, "status": "failed", "usage": None}
            pieces = [
                *fake.streamed_response()[:2],
                fake.event({"type": "response.failed", "response": said}),
            ]
            here.upstream.answers("a-theirs", fake.stream(pieces))
            body = {"model": "a", "input": "Hi", "stream": True}
            response = await here.http.post("/v1/responses", json=body)
            assert await response.read() == b"".join(pieces)
            assert here.record.error is not None

    asyncio.run(run())


def test_items_are_read_as_messages() -> None:
    chat = read(
        instructions="Be brief.",
        input=[
            {"role": "user", "content": "What is it?"},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                ],
            },
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "7"},
        ],
        tools=[{"type": "function", "name": "f"}],
        text={"format": {"type": "json_schema", "name": "x", "schema": {}}},
        max_output_tokens=50,
    )
    function = {"name": "f", "arguments": "{}"}
    image = {"url": "data:image/png;base64,AAAA"}
    assert chat.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": image},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "7"},
    ]
    assert chat.needs == {"vision", "tools", "json"}
    assert chat.max_output_tokens == 50


LONG = "word " * 400


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        ({"type": "custom_tool_call_output", "call_id": "c", "output": LONG}, 500),
        ({"type": "mcp_call", "name": "f", "arguments": LONG, "output": LONG}, 1000),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": LONG}]}, 500),
        ({"type": "reasoning", "encrypted_content": "A" * 16_000}, 1000),
        (
            {
                "type": "computer_call_output",
                "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,AA"},
            },
            1000,
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look."},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "A" * 16_000},
                    {"type": "new_kind", "said": [LONG]},
                ],
            },
            1500,
        ),
    ],
)
def test_whatever_is_in_a_prompt_is_counted_and_not_routed_on(
    item: dict[str, Any], tokens: int
) -> None:
    chat = read(input=[{"role": "user", "content": "Hello"}, item])
    assert tokens <= prompt_tokens(chat).total(1000) < 1.8 * tokens
    assert read_scope(chat.messages, "last_user").text in ("Hello", "Look.")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": [7]}, r"input\[0\]"),
        ({"input": [{"content": "x"}]}, r"input\[0\].role"),
        ({"input": [{"role": "user", "content": 7}]}, r"input\[0\].content"),
        ({"input": [{"role": "user", "content": [{}]}]}, r"content\[0\]"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "previous_response_id": "r"}, "kept by the provider"),
    ],
)
def test_what_makes_no_sense_is_refused(body: dict[str, Any], says: str) -> None:
    with pytest.raises(GatewayError, match=says) as refused:
        read(**body)
    assert refused.value.status == 400


def test_a_named_model_may_go_on_with_what_its_provider_keeps() -> None:
    body = {"model": "a", "input": "x", "previous_response_id": "r"}
    assert responses_request(body, LimitSettings()).model == "a"
