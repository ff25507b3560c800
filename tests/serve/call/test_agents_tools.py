"""The tools and fields that coding agents send, at upstreams that have chat completions only."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.serve.call.translation import telling
from equirouter.serve.call.translation.responses.building import Building
from equirouter.serve.call.translation.responses.request import as_chat, left_out
from equirouter.serve.call.translation.responses.tools import chat_name
from equirouter.serve.call.translation.telling import whole
from equirouter.serve.call.translation.translating import AnswerStream
from equirouter.serve.http.requests import responses_request
from equirouter.serve.records import RequestControl
from tests.serve import fake_upstream as fake
from tests.serve.gateways import running
from tests.serve.planners import Planned

FUNCTION = {"type": "function", "name": "plan", "parameters": {"type": "object"}, "strict": False}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": GRAMMAR}
SHELL = {"type": "local_shell"}
FILES = {
    "type": "namespace",
    "name": "mcp__files",
    "description": "Files",
    "tools": [{**FUNCTION, "name": "read", "defer_loading": True}, {**PATCH, "name": "edit"}],
}
SEARCHES = [
    {"type": "web_search", "external_web_access": True},
    {"type": "tool_search", "execution": "client"},
    {"type": "image_generation", "output_format": "png"},
]
AGENTS: dict[str, Any] = {
    "model": "m",
    "input": "Hi",
    "tools": [FUNCTION, PATCH, SHELL, FILES, *SEARCHES],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "store": False,
    "include": ["reasoning.encrypted_content", "web_search_call.action.sources"],
    "prompt_cache_key": "k",
    "client_metadata": {"session": "s"},
    "stream_options": {"include_obfuscation": True},
}
NAMES = ["plan", "apply_patch", "local_shell", "mcp__files__read", "mcp__files__edit"]


@pytest.fixture(autouse=True)
def _numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of answers are made of 0f."""
    monkeypatch.setattr(telling, "uuid4", lambda: SimpleNamespace(hex="0f"))


def test_tools_that_the_client_runs_become_functions_and_others_are_left_out() -> None:
    chat = as_chat(AGENTS)
    functions = {tool["function"]["name"]: tool["function"] for tool in chat["tools"]}
    assert list(functions) == NAMES
    assert functions["plan"]["parameters"] == {"type": "object"}
    assert functions["apply_patch"]["parameters"]["required"] == ["input"]
    assert functions["apply_patch"]["description"] == (
        "Edit.\n\nThe input must follow this lark grammar:\nstart: WORD"
    )
    assert functions["local_shell"]["parameters"]["required"] == ["command"]
    assert chat.keys() == {"model", "messages", "tools", "tool_choice", "parallel_tool_calls"}
    assert left_out(AGENTS) == [
        "client_metadata",
        "stream_options",
        "tools.web_search",
        "tools.tool_search",
        "tools.image_generation",
    ]


def test_nothing_is_left_out_of_a_plain_request() -> None:
    assert left_out({"model": "m", "input": "Hi", "tools": [FUNCTION], "store": False}) == []


PAST = [
    {"role": "user", "content": "Go"},
    {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"},
    {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search"}},
    {"type": "custom_tool_call", "call_id": "1", "name": "apply_patch", "input": 'say "x"'},
    {"type": "custom_tool_call_output", "call_id": "1", "output": "done"},
    {
        "type": "local_shell_call",
        "call_id": "2",
        "status": "completed",
        "action": {"type": "exec", "command": ["ls"], "env": {}},
    },
    {"type": "local_shell_call_output", "id": "2", "output": "a b"},
    {
        "type": "function_call",
        "call_id": "3",
        "namespace": "mcp__files",
        "name": "read",
        "arguments": "{}",
    },
    {"type": "function_call_output", "call_id": "3", "output": "text"},
]


def test_earlier_calls_are_said_as_calls_of_those_functions() -> None:
    request = {**AGENTS, "input": PAST}
    said = as_chat(request)["messages"]
    calls = [message["tool_calls"][0]["function"] for message in said if "tool_calls" in message]
    assert [call["name"] for call in calls] == ["apply_patch", "local_shell", "mcp__files__read"]
    assert [json.loads(call["arguments"]) for call in calls] == [
        {"input": 'say "x"'},
        {"command": ["ls"], "env": {}},
        {},
    ]
    results = [(one["tool_call_id"], one["content"]) for one in said if one["role"] == "tool"]
    assert results == [("1", "done"), ("2", "a b"), ("3", "text")]
    assert "input.web_search_call" in left_out(request)


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"type": "custom", "name": "apply_patch"}, "apply_patch"),
        ({"type": "local_shell"}, "local_shell"),
        ({"type": "function", "name": "read", "namespace": "mcp__files"}, "mcp__files__read"),
    ],
)
def test_a_tool_that_is_chosen(choice: dict[str, Any], chosen: str) -> None:
    said = as_chat({**AGENTS, "tool_choice": choice})["tool_choice"]
    assert said == {"type": "function", "function": {"name": chosen}}


def test_allowed_tools_are_those_that_are_sent() -> None:
    allowed = [{"type": "custom", "name": "apply_patch"}, {"type": "web_search"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    chat = as_chat({**AGENTS, "tool_choice": choice})
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["apply_patch"]
    assert chat["tool_choice"] == "required"


def called(name: str, arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("plan", '{"a": 1}', {"type": "function_call", "name": "plan", "arguments": '{"a": 1}'}),
    (
        "apply_patch",
        '{"input": "*** Begin"}',
        {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin"},
    ),
    (
        "apply_patch",
        "*** raw",
        {"type": "custom_tool_call", "name": "apply_patch", "input": "*** raw"},
    ),
    (
        "local_shell",
        '{"command": ["ls", "-a"], "timeout_ms": 5}',
        {
            "type": "local_shell_call",
            "action": {"type": "exec", "command": ["ls", "-a"], "env": {}, "timeout_ms": 5},
        },
    ),
    (
        "local_shell",
        '{"command": "ls | wc"}',
        {
            "type": "local_shell_call",
            "action": {"type": "exec", "command": ["bash", "-lc", "ls | wc"], "env": {}},
        },
    ),
    (
        "mcp__files__read",
        "{}",
        {"type": "function_call", "namespace": "mcp__files", "name": "read", "arguments": "{}"},
    ),
    (
        "mcp__files__edit",
        '{"input": "x"}',
        {"type": "custom_tool_call", "namespace": "mcp__files", "name": "edit", "input": "x"},
    ),
    ("unknown", "{}", {"type": "function_call", "name": "unknown", "arguments": "{}"}),
]


def events_of(sent: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.split(b"data: ")[1]) for event in sent.split(b"\n\n") if event]


@pytest.mark.parametrize(("name", "arguments", "item"), CALLS)
def test_a_call_comes_back_as_one_of_the_tool_streaming_or_not(
    name: str, arguments: str, item: dict[str, Any]
) -> None:
    completion = fake.completion(None, tool_calls=[called(name, arguments)])
    response = whole(Building, AGENTS, completion, model="m")
    (output,) = response["output"]
    assert {key: output[key] for key in item} == item
    assert output["call_id"] == "c1"
    assert output["status"] == "completed"

    stream = AnswerStream(Building, AGENTS, model="m", most_bytes=10_000)
    pieces: list[Any] = [
        called(name, arguments[:4]),
        {"index": 0, "function": {"arguments": arguments[4:]}},
    ]
    told = b"".join(
        stream.feed(fake.event(fake.chunk(choices=[{"index": 0, "delta": {"tool_calls": [one]}}])))
        for one in pieces
    )
    told += stream.feed(fake.event(fake.text_chunk("", "tool_calls"))) + stream.end()
    events = events_of(told)
    assert events[-1]["response"]["output"] == response["output"]
    assert [event["item"] for event in events if "done" in event["type"] and "item" in event] == [
        output
    ]
    kinds = [event["type"] for event in events]
    if item["type"] == "custom_tool_call":
        deltas = [event for event in events if "custom_tool_call_input.delta" in event["type"]]
        assert "".join(event["delta"] for event in deltas) == item["input"]
        assert "response.custom_tool_call_input.done" in kinds
        assert "response.function_call_arguments.delta" not in kinds


def test_the_clients_own_types_read_the_calls() -> None:
    adapters = pytest.importorskip("pydantic")
    types = pytest.importorskip("openai.types.responses")
    stream_event = adapters.TypeAdapter(types.ResponseStreamEvent)
    for name, arguments, item in CALLS:
        stream = AnswerStream(Building, AGENTS, model="m", most_bytes=10_000)
        choices = [{"index": 0, "delta": {"tool_calls": [called(name, arguments)]}}]
        told = stream.feed(fake.event(fake.chunk(choices=choices)))
        told += stream.feed(fake.event(fake.text_chunk("", "tool_calls"))) + stream.end()
        for event in events_of(told):
            read = stream_event.validate_python(event)
            if event["type"] == "response.output_item.done":
                assert read.item.type == item["type"]


@pytest.mark.parametrize("arguments", ["", "{}", '{"command": 7}', '{"command": [7]}', "ls"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_of_the_shell_that_cannot_be_read_is_a_broken_answer(
    arguments: str, stream: bool
) -> None:
    async def run() -> None:
        async with running(upstream={"responses": False}) as here:
            call = called("local_shell", arguments)
            body = {**AGENTS, "model": "a", "stream": stream}
            if not stream:
                shape = fake.document(fake.completion(None, tool_calls=[call]))
            else:
                choices = [{"index": 0, "delta": {"tool_calls": [call]}}]
                pieces = [fake.event(fake.chunk(choices=choices))]
                shape = fake.stream([*pieces, fake.event(fake.text_chunk("", "tool_calls"))])
            here.upstream.answers("a-theirs", shape)
            response = await here.http.post("/v1/responses", json=body)
            if not stream:
                assert response.status == 502
                return
            last = events_of(await response.read())[-1]
            assert last["type"] == "response.failed"
            assert "without a command" in last["response"]["error"]["message"]

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_says_what_was_left_out(stream: bool) -> None:
    async def run() -> None:
        async with running(upstream={"responses": False}) as here:
            body = {**AGENTS, "model": "a", "stream": stream}
            response = await here.http.post("/v1/responses", json=body)
            assert response.status == 200
            assert response.headers["x-equirouter-dropped"] == ", ".join(left_out(AGENTS))
            sent = here.upstream.seen[0].body
            assert [tool["function"]["name"] for tool in sent["tools"]] == NAMES
            read = await response.read()
            answer = events_of(read)[-1]["response"] if stream else json.loads(read)
            assert answer["tools"] == [FUNCTION, PATCH, SHELL, FILES]

    asyncio.run(run())


def test_an_upstream_with_responses_is_sent_all_of_it() -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.http.post("/v1/responses", json={**AGENTS, "model": "a"})
            assert "x-equirouter-dropped" not in response.headers
            assert here.upstream.seen[0].body == {**AGENTS, "model": "a-theirs"}

    asyncio.run(run())


def test_a_model_that_would_lose_a_tool_answers_only_where_no_other_can() -> None:
    upstreams = {"here": {"base_url": "https://here.example/v1"}}
    planned = Planned(None, upstreams=upstreams, models={"large": {"upstream": "here"}})
    feasible = planned.planner._feasible

    def removed(*models: str, **more: Any) -> dict[str, str]:
        body = {"model": "equirouter/auto", "input": "Hi", **more}
        chat = responses_request(body, planned.settings.limits)
        bounds = feasible.bounds(models, chat, planned_tokens(chat))
        found = feasible.removed(models, bounds, chat, RequestControl(), None)
        return {name: removal.text for name, removal in found.items()}

    reason = "its upstream has no /v1/responses, and is not sent tools.web_search"
    assert removed("small", "large", tools=[SEARCHES[0], FUNCTION]) == {"large": reason}
    assert removed("large", tools=[SEARCHES[0], FUNCTION]) == {}
    assert removed("small", "large", tools=[FUNCTION], client_metadata={"a": "b"}) == {}


def planned_tokens(chat: Any) -> Any:
    from equirouter.serve.plan.prompt_tokens import prompt_tokens

    return prompt_tokens(chat)


@given(st.text(max_size=80), st.text(max_size=80))
def test_the_name_of_a_function_is_one_that_providers_take(name: str, namespace: str) -> None:
    joined = chat_name(name, namespace)
    assert len(joined) <= 64
    assert joined.isascii()
    assert all(sign.isalnum() or sign in "_-" for sign in joined)
