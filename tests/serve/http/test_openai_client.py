"""The official Python client against a running gateway: all it sends arrives, all is read.

Its models are looked at field by field, so a field that the gateway lost or made up would show.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

openai = pytest.importorskip("openai")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book",
            "description": "Books a trip",
            "parameters": {
                "type": "object",
                "properties": {
                    "legs": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"to": {"type": "string"}, "by": {"enum": ["a", "b"]}},
                            "required": ["to"],
                        },
                    }
                },
            },
            "strict": True,
        },
    }
]
CALLS = [
    {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "book", "arguments": '{"legs": [{"to": "Å"}]}'},
    }
    for number in (1, 2)
]
MESSAGES = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Where is this? 🗺"},
            {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
            },
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    {"role": "tool", "tool_call_id": "call_2", "content": "done"},
]
EVERYTHING: dict[str, Any] = {
    "messages": MESSAGES,
    "tools": TOOLS,
    "tool_choice": {"type": "function", "function": {"name": "book"}},
    "parallel_tool_calls": True,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "trip", "strict": True, "schema": {"type": "object"}},
    },
    "n": 2,
    "seed": 7,
    "stop": ["\n\n", "END"],
    "temperature": 0.0,
    "top_p": 0.9,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 2,
    "max_completion_tokens": 64,
    "metadata": {"a": "b"},
    "user": "u",
    "extra_body": {"provider_option": {"nested": [1, {"x": None}]}},
}


def sent(**changes: Any) -> dict[str, Any]:
    """What must arrive at the provider of EVERYTHING."""
    body = {name: value for name, value in EVERYTHING.items() if name != "extra_body"}
    return {**body, **EVERYTHING["extra_body"], "model": "a-theirs", **changes}


@asynccontextmanager
async def connected(**sections: Any) -> AsyncIterator[tuple[Running, Any]]:
    """A gateway and a client of it."""
    async with running(**sections) as here:
        url = f"{here.url}/v1"
        client = openai.AsyncOpenAI(base_url=url, api_key="eq-any", max_retries=0)
        async with client:
            yield here, client


def test_a_completion_with_everything() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            answer = fake.completion(None, tool_calls=CALLS, refusal=None)
            here.upstream.answers("a-theirs", fake.document(answer))
            raw = await client.chat.completions.with_raw_response.create(model="a", **EVERYTHING)
            assert here.upstream.seen[0].body == sent()
            got = raw.parse()
            assert got.choices[0].message.content is None
            assert [one.id for one in got.choices[0].message.tool_calls] == ["call_1", "call_2"]
            assert got.usage.total_tokens == 30
            assert raw.headers["x-equirouter-model"] == "a"

    asyncio.run(run())


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_stream_with_everything(include_usage: bool) -> None:
    async def run() -> None:
        async with connected() as (here, client):
            options = {"stream_options": {"include_usage": True}} if include_usage else {}
            stream = await client.chat.completions.create(
                model="a", stream=True, **EVERYTHING, **options
            )
            chunks = [chunk async for chunk in stream]
            # with or without the client's wish the gateway needs the usage
            wish = {"stream_options": {"include_usage": True}}
            assert here.upstream.seen[0].body == sent(stream=True, **wish)
            text = "".join(
                choice.delta.content or "" for chunk in chunks for choice in chunk.choices
            )
            assert text == "Hello wörld"
            usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
            assert [one.total_tokens for one in usages] == ([30] if include_usage else [])

    asyncio.run(run())


def test_parallel_tool_calls_in_a_stream() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            pieces = []
            for index, call in enumerate(CALLS):
                arguments = call["function"]["arguments"]  # type: ignore[index]
                for part in (arguments[:9], arguments[9:]):
                    delta = {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
                    pieces.append(fake.event(fake.chunk(choices=[{"index": 0, "delta": delta}])))
            pieces.append(fake.event(fake.text_chunk("", "tool_calls")))
            here.upstream.answers("a-theirs", fake.stream([*pieces, b"data: [DONE]\n\n"]))
            stream = await client.chat.completions.create(
                model="a", messages=MESSAGES[:1], stream=True
            )
            found = ["", ""]
            async for chunk in stream:
                for part in chunk.choices[0].delta.tool_calls or []:
                    found[part.index] += part.function.arguments
            assert [json.loads(one) for one in found] == [{"legs": [{"to": "Å"}]}] * 2

    asyncio.run(run())


def test_a_virtual_model_with_controls() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            here.planner.order = [("b", 300)]
            await client.chat.completions.create(
                model="equirouter/auto",
                messages=MESSAGES[:1],
                extra_body={"equirouter": {"budget_usd": 0.01, "session": "s"}},
                extra_headers={"x-equirouter-exclude": "c"},
            )
            _, control, _ = here.planner.asked[0]
            assert (control.budget_usd, control.session) == (0.01, "s")
            assert control.exclude == {"c"}
            assert here.upstream.seen[0].body == {"model": "b-theirs", "messages": MESSAGES[:1]}

    asyncio.run(run())


def test_a_response_and_its_stream() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            got = await client.responses.create(model="a", input="Hi", instructions="Be brief.")
            assert got.output_text == "Hello wörld"
            stream = await client.responses.create(model="a", input="Hi", stream=True)
            kinds = [event.type async for event in stream]
            assert kinds[-1] == "response.completed"
            assert [seen.body for seen in here.upstream.seen] == [
                {"model": "a-theirs", "input": "Hi", "instructions": "Be brief."},
                {"model": "a-theirs", "input": "Hi", "stream": True},
            ]

    asyncio.run(run())


def test_embeddings() -> None:
    async def run() -> None:
        async with connected(models={"b": {"kind": "embedding"}}) as (_, client):
            got = await client.embeddings.create(
                model="b", input=["x"], encoding_format="float", dimensions=2
            )
            assert got.data[0].embedding == [0.25, -0.5]

    asyncio.run(run())


def test_azures_client_names_the_model_in_the_path() -> None:
    async def run() -> None:
        async with running(models={"b": {"kind": "embedding"}}) as here:
            client = openai.AsyncAzureOpenAI(
                azure_endpoint=here.url, api_key="eq-any", api_version="2024-10-21", max_retries=0
            )
            async with client:
                got = await client.chat.completions.create(model="a", messages=MESSAGES[:1])
                assert got.choices[0].message.content == "Hello wörld"
                await client.embeddings.create(model="b", input="x")
            assert here.upstream.models == ["a-theirs", "b-theirs"]
            assert "api-version" not in here.upstream.seen[0].request.query

    asyncio.run(run())


def test_models_are_listed() -> None:
    async def run() -> None:
        async with connected() as (_, client):
            assert [one.id async for one in client.models.list()] == ["a", "b", "c"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        ("nobody", fake.ok(), "NotFoundError"),
        ("a", fake.error(400), "BadRequestError"),
        ("a", fake.error(429, retry_after="60"), "RateLimitError"),
        ("a", fake.error(500), "InternalServerError"),
    ],
)
def test_errors_are_those_that_the_client_knows(
    model: str, shape: fake.Shape, expected: str
) -> None:
    async def run() -> None:
        async with connected() as (here, client):
            here.upstream.answers("a-theirs", shape)
            with pytest.raises(getattr(openai, expected)) as failed:
                await client.chat.completions.create(model=model, messages=MESSAGES[:1])
            assert failed.value.message

    asyncio.run(run())


def test_an_error_within_a_stream_is_raised() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            here.upstream.answers("a-theirs", fake.stream(fake.streamed()[:2], cut=True))
            stream = await client.chat.completions.create(
                model="a", messages=MESSAGES[:1], stream=True
            )
            seen: list[str] = []

            async def read() -> None:
                async for chunk in stream:
                    seen.append(chunk.choices[0].delta.content)  # noqa: PERF401

            with pytest.raises(openai.APIError, match="broke off"):
                await read()
            assert seen == ["Hel", "lo"]

    asyncio.run(run())
