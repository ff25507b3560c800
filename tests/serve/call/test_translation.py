"""The Responses API as chat completions and back, on examples worked by hand."""

import json
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.errors import GatewayError, NoChatError
from equirouter.serve.call.translation import telling
from equirouter.serve.call.translation.responses.building import (
    Building,
    response_usage,
)
from equirouter.serve.call.translation.responses.request import as_chat
from equirouter.serve.call.translation.telling import whole
from equirouter.serve.call.translation.translating import AnswerStream
from equirouter.serve.charging import reported
from equirouter.serve.http.requests import responses_request
from equirouter.serve.settings import LimitSettings
from tests.serve import fake_upstream as fake

SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}}


@pytest.fixture(autouse=True)
def _numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of answers are made of 0f."""
    monkeypatch.setattr(telling, "uuid4", lambda: SimpleNamespace(hex="0f"))


def chat(given: Any = "Hi", **body: Any) -> dict[str, Any]:
    return as_chat({"model": "m", "input": given, **body})


def messages(*items: Any, **body: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat(list(items), **body)["messages"]
    return found


def call(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{name}", "name": name, **more}


def called(name: str, arguments: str = "{}") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{name}", "type": "function", "function": function}


# --- requests


def test_a_text_is_a_message() -> None:
    assert chat() == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    assert chat(instructions="Be brief.")["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


def test_settings_have_their_names_of_chat() -> None:
    tool = {"type": "function", "name": "book", "description": "Books", "parameters": SCHEMA}
    form = {"type": "json_schema", "name": "trip", "schema": SCHEMA, "strict": True}
    found = chat(
        tools=[{**tool, "strict": True}, {**tool, "name": "look", "strict": None}],
        tool_choice={"type": "function", "name": "book"},
        parallel_tool_calls=False,
        text={"format": form, "verbosity": "low"},
        max_output_tokens=50,
        temperature=0.0,
        top_p=0.9,
        reasoning={"effort": "low", "summary": "auto"},
        user="u",
        safety_identifier="s",
        service_tier="flex",
        metadata={"a": "b"},
        store=True,
        stream=True,
        prompt_cache_key="k",
        truncation="disabled",
        background=False,
        include=["reasoning.encrypted_content"],
        previous_response_id=None,
    )
    function = {"name": "book", "description": "Books", "parameters": SCHEMA}
    assert found == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [
            {"type": "function", "function": {**function, "strict": True}},
            {"type": "function", "function": {**function, "name": "look"}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "book"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True},
        },
        "verbosity": "low",
        "max_tokens": 50,
        "temperature": 0.0,
        "top_p": 0.9,
        "reasoning_effort": "low",
        "user": "u",
        "safety_identifier": "s",
        "service_tier": "flex",
        "stream": True,
    }


def test_forms_of_text() -> None:
    assert "response_format" not in chat(text={"format": {"type": "text"}})
    found = chat(text={"format": {"type": "json_object"}})
    assert found["response_format"] == {"type": "json_object"}


def test_tools_that_are_allowed_are_those_that_are_sent() -> None:
    tools = [{"type": "function", "name": name, "parameters": SCHEMA} for name in ("f", "g")]
    allowed = {"type": "allowed_tools", "mode": "required"}
    allowed["tools"] = [{"type": "function", "name": "g"}]  # type: ignore[assignment]
    found = chat(tools=tools, tool_choice=allowed)
    assert [tool["function"]["name"] for tool in found["tools"]] == ["g"]
    assert found["tool_choice"] == "required"


def test_a_choice_among_no_tools_is_not_sent() -> None:
    found = chat(tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert found.keys() == {"model", "messages"}
    with pytest.raises(NoChatError, match="tool_choice without tools"):
        chat(tool_choice="required")


def test_messages_of_all_roles_and_parts() -> None:
    image = "data:image/png;base64,AAAA"
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,A"}
    assert messages(
        {"role": "system", "content": "One"},
        {"role": "developer", "content": [{"type": "input_text", "text": "Two"}]},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": image, "detail": "auto"},
                {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "low"},
                {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                file,
            ],
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "I ", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "won't"},
            ],
        },
        {"role": "user", "content": "Why?"},
    ) == [
        {"role": "system", "content": "One"},
        {"role": "system", "content": "Two"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": image}},
                {
                    "type": "image_url",
                    "image_url": {"url": "https://x.example/a.png", "detail": "low"},
                },
                {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": file["file_data"]},
                },
            ],
        },
        {"role": "assistant", "content": "I won't"},
        {"role": "user", "content": "Why?"},
    ]


def test_calls_of_a_turn_are_one_message_before_their_results() -> None:
    parts = [{"type": "input_text", "text": "7"}]
    assert messages(
        {"role": "user", "content": "Go"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": "I look."},
        call("f", arguments="{}", id="fc_1", status="completed", caller=None),
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "AAAA"},
        call("g", arguments='{"x": 1}'),
        {"role": "assistant", "content": " Now."},
        {"type": "function_call_output", "call_id": "call_f", "output": "6"},
        {"type": "function_call_output", "call_id": "call_g", "output": parts},
        call("h", arguments="{}"),
        {"type": "function_call_output", "call_id": "call_h", "output": "8"},
    ) == [
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "content": "I look. Now.",
            "tool_calls": [called("f"), called("g", '{"x": 1}')],
        },
        {"role": "tool", "tool_call_id": "call_f", "content": "6"},
        {"role": "tool", "tool_call_id": "call_g", "content": "7"},
        {"role": "assistant", "content": None, "tool_calls": [called("h")]},
        {"role": "tool", "tool_call_id": "call_h", "content": "8"},
    ]


def of(**part: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"include": ["reasoning.encrypted_content", "file_search_call.results"]}, "include"),
        ({"truncation": "auto"}, "truncation"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_tool_calls": 2}, "max_tool_calls"),
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"stream_options": {"other": True}}, "stream_options.other"),
        ({"stream_options": 7}, "stream_options of this form"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"reasoning": "low"}, "reasoning of this form"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format of type grammar"),
        ({"text": {"style": "x"}}, "text.style"),
        ({"seed": 0}, "seed"),
        ({"flag": False}, "flag"),
        ({"x" * 100: 1}, "x" * 60),
        ({"instructions": [{"role": "user"}]}, "instructions of this form"),
        ({"tools": [{"type": "file_search"}]}, "tools[0] of type file_search"),
        ({"tools": [{"type": "mcp"}]}, "tools[0] of type mcp"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function"),
        (
            {"tools": [{"type": "function", "name": "f", "async": True}]},
            "tools[0].async",
        ),
        (
            {"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "f"}]},
            "two tools named f",
        ),
        ({"tools": [{"type": "custom", "name": "c", "format": {"type": "x"}}]}, "tools[0].format"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools of this form"),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]},
            "tools[0].tools[0] of type mcp",
        ),
        ({"tools": [7]}, "tools[0] of this form"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice of type web_search"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": 7}}, "tool_choice"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0] of type item_reference"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role critic"),
        ({"input": [call("f")]}, "input[0].arguments of this form"),
        ({"input": [call("f", arguments="{}", namespace=7)]}, "input[0].namespace of this form"),
        (of(type="input_file", file_id="f"), "input[0].content[0].file_id"),
        (of(type="input_file", file_url="f"), "input[0].content[0].file_url"),
        (of(type="input_image", file_id="f"), "input[0].content[0].file_id"),
        (of(type="input_video"), "input[0].content[0] of type input_video"),
        (
            {
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_image", "image_url": "x"}],
                    }
                ]
            },
            "input[0].output[0] of type input_image",
        ),
    ],
)
def test_what_a_chat_cannot_say_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(NoChatError) as refused:
        as_chat({"model": "m", "input": "Hi", **body})
    assert refused.value.field.startswith(field)
    assert field in str(refused.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["message", "function", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "tools", "format", "output"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(["tools", "tool_choice", "text", "reasoning", "instructions", "include"])


@settings(max_examples=150)
@given(items=st.lists(VALUES, min_size=1, max_size=4), more=st.dictionaries(FIELDS, VALUES))
def test_any_request_that_is_read_is_translated_or_refused(
    items: list[Any], more: dict[str, Any]
) -> None:
    body = {"model": "m", "input": items, **more}
    with suppress(GatewayError, NoChatError):
        responses_request(body, LimitSettings())
        assert as_chat(body)["messages"] is not None


# --- answers

REQUEST = {"model": "m", "input": "Hi", "temperature": 0.5, "metadata": {"model": "x"}}


def answered(said: dict[str, Any]) -> dict[str, Any]:
    return whole(Building, REQUEST, said, model="m")


def test_an_answer_is_a_whole_response() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 8}}
    usage = {**fake.USAGE, **details, "completion_tokens_details": {"reasoning_tokens": 4}}
    assert answered(fake.completion(usage=usage)) == {
        "id": "resp_0f",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "model": "theirs-2026",
        "error": None,
        "incomplete_details": None,
        "output": [
            {
                "id": "msg_0f0000",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "Hello wörld",
                        "annotations": [],
                        "logprobs": [],
                    }
                ],
            }
        ],
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 30,
        },
        "store": False,
        "background": False,
        "previous_response_id": None,
        "truncation": "disabled",
        "instructions": None,
        "max_output_tokens": None,
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": None,
        "temperature": 0.5,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "user": None,
        "metadata": {"model": "x"},
    }


def test_reasoning_texts_refusals_and_calls_are_items() -> None:
    said = fake.completion(
        "I look.",
        reasoning_content="Hm.",
        refusal="No.",
        tool_calls=[called("f", '{"x": 1}'), called("g")],
        usage=None,
    )
    found = answered(said)
    kinds = [(item["type"], item["id"], item["status"]) for item in found["output"]]
    assert kinds == [
        ("reasoning", "rs_0f0000", "completed"),
        ("message", "msg_0f0001", "completed"),
        ("function_call", "fc_0f0002", "completed"),
        ("function_call", "fc_0f0003", "completed"),
    ]
    thought, message, first, _ = found["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]
    assert message["content"][1] == {"type": "refusal", "refusal": "No."}
    assert (first["call_id"], first["name"], first["arguments"]) == ("call_f", "f", '{"x": 1}')
    assert found["usage"] is None


def test_parts_of_content_are_told_apart() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    content: Any = [thought, {"type": "text", "text": "Yes"}]
    found = answered(fake.completion(content))
    assert [item["type"] for item in found["output"]] == ["reasoning", "message"]
    assert found["output"][1]["content"][0]["text"] == "Yes"


PAGE = {"start_index": 0, "end_index": 3, "title": "A page", "url": "https://page.example"}
CITED = [{"type": "url_citation", "url_citation": PAGE}]


def test_citations_are_those_of_the_text() -> None:
    [message] = answered(fake.completion("Yes", annotations=CITED))["output"]
    assert message["content"][0]["annotations"] == [{"type": "url_citation", **PAGE}]
    events = streamed([delta(content="Yes"), delta(annotations=CITED), FINISH, DONE])
    assert events[-1]["response"]["output"] == [message]
    [told] = [one for one in events if one["type"].endswith("annotation.added")]
    place = {"item_id": "msg_0f0000", "output_index": 0, "content_index": 0}
    cited = {"annotation_index": 0, "annotation": {"type": "url_citation", **PAGE}}
    assert told == {"type": "response.output_text.annotation.added", **place, **cited}


@pytest.mark.parametrize("content", ["", None])
def test_an_answer_that_says_nothing_is_an_empty_text(content: str | None) -> None:
    [message] = answered(fake.completion(content))["output"]
    assert message["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        (None, "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_why_it_finished_is_its_status(reason: str | None, status: str, details: Any) -> None:
    said = fake.completion()
    said["choices"][0]["finish_reason"] = reason
    found = answered(said)
    assert (found["status"], found["incomplete_details"]) == (status, details)
    assert found["output"][0]["status"] == status


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"choices": []},
        {"choices": [{"text": "Hi"}]},
        fake.completion(7),  # type: ignore[arg-type]
        fake.completion([{"type": "image_url"}]),  # type: ignore[arg-type]
        fake.completion(tool_calls={"f": 1}),
        fake.completion(tool_calls=[{"type": "custom"}]),
        fake.completion(tool_calls=[{"function": {"name": "f", "arguments": {"x": 1}}}]),
    ],
)
def test_an_answer_that_is_none_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no |not |neither|of type|without|whose"):
        answered(said)


COUNTS = st.integers(0, 1000)


@given(st.lists(COUNTS, min_size=8, max_size=8))
def test_usage_costs_the_same_in_both_forms(counts: list[int]) -> None:
    cached, written, heard, plain, thought, spoken, text, more = counts
    usage = {
        "prompt_tokens": cached + written + heard + plain,
        "completion_tokens": thought + spoken + text,
        "total_tokens": sum(counts[:4]) + thought + spoken + text + more,
        "prompt_tokens_details": {
            "cached_tokens": cached,
            "cache_write_tokens": written,
            "audio_tokens": heard,
        },
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": spoken},
    }
    assert reported(usage) is not None
    assert reported(response_usage(usage)) == reported(usage)


# --- streams


def read(sent: bytes) -> list[dict[str, Any]]:
    """The events that a client reads; their form is checked."""
    found = []
    for number, event in enumerate(sent.split(b"\n\n")[:-1]):
        kind, data = event.split(b"\n")
        document = json.loads(data.removeprefix(b"data: "))
        assert kind == b"event: " + document["type"].encode()
        assert document.pop("sequence_number") == number
        found.append(document)
    return found


def new_stream(**options: Any) -> AnswerStream:
    options = {"model": "m", "most_bytes": 10_000, **options}
    return AnswerStream(Building, REQUEST, **options)


def streamed(pieces: list[bytes], **options: Any) -> list[dict[str, Any]]:
    stream = new_stream(**options)
    return read(b"".join([*map(stream.feed, pieces), stream.end()]))


def delta(**said: Any) -> bytes:
    return fake.event(fake.chunk(choices=[{"index": 0, "delta": said, "finish_reason": None}]))


def call_delta(index: int | None, **said: Any) -> bytes:
    function = {name: said.pop(name) for name in ("name", "arguments") if name in said}
    part = {"function": function, **said}
    return delta(tool_calls=[part if index is None else {"index": index, **part}])


FINISH = fake.event(fake.text_chunk("", "stop"))
USED = fake.event(fake.chunk(usage=fake.USAGE))
DONE = b"data: [DONE]\n\n"


def test_a_stream_of_text_event_by_event() -> None:
    events = streamed(fake.streamed())
    of_part = {"item_id": "msg_0f0000", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    whole = {**empty, "text": "Hello wörld"}
    message = {"id": "msg_0f0000", "type": "message", "role": "assistant"}
    ended = {**message, "status": "completed", "content": [whole]}
    assert [event["response"]["status"] for event in events[:2]] == ["in_progress"] * 2
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[2:-1] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **of_part, "part": empty},
        *(
            {"type": "response.output_text.delta", **of_part, "delta": word, "logprobs": []}
            for word in fake.WORDS
        ),
        {
            "type": "response.output_text.done",
            **of_part,
            "text": "Hello wörld",
            "logprobs": [],
        },
        {"type": "response.content_part.done", **of_part, "part": whole},
        {"type": "response.output_item.done", "output_index": 0, "item": ended},
    ]
    assert events[-1] == {
        "type": "response.completed",
        "response": answered(fake.completion()),
    }


def test_reasoning_text_and_refusal_follow_each_other() -> None:
    said = [
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm"),
        delta(reasoning_content="."),
        delta(content="Yes"),
        delta(refusal="No"),
    ]
    kinds = [event["type"].removeprefix("response.") for event in streamed([*said, FINISH, DONE])]
    of_part = ["content_part.done", "output_item.done"]
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        *of_part,
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        *of_part,
        "completed",
    ]


def test_calls_that_come_in_turn_are_kept_apart() -> None:
    said = [
        delta(content="I look."),
        call_delta(0, id="call_f", name="f", arguments=""),
        call_delta(0, arguments='{"x"'),
        call_delta(1, id="call_g", name="g", arguments="{"),
        call_delta(0, arguments=": 1}"),
        call_delta(1, arguments="}"),
    ]
    events = streamed([*said, fake.event(fake.text_chunk("", "tool_calls")), USED, DONE])
    kinds = [event["type"].removeprefix("response.") for event in events]
    ended = ["function_call_arguments.done", "output_item.done"]
    assert kinds[5:] == [
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        *["function_call_arguments.delta"] * 3,
        *ended,
        *ended,
        "completed",
    ]
    calls = [one["item"] for one in events if one["type"] == "response.output_item.done"][1:]
    assert [(one["call_id"], one["name"], one["arguments"]) for one in calls] == [
        ("call_f", "f", '{"x": 1}'),
        ("call_g", "g", "{}"),
    ]
    done = [one for one in events if one["type"] == "response.function_call_arguments.done"]
    assert [(one["item_id"], one["name"], one["arguments"]) for one in done] == [
        ("fc_0f0001", "f", '{"x": 1}'),
        ("fc_0f0002", "g", "{}"),
    ]


@pytest.mark.parametrize(
    "said",
    [
        # some providers send whole calls, all under the index 0, or without any
        [call_delta(0, id=f"call_{name}", name=name, arguments="{}") for name in "fg"],
        [call_delta(None, id=f"call_{name}", name=name, arguments="{}") for name in "fg"],
        # others say id and name again with each part
        [
            call_delta(i, id=f"call_{n}", name=n, arguments=a)
            for i, n in enumerate("fg")
            for a in "{}"
        ],
        [
            part
            for i, n in enumerate("fg")
            for part in (
                call_delta(i, id=f"call_{n}", name=n),
                call_delta(i, id="", name=None, arguments="{}"),
            )
        ],
    ],
)
def test_ways_in_which_providers_number_their_calls(said: list[bytes]) -> None:
    final = streamed([*said, FINISH, DONE])[-1]["response"]
    assert [(one["call_id"], one["name"], one["arguments"]) for one in final["output"]] == [
        ("call_f", "f", "{}"),
        ("call_g", "g", "{}"),
    ]


def test_a_call_without_an_id_gets_one() -> None:
    final = streamed([call_delta(0, name="f", arguments="{}"), FINISH, DONE])[-1]["response"]
    assert final["output"][0]["call_id"] == "call_0f0000"


def test_a_stream_that_was_cut_off_by_the_limit_is_incomplete() -> None:
    events = streamed([delta(content="Hel"), fake.event(fake.text_chunk("", "length")), USED, DONE])
    assert events[-1]["type"] == "response.incomplete"
    final = events[-1]["response"]
    assert final["incomplete_details"] == {"reason": "max_output_tokens"}
    assert final["output"][0]["status"] == "incomplete"
    assert final["usage"]["output_tokens"] == 10


def test_events_of_no_interest_do_no_harm() -> None:
    filters = fake.event(fake.chunk(prompt_filter_results=[]))
    other = fake.event(fake.chunk(choices=[{"index": 1, "delta": {"content": "x"}}, 7]))
    pieces = [filters, delta(role="assistant", content=None), *fake.streamed()]
    events = streamed([pieces[0], other, *pieces[1:], fake.event({"late": 1})])
    assert events[-1]["response"]["output"] == answered(fake.completion())["output"]


def test_comments_are_passed_on() -> None:
    stream = new_stream()
    assert stream.feed(b": alive\n\n") == b": alive\n\n"
    assert not stream.has_begun
    assert stream.feed(delta(content="x")).startswith(b"event: response.created\n")


def test_nothing_is_held_back() -> None:
    stream = new_stream()
    for word in ("a", "b", "c"):
        assert f'"delta":"{word}"'.encode() in stream.feed(delta(content=word))
    assert b"response.completed" in stream.feed(FINISH + DONE)


@pytest.mark.parametrize(
    ("last", "says", "code"),
    [
        (fake.event({"error": {"message": "overloaded"}}), "overloaded", "server_error"),
        (fake.event({"error": {"message": "m", "code": 429}}), "m", "rate_limit_exceeded"),
        (fake.event({"error": "odd"}), "odd", "server_error"),
        (b"data: {half\n\n", "an event that is not a JSON object", "server_error"),
        (b"data: 17\n\n", "an event that is not a JSON object", "server_error"),
        (b"", "it ended before the answer was complete", "server_error"),
        (b"data: " + b"x" * 20_000, "an event of more than 10000 bytes", "server_error"),
        (delta(content="x" * 9_000) * 2, "an answer of more than 10000 characters", "server_error"),
        (delta(content=7), "content that is neither a text nor parts", "server_error"),
    ],
)
def test_a_stream_that_breaks_fails_with_what_was_said(last: bytes, says: str, code: str) -> None:
    events = streamed(
        [delta(content="Hel"), last, FINISH, DONE] if last else [delta(content="Hel")]
    )
    assert events[-1]["type"] == "response.failed"
    final = events[-1]["response"]
    assert (final["status"], final["error"]) == ("failed", {"code": code, "message": says})
    assert final["output"][0]["content"][0]["text"].startswith("Hel")
    assert final["output"][0]["status"] == "incomplete"


def test_what_breaks_before_it_begins_tells_nothing() -> None:
    for pieces in ([], [DONE], [fake.event({"error": {"message": "no"}})], [b"data: {\n\n"]):
        stream = new_stream()
        assert b"".join([*map(stream.feed, pieces), stream.end()]) == b""
        assert stream.failure is not None
        assert not stream.has_begun


NAMES = "choices delta content refusal tool_calls function name arguments id type text usage error"
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "x", "text", "stop"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES.split(), "finish_reason"]), inner, max_size=4)
    ),
    max_leaves=12,
)
DELTAS = st.dictionaries(st.sampled_from(["content", "tool_calls", "annotations"]), ANYTHING)


@settings(max_examples=150)
@given(st.lists(ANYTHING | DELTAS.map(lambda one: {"choices": [{"delta": one}]}), max_size=4))
def test_whatever_an_upstream_sends_there_is_one_end(sent: list[Any]) -> None:
    stream = new_stream()
    events = read(b"".join([*(stream.feed(fake.event(one)) for one in sent), stream.end()]))
    assert stream.is_over
    assert bool(events) == stream.has_begun
    ends = {f"response.{end}" for end in ("completed", "incomplete", "failed")}
    places = [place for place, event in enumerate(events) if event["type"] in ends]
    assert places == ([len(events) - 1] if events else [])
    assert stream.has_begun or stream.failure is not None


SAID = st.one_of(
    st.builds(lambda text: {"content": text}, st.text(max_size=5)),
    st.builds(lambda text: {"reasoning_content": text}, st.text(max_size=5)),
    st.builds(lambda text: {"refusal": text}, st.text(max_size=5)),
    st.builds(
        lambda index, text: {
            "tool_calls": [
                {
                    "index": index,
                    "id": f"call_{index}",
                    "function": {"name": f"f{index}", "arguments": text},
                }
            ]
        },
        st.integers(0, 2),
        st.text(max_size=5),
    ),
)


@settings(max_examples=150)
@given(
    said=st.lists(SAID, max_size=8),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
    end=st.sampled_from([b"\n\n", b"\r\n\r\n"]),
)
def test_wherever_a_stream_is_cut_its_events_add_up(
    said: list[dict[str, Any]], cuts: list[int], end: bytes
) -> None:
    pieces = [delta(role="assistant"), *(delta(**one) for one in said), FINISH, USED, DONE]
    sent = b"".join(piece.removesuffix(b"\n\n") + end for piece in pieces)
    places = sorted({0, len(sent), *(cut % len(sent) for cut in cuts)})
    cut_up = [sent[a:b] for a, b in pairwise(places)]
    events = streamed(cut_up)
    assert events == streamed([sent])
    final = events[-1]["response"]
    assert final["usage"]["total_tokens"] == 30
    _check_events(events, final["output"])
    for kind, field in (("output_text", "content"), ("refusal", "refusal")):
        told = "".join(_texts(final["output"], kind))
        assert told == "".join(one.get(field, "") for one in said)
    for index in range(3):
        arguments = "".join(
            call["function"]["arguments"]
            for one in said
            for call in one.get("tool_calls", [])
            if call["index"] == index
        )
        told = "".join(one["arguments"] for one in _calls(final["output"], index))
        assert told == arguments


def _calls(output: list[dict[str, Any]], index: int) -> list[dict[str, Any]]:
    return [item for item in output if item.get("call_id") == f"call_{index}"]


def _texts(output: list[dict[str, Any]], kind: str) -> list[str]:
    field = "refusal" if kind == "refusal" else "text"
    content = [part for item in output for part in item.get("content", [])]
    return [part[field] for part in content if part["type"] == kind]


def _check_events(events: list[dict[str, Any]], output: list[dict[str, Any]]) -> None:
    """Every item is added, then grows by deltas to what the last event says, then is done once."""
    added = [one["output_index"] for one in events if one["type"] == "response.output_item.added"]
    assert added == list(range(len(output)))
    for place, item in enumerate(output):
        mine = [one for one in events if one.get("output_index") == place]
        assert mine[0]["type"] == "response.output_item.added"
        assert mine[-1] == {
            "type": "response.output_item.done",
            "output_index": place,
            "item": item,
        }
        assert sum(one["type"] == "response.output_item.done" for one in mine) == 1
        deltas = "".join(one["delta"] for one in mine if one["type"].endswith(".delta"))
        whole = item.get("arguments")
        if whole is None:
            whole = "".join(part.get("text", part.get("refusal")) for part in item["content"])
        assert deltas == whole
