"""Anthropic's official Python client against a running gateway, at both kinds of upstreams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running
from tests.serve.http.test_cascade import AGREE, AUTO, cascading

anthropic = pytest.importorskip("anthropic")

NATIVE = {"messages": True}
TOOL = {
    "name": "book",
    "description": "Books a trip",
    "input_schema": {"type": "object", "properties": {"to": {"type": "string"}}},
    "cache_control": {"type": "ephemeral"},
}
IMAGE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "book", "input": {"to": "Å"}}
LONG: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Where is this? 🗺", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": IMAGE},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "text", "text": "I book."},
            CALL,
            {**CALL, "id": "toolu_2"},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"},
            {
                "type": "tool_result",
                "tool_use_id": "toolu_2",
                "content": [{"type": "text", "text": "full"}, {"type": "image", "source": IMAGE}],
                "is_error": True,
            },
            {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"},
        ],
    },
]
EVERYTHING: dict[str, Any] = {
    "max_tokens": 2048,
    "system": [{"type": "text", "text": "You book.", "cache_control": {"type": "ephemeral"}}],
    "messages": LONG,
    "tools": [TOOL, {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "metadata": {"user_id": "u" * 80},
    "stop_sequences": ["END"],
    "extra_body": {"temperature": 1.0, "top_k": 5},  # of earlier versions
    "extra_headers": {"anthropic-beta": "context-1m-2025-08-07"},
}
SENT = {name: value for name, value in EVERYTHING.items() if not name.startswith("extra_")}
SENT |= EVERYTHING["extra_body"]


@asynccontextmanager
async def connected(**sections: Any) -> AsyncIterator[tuple[Running, Any]]:
    """A gateway and a client of it."""
    async with running(**sections) as here:
        client = anthropic.AsyncAnthropic(base_url=here.url, api_key="eq-any", max_retries=0)
        async with client:
            yield here, client


def test_a_message_with_everything_reaches_an_upstream_that_knows_it_as_it_is() -> None:
    async def run() -> None:
        async with connected(upstream=NATIVE) as (here, client):
            answer = fake.message(
                {"type": "thinking", "thinking": "So.", "signature": "c2ln"}, CALL
            )
            here.upstream.answers("a-theirs", fake.document(answer))
            raw = await client.messages.with_raw_response.create(model="a", **EVERYTHING)
            [seen] = here.upstream.seen
            assert seen.path == "/v1/messages"
            assert seen.body == {"model": "a-theirs", **SENT}
            assert seen.request.headers["anthropic-beta"] == "context-1m-2025-08-07"
            assert seen.request.headers["anthropic-version"] > "2023"
            assert "x-api-key" not in seen.request.headers  # that of the gateway stays here
            assert (await raw.parse()).to_dict() == answer
            assert raw.headers["x-equirouter-model"] == "a"
            assert raw.headers["x-equirouter-cost-usd"] == "0.00004"
            assert here.record.endpoint == "messages"
            assert here.admission.tickets[0].ended == [("settled", 40_000)]

    asyncio.run(run())


def test_the_bytes_of_a_stream_are_those_of_the_upstream() -> None:
    async def run() -> None:
        async with connected(upstream=NATIVE) as (here, client):
            body = {"model": "a", "stream": True, "max_tokens": 9, "messages": LONG[:1]}
            async with here.http.post("/v1/messages", json=body) as response:
                assert await response.read() == b"".join(fake.streamed_message())
            assert here.record.error is None
            assert here.admission.tickets[0].ended == [("settled", 40_000)]
            async with client.messages.stream(model="a", **EVERYTHING) as stream:
                final = await stream.get_final_message()
            assert final.content[0].text == "Hello wörld"
            assert (final.usage.input_tokens, final.usage.output_tokens) == (20, 10)

    asyncio.run(run())


@pytest.mark.parametrize("native", [False, True])
def test_a_client_reads_what_two_models_agree_on_as_a_stream(native: bool) -> None:
    async def run() -> None:
        async with cascading(AGREE, upstream={"messages": native}) as here:
            asked = [{"role": "user", "content": "3 + 4?"}]
            client = anthropic.AsyncAnthropic(base_url=here.url, api_key="eq-any", max_retries=0)
            async with (
                client,
                client.messages.stream(model=AUTO, max_tokens=9, messages=asked) as events,
            ):
                final = await events.get_final_message()
                headers = events.response.headers
            assert final.content[-1].text == "It is 7."
            assert (final.usage.input_tokens, final.usage.output_tokens) == (20, 10)
            assert final.stop_reason == "end_turn"
            assert headers["x-equirouter-cascade"] == "a,b; agree"

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_cache_reads_and_writes_is_priced(stream: bool) -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 10,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 60,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 20},
    }
    price = {"input": 1, "output": 2, "cached_input": 0.1, "cache_write": 1.25}
    price |= {"long_cache_write": 2}

    async def run() -> None:
        models = {"a": {"price": price}}
        async with connected(upstream=NATIVE, models=models) as (here, client):
            shape = fake.document(fake.message(usage=usage))
            if stream:
                shape = fake.stream(fake.streamed_message(usage))
            here.upstream.answers("a-theirs", shape)
            body = {"model": "a", "max_tokens": 99, "messages": LONG}
            if stream:
                async with client.messages.stream(**body) as events:
                    await events.until_done()
            else:
                await client.messages.create(**body)
            # 100 + 0.1 x 1000 + 1.25 x 40 + 2 x 20 + 2 x 10, a thousand nano-USD each
            assert here.record.cost_nusd == 310_000
            assert here.record.tokens is not None
            assert here.record.tokens.input == 1160

    asyncio.run(run())


CALLED = {
    "id": "call_9",
    "type": "function",
    "function": {"name": "book", "arguments": '{"to": "Å"}'},
}


def test_a_message_with_everything_at_an_upstream_with_chat_completions_only() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            answer = fake.completion("I book.", tool_calls=[CALLED], reasoning_content="So.")
            answer["choices"][0]["finish_reason"] = "tool_calls"
            here.upstream.answers("a-theirs", fake.document(answer))
            raw = await client.messages.with_raw_response.create(model="a", **EVERYTHING)
            [seen] = here.upstream.seen
            assert seen.path == "/v1/chat/completions"
            url = "data:image/png;base64,iVBORw0KGgo="
            function = {"name": "book", "arguments": '{"to":"Å"}'}
            calls = [{"id": f"toolu_{n}", "type": "function", "function": function} for n in (1, 2)]
            reminder = "full\n<system-reminder>Be brief.</system-reminder>"
            assert seen.body == {
                "model": "a-theirs",
                "max_tokens": 2048,
                "temperature": 1.0,
                "stop": ["END"],
                "messages": [
                    {"role": "system", "content": "You book."},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "Where is this? 🗺"},
                            {"type": "image_url", "image_url": {"url": url}},
                        ],
                    },
                    {"role": "assistant", "content": "I book.", "tool_calls": calls},
                    {"role": "tool", "tool_call_id": "toolu_1", "content": "done"},
                    {"role": "tool", "tool_call_id": "toolu_2", "content": reminder},
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": url}}],
                    },
                ],
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "book",
                            "description": "Books a trip",
                            "parameters": TOOL["input_schema"],
                        },
                    }
                ],
                "tool_choice": "auto",
                "parallel_tool_calls": False,
            }
            assert "anthropic-beta" not in seen.request.headers
            dropped = raw.headers["x-equirouter-dropped"]
            assert dropped == "top_k, thinking, tools.web_search_20250305"
            got = await raw.parse()
            assert [block.type for block in got.content] == ["thinking", "text", "tool_use"]
            assert got.content[2].input == {"to": "Å"}
            assert got.stop_reason == "tool_use"
            assert (got.usage.input_tokens, got.usage.output_tokens) == (20, 10)
            assert here.admission.tickets[0].ended == [("settled", 40_000)]

    asyncio.run(run())


def test_a_translated_stream_with_parallel_calls_is_summed_up_by_the_client() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            pieces = [
                {"reasoning_content": "So."},
                {"content": "I "},
                {"content": "book."},
                {"tool_calls": [{**CALLED, "index": 0, "function": {"name": "book"}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": '{"to": '}}]},
                {"tool_calls": [{**CALLED, "id": "call_10", "index": 1}]},  # before the first ends
                {"tool_calls": [{"index": 0, "function": {"arguments": '"B"}'}}]},
            ]
            chunks = [
                fake.event(fake.chunk(choices=[{"index": 0, "delta": delta}])) for delta in pieces
            ]
            chunks += fake.streamed()[-3:]
            here.upstream.answers("a-theirs", fake.stream(chunks))
            async with client.messages.stream(model="a", **EVERYTHING) as stream:
                kinds = [event.type async for event in stream]
                final = await stream.get_final_message()
            assert [block.type for block in final.content] == [
                "thinking",
                "text",
                "tool_use",
                "tool_use",
            ]
            assert [block.input for block in final.content[2:]] == [{"to": "B"}, {"to": "Å"}]
            assert final.content[1].text == "I book."
            assert (final.stop_reason, final.usage.output_tokens) == ("tool_use", 10)
            assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 4
            assert here.record.tokens is not None
            assert not here.record.tokens.estimated

    asyncio.run(run())


def test_a_loop_of_tools_over_many_turns() -> None:
    async def run() -> None:
        async with connected() as (here, client):
            answer = fake.completion(None, tool_calls=[CALLED])
            here.upstream.answers("a-theirs", *[fake.document(answer)] * 30, fake.ok())
            messages: list[Any] = [{"role": "user", "content": "Book all"}]
            while True:
                got = await client.messages.create(
                    model="a", max_tokens=50, tools=[TOOL], messages=messages
                )
                messages.append({"role": "assistant", "content": got.content})
                if got.stop_reason != "tool_use":
                    break
                results = [
                    {"type": "tool_result", "tool_use_id": one.id, "content": "ok"}
                    for one in got.content
                ]
                messages.append({"role": "user", "content": results})
            assert got.content[0].text == "Hello wörld"
            last = here.upstream.seen[-1].body["messages"]
            assert len(last) == 61
            assert [one["role"] for one in last[-2:]] == ["assistant", "tool"]
            assert last[-2]["tool_calls"][0]["id"] == last[-1]["tool_call_id"] == "call_9"

    asyncio.run(run())


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("model", "status", "expected", "kind"),
    [
        ("nobody", 0, "NotFoundError", "not_found_error"),
        ("a", 400, "BadRequestError", "invalid_request_error"),
        ("a", 429, "RateLimitError", "rate_limit_error"),
        ("a", 500, "InternalServerError", "api_error"),
    ],
)
def test_errors_have_the_form_that_the_client_knows(
    native: bool, model: str, status: int, expected: str, kind: str
) -> None:
    async def run() -> None:
        async with connected(upstream={"messages": native}) as (here, client):
            shape = fake.error(status, retry_after="60")
            if native:
                said = {"type": "error", "error": {"type": kind, "message": f"no: {status}"}}
                shape = fake.document(said, status=status, headers={"Retry-After": "60"})
            here.upstream.answers("a-theirs", shape)
            with pytest.raises(getattr(anthropic, expected)) as failed:
                await client.messages.create(model=model, max_tokens=9, messages=LONG)
            body = failed.value.body
            assert (body["type"], body["error"]["type"]) == ("error", kind)
            if status in (400, 429):
                assert body["error"]["message"] == f"no: {status}"

    asyncio.run(run())


@pytest.mark.parametrize("native", [True, False])
def test_a_stream_that_breaks_raises_the_clients_error(native: bool) -> None:
    async def run() -> None:
        async with connected(upstream={"messages": native}) as (here, client):
            pieces = fake.streamed_message()[:4] if native else fake.streamed()[:2]
            read = asyncio.Event()
            last = {len(pieces): read}
            here.upstream.answers(
                "a-theirs", fake.stream([*pieces, b": \n\n"], cut=True, before=last)
            )
            told: list[str] = []

            async def talk() -> None:
                async with client.messages.stream(model="a", max_tokens=9, messages=LONG) as got:
                    async for text in got.text_stream:
                        told.append(text)
                        read.set()

            with pytest.raises(anthropic.APIStatusError, match=r"broke off|complete") as failed:
                await talk()
            assert failed.value.body["error"]["type"] == "api_error"
            assert "".join(told) in ("Hello", "Hel")
            assert here.record.error is not None

    asyncio.run(run())


@pytest.mark.parametrize("native", [True, False])
def test_tokens_are_counted(native: bool) -> None:
    async def run() -> None:
        async with connected(upstream={"messages": native}) as (here, client):
            got = await client.messages.count_tokens(model="a", messages=LONG, tools=[TOOL])
            if native:
                assert got.input_tokens == 17
                [seen] = here.upstream.seen
                assert seen.path == "/v1/messages/count_tokens"
                assert seen.body == {"model": "a-theirs", "messages": LONG, "tools": [TOOL]}
            else:
                assert not here.upstream.seen
                assert 3200 < got.input_tokens < 3500  # two pictures of 1,600 and some words
            assert here.admission.tickets == []

    asyncio.run(run())


def test_a_virtual_model_by_metadata_and_its_feedback_and_session() -> None:
    async def run() -> None:
        async with connected(upstreams={"b": NATIVE}) as (here, client):
            here.planner.order = [("b", 300), ("a", 200)]
            here.upstream.answers("b-theirs", fake.error(529))
            wish = {"model": "equirouter/auto", "budget_usd": 0.01, "session": "s"}
            raw = await client.messages.with_raw_response.create(
                model="claude-anything",
                max_tokens=9,
                messages=LONG,
                metadata={"user_id": "u", "equirouter": wish},
            )
            chat, control, _ = here.planner.asked[0]
            assert (chat.model, control.budget_usd, control.session) == (
                "equirouter/auto",
                0.01,
                "s",
            )
            native, translated = here.upstream.seen
            assert native.body["metadata"] == {"user_id": "u"}
            assert translated.path == "/v1/chat/completions"
            assert (await raw.parse()).content[0].text == "Hello wörld"
            assert raw.headers["x-equirouter-failed"] == "b: 529"
            answer = {"request_id": raw.headers["x-equirouter-request-id"], "score": 1.0}
            async with here.http.post("/v1/feedback", json=answer) as thanks:
                assert thanks.status == 200

    asyncio.run(run())


def test_thoughts_without_a_signature_are_not_sent_to_whoever_checks_it() -> None:
    async def run() -> None:
        async with connected(upstreams={"b": NATIVE}) as (here, client):
            answer = fake.completion("Yes.", reasoning_content="So.")
            here.upstream.answers("a-theirs", fake.document(answer))
            first = await client.messages.create(model="a", max_tokens=9, messages=LONG)
            assert [block.type for block in first.content] == ["thinking", "text"]
            messages = [
                *LONG,
                {"role": "assistant", "content": first.content},
                {"role": "user", "content": "Go on"},
            ]
            await client.messages.create(model="b", max_tokens=9, messages=messages)
            sent = here.upstream.seen[-1].body["messages"]
            assert sent[1] == LONG[1]  # Claude's own
            assert [block["type"] for block in sent[3]["content"]] == ["text"]

    asyncio.run(run())


def test_models_are_listed_for_this_client_too() -> None:
    async def run() -> None:
        async with connected() as (_, client):
            assert [one.id async for one in client.models.list()] == ["a", "b", "c"]
            assert (await client.models.retrieve("b")).display_name == "b"

    asyncio.run(run())


@pytest.mark.parametrize("native", [True, False])
def test_a_models_own_instructions_come_before_those_of_the_request(native: bool) -> None:
    async def run() -> None:
        models = {"a": {"system_prompt": "Be kind."}}
        async with connected(upstream={"messages": native}, models=models) as (here, client):
            for given in ({}, {"system": "Be brief."}):
                await client.messages.create(model="a", max_tokens=9, messages=LONG[:1], **given)
            plain, more = (seen.body for seen in here.upstream.seen)
            if native:
                texts = [[block["text"] for block in body["system"]] for body in (plain, more)]
                assert texts == [["Be kind."], ["Be kind.", "Be brief."]]
            else:
                roles = [[one["role"] for one in body["messages"]] for body in (plain, more)]
                assert roles == [["system", "user"], ["system", "system", "user"]]

    asyncio.run(run())
