"""/v1/responses in front of upstreams that have chat completions only, by the official client."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from equirouter.serve.http.requests import responses_request
from equirouter.serve.records import RequestControl
from tests.serve import fake_upstream as fake
from tests.serve.assembled import assembled
from tests.serve.gateways import Running, running
from tests.serve.http.test_openai_client import connected
from tests.serve.planners import Planned

openai = pytest.importorskip("openai")

CHAT_ONLY = {"responses": False}
TOOL = {"type": "function", "name": "book", "parameters": {"type": "object"}, "strict": False}
CALLS = [
    {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "book", "arguments": f'{{"leg": {number}}}'},
    }
    for number in (1, 2)
]


def checked(found: Any) -> Any:
    """A response or an event whose every field is what its type promises."""
    return type(found).model_validate(json.loads(found.to_json(exclude_unset=True)), strict=False)


async def posted(here: Running, **body: Any) -> Any:
    content = {"model": "a", "input": "Hi", **body}
    return await here.http.post("/v1/responses", json=content)


def test_an_answer() -> None:
    async def run() -> None:
        async with connected(upstream=CHAT_ONLY) as (here, client):
            got = checked(
                await client.responses.create(
                    model="a",
                    input="Hi",
                    instructions="Be brief.",
                    max_output_tokens=50,
                    metadata={"team": "x"},
                )
            )
            assert got.output_text == "Hello wörld"
            assert (got.status, got.model, got.metadata) == (
                "completed",
                "theirs-2026",
                {"team": "x"},
            )
            assert got.id.startswith("resp_")
            assert got.to_dict()["store"] is False
            assert (got.usage.input_tokens, got.usage.total_tokens) == (20, 30)
            [seen] = here.upstream.seen
            assert seen.path == "/v1/chat/completions"
            assert seen.body == {
                "model": "a-theirs",
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Hi"},
                ],
                "max_tokens": 50,
            }
            assert here.record.endpoint == "responses"
            assert here.admission.tickets[0].ended == [("settled", 40_000)]

    asyncio.run(run())


@pytest.mark.parametrize(("setting", "said"), [("pool", "a"), ("upstream", "theirs-2026")])
@pytest.mark.parametrize("stream", [False, True])
def test_the_model_is_named_as_elsewhere(setting: str, said: str, stream: bool) -> None:
    async def run() -> None:
        server = {"answer_model": setting}
        async with connected(upstream=CHAT_ONLY, server=server) as (_, client):
            body = {"model": "a", "input": "Hi", "metadata": {"model": "mine"}}
            if not stream:
                got = await client.responses.create(**body)
                assert got.model == said
                return
            async with client.responses.stream(**body) as events:
                models = [one.response.model async for one in events if hasattr(one, "response")]
            assert models == [said] * 3

    asyncio.run(run())


def test_calls_of_functions_there_and_back() -> None:
    async def run() -> None:
        async with connected(upstream=CHAT_ONLY) as (here, client):
            here.upstream.answers(
                "a-theirs", fake.document(fake.completion(None, tool_calls=CALLS)), fake.ok()
            )
            asked: list[Any] = [{"role": "user", "content": "Book both"}]
            got = checked(await client.responses.create(model="a", input=asked, tools=[TOOL]))
            assert [item.type for item in got.output] == ["function_call"] * 2
            asked += got.output
            for item in got.output:
                output = {"type": "function_call_output", "call_id": item.call_id, "output": "ok"}
                asked.append(output)
            again = await client.responses.create(model="a", input=asked, tools=[TOOL])
            assert again.output_text == "Hello wörld"
            assert here.upstream.seen[1].body["messages"] == [
                {"role": "user", "content": "Book both"},
                {"role": "assistant", "content": None, "tool_calls": CALLS},
                {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
                {"role": "tool", "tool_call_id": "call_2", "content": "ok"},
            ]

    asyncio.run(run())


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream(usage: bool) -> None:
    async def run() -> None:
        upstream = {**CHAT_ONLY, "stream_usage": usage}
        async with connected(upstream=upstream) as (here, client):
            stream = await client.responses.create(model="a", input="Hi", stream=True)
            events = [checked(event) async for event in stream]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            told = "".join(e.delta for e in events if e.type == "response.output_text.delta")
            final = events[-1].response
            assert (told, final.output_text, events[-1].type) == (
                "Hello wörld",
                "Hello wörld",
                "response.completed",
            )
            [seen] = here.upstream.seen
            assert seen.body.pop("stream_options", None) == (
                {"include_usage": True} if usage else None
            )
            assert seen.body["stream"] is True
            assert (final.usage is not None) == usage
            # without usage: 20 tokens of prompt, and the twelve bytes that were said
            cost = 40_000 if usage else 26_000
            assert here.admission.tickets[0].ended == [("settled", cost)]
            assert here.record.tokens is not None
            assert here.record.tokens.estimated != usage
            assert here.record.error is None

    asyncio.run(run())


def test_the_clients_own_reading_of_a_stream() -> None:
    async def run() -> None:
        async with connected(upstream=CHAT_ONLY) as (here, client):
            pieces = [fake.event(fake.text_chunk("I look."))]
            for index, call in enumerate(CALLS):
                arguments = call["function"]["arguments"]  # type: ignore[index]
                head = {**call, "index": index, "function": {"name": "book", "arguments": ""}}
                tail = {"index": index, "function": {"arguments": arguments}}
                for part in (head, tail):
                    delta = {"tool_calls": [part], "reasoning_content": None}
                    pieces.append(fake.event(fake.chunk(choices=[{"index": 0, "delta": delta}])))
            pieces += [fake.event(fake.text_chunk("", "tool_calls")), b"data: [DONE]\n\n"]
            here.upstream.answers("a-theirs", fake.stream(pieces))
            async with client.responses.stream(model="a", input="Hi", tools=[TOOL]) as stream:
                final = await stream.get_final_response()
            assert final.output_text == "I look."
            assert [item.type for item in final.output] == ["message", *["function_call"] * 2]
            assert [item.arguments for item in final.output[1:]] == ['{"leg": 1}', '{"leg": 2}']

    asyncio.run(run())


def test_an_answer_of_a_given_form_is_parsed_by_the_client() -> None:
    pydantic = pytest.importorskip("pydantic")
    trip = pydantic.create_model("Trip", to=(str, ...))

    async def run() -> None:
        async with connected(upstream=CHAT_ONLY) as (here, client):
            here.upstream.answers("a-theirs", fake.document(fake.completion('{"to": "Å"}')))
            got = await client.responses.parse(model="a", input="Where?", text_format=trip)
            assert got.output_parsed.to == "Å"
            form = here.upstream.seen[0].body["response_format"]
            assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "Trip")
            assert form["json_schema"]["schema"]["properties"].keys() == {"to"}

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("passing", ["a", "b"])
def test_from_one_kind_of_upstream_to_the_other(passing: str, stream: bool) -> None:
    async def run() -> None:
        other = "b" if passing == "a" else "a"
        async with connected(upstreams={other: CHAT_ONLY}) as (here, client):
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", fake.error(500))
            body = {"model": "equirouter/auto", "input": "Hi", "stream": stream}
            raw = await client.responses.with_raw_response.create(**body)
            assert raw.headers["x-equirouter-model"] == "b"
            got = raw.parse()
            if stream:
                got = [event async for event in got][-1].response
            assert got.output_text == "Hello wörld"
            paths = {"a": "chat/completions", "b": "chat/completions", passing: "responses"}
            seen = [(one.path, one.body["model"]) for one in here.upstream.seen]
            assert seen == [(f"/v1/{paths[name]}", f"{name}-theirs") for name in "ab"]
            assert here.upstream.seen["ab".index(passing)].body == {
                **body,
                "model": f"{passing}-theirs",
            }
            assert here.admission.tickets[0].ended == [("settled", 40_000)]

    asyncio.run(run())


BEGINS_WELL = fake.event(fake.text_chunk("Hel"))
ERROR = fake.event({"error": {"message": "overloaded"}})


@pytest.mark.parametrize(
    "shape",
    [
        fake.stream([ERROR]),
        fake.stream([BEGINS_WELL + ERROR]),  # both at once: nothing of it was told
        fake.stream([]),
        fake.stream([b"data: [DONE]\n\n"]),
        fake.stream([b"data: {half\n\n"]),
        fake.stream([BEGINS_WELL[:9]], cut=True),
        fake.dropped(),
        fake.document(fake.completion()),  # no stream
        fake.error(429),
    ],
)
def test_a_stream_that_does_not_begin_goes_to_the_next_model(shape: fake.Shape) -> None:
    async def run() -> None:
        async with running(upstream=CHAT_ONLY) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", shape)
            response = await posted(here, model="equirouter/auto", stream=True)
            assert response.headers["x-equirouter-model"] == "b"
            sent = await response.read()
            assert sent.count(b"event: response.created") == 1
            assert b"event: response.completed" in sent

    asyncio.run(run())


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "overloaded"}},
        {"choices": []},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": 7}}]},
    ],
)
def test_an_answer_that_is_none_goes_to_the_next_model(said: dict[str, Any]) -> None:
    async def run() -> None:
        async with running(upstream=CHAT_ONLY) as here:
            here.planner.order = [("a", 300), ("b", 200)]
            here.upstream.answers("a-theirs", fake.document(said))
            response = await posted(here, model="equirouter/auto")
            assert response.headers["x-equirouter-model"] == "b"
            assert here.record.attempts[0].outcome == "broken"

    asyncio.run(run())


def test_what_the_upstream_says_of_a_wrong_request_is_passed_on() -> None:
    async def run() -> None:
        async with connected(upstream=CHAT_ONLY) as (here, client):
            here.upstream.answers("a-theirs", fake.error(400))
            with pytest.raises(openai.BadRequestError, match="no: 400"):
                await client.responses.create(model="a", input="Hi")
            assert here.admission.tickets[0].ended == [("released", 0)]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("last", "cut", "message", "error"),
    [
        ([ERROR], False, "overloaded", "the upstream sent an error in the stream"),
        ([b"data: {"], True, "broke off", "broke off"),
        ([], False, "before the answer was complete", "before the answer was complete"),
        ([b"data: 17\n\n"], False, "not a JSON object", "not a JSON object"),
    ],
)
def test_a_stream_that_breaks_is_a_response_that_failed(
    last: list[bytes], cut: bool, message: str, error: str
) -> None:
    async def run() -> None:
        async with connected(upstream=CHAT_ONLY) as (here, client):
            begun = asyncio.Event()
            pieces = [BEGINS_WELL, *(last or [b"\n"])]
            here.upstream.answers("a-theirs", fake.stream(pieces, cut=cut, before={1: begun}))
            stream = await client.responses.create(model="a", input="Hi", stream=True)
            events = []
            async for event in stream:
                begun.set()  # what fails before anything was told goes to the next model
                events.append(checked(event))
            assert events[-1].type == "response.failed"
            assert message in events[-1].response.error.message
            assert events[-1].response.output_text == "Hel"
            assert error in (here.record.error or "")
            assert here.record.status == 200
            # 20 tokens of prompt and one for three bytes, paid once
            assert here.admission.tickets[0].ended == [("settled", 22_000)]
            assert [one.outcome for one in here.record.attempts] == ["ok"]

    asyncio.run(run())


def test_no_event_waits_for_the_next_one() -> None:
    async def run() -> None:
        async with connected(upstream=CHAT_ONLY) as (here, client):
            pieces = fake.streamed()
            gates = {number: asyncio.Event() for number in range(1, len(pieces))}
            here.upstream.answers("a-theirs", fake.stream(pieces, before=gates))
            stream = await client.responses.create(model="a", input="Hi", stream=True)
            words = []
            async for event in stream:
                if event.type == "response.output_text.delta":
                    words.append(event.delta)
                    gates[len(words)].set()  # the next word is sent when this one was read
                    if len(words) == len(fake.WORDS):
                        for gate in gates.values():
                            gate.set()
            assert tuple(words) == fake.WORDS

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_client_that_hangs_up_ends_the_call_and_pays_for_what_came() -> None:
    async def run() -> None:
        async with running(upstream=CHAT_ONLY) as here:
            never = asyncio.Event()
            here.upstream.answers("a-theirs", fake.stream(fake.streamed(), before={2: never}))
            response = await posted(here, stream=True)
            while b'"delta":"lo"' not in await response.content.readline():
                pass
            response.close()
            await asyncio.wait_for(here.upstream.hung_up.wait(), 10)
            async with asyncio.timeout(10):
                while not here.log:
                    await asyncio.sleep(0)
            assert here.record.status == 499
            assert here.admission.tickets[0].ended == [("settled", 24_000)]

    asyncio.run(run())


def test_a_connection_whose_stream_was_read_is_used_again() -> None:
    async def run() -> None:
        async with running(upstream=CHAT_ONLY) as here:
            told = asyncio.Event()
            pieces = [*fake.streamed(), b": the end comes later\n\n"]
            later = fake.stream(pieces, before={len(pieces) - 1: told})
            here.upstream.answers("a-theirs", later, fake.ok())
            response = await posted(here, stream=True)
            while await response.content.readline() != b"event: response.completed\n":
                pass
            told.set()
            assert b"later" not in await response.read()
            await (await posted(here, stream=True)).read()
            ports = {one.peer for one in here.upstream.seen}
            assert len(ports) == 1

    asyncio.run(run())


def test_texts_are_logged_where_that_is_asked_for() -> None:
    async def run() -> None:
        async with running(upstream=CHAT_ONLY, log={"log_texts": True}) as here:
            for stream in (False, True):
                await (await posted(here, stream=stream)).read()
                assert here.record.answer == "Hello wörld"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"tools": [{"type": "mcp"}]}, "a chat completion has no tools[0] of type"),
        ({"previous_response_id": "resp_1"}, "a chat completion has no previous_response_id"),
    ],
)
def test_a_model_that_would_have_to_ignore_a_field_is_removed(
    more: dict[str, Any], reason: str | None
) -> None:
    upstreams = {"here": {"base_url": "https://here.example/v1"}}
    planned = Planned(None, upstreams=upstreams, models={"large": {"upstream": "here"}})

    async def removed(model: str) -> dict[str, str]:
        body = {"model": model, "input": "Hi", **more}
        chat = responses_request(body, planned.settings.limits)
        plan = await planned.planner.plan(chat, RequestControl(), None)
        return {name: removal.text for name, removal in plan.removed.items()}

    assert asyncio.run(removed("small")) == {}  # its upstream is given the request as it is
    found = asyncio.run(removed("large"))
    if reason is None:
        assert found == {}
    else:
        assert found["large"].startswith(f"its upstream has no /v1/responses, and {reason}")


def test_the_client_is_told_which_field_is_in_the_way(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path, upstream=CHAT_ONLY) as here:
            for body, status in (({}, 200), ({"tools": [{"type": "mcp"}]}, 400)):
                content = {"model": "a", "input": "Hi", **body}
                found, said = await here.ask("POST", "/v1/responses", json=content)
                assert found == status
            assert "tools[0] of type mcp" in said["error"]["message"]
            assert said["error"]["code"] == "no_feasible_model"

    asyncio.run(run())


def test_an_upstream_that_is_asked_all_the_same_refuses() -> None:
    async def run() -> None:
        async with running(upstream=CHAT_ONLY) as here:  # whose planner knows no constraints
            response = await posted(here, seed=7)
            assert response.status == 400
            assert (await response.json())["error"]["param"] == "seed"
            assert here.upstream.seen == []

    asyncio.run(run())
