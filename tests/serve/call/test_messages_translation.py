"""The Messages API as chat completions and back, on examples worked by hand."""

import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter.conversation import read_scope
from equirouter.errors import GatewayError, NoChatError
from equirouter.serve.call.translation import telling
from equirouter.serve.call.translation.messages.building import (
    MessageBuilding,
    message_usage,
    without_own_thoughts,
)
from equirouter.serve.call.translation.messages.request import as_chat, left_out
from equirouter.serve.call.translation.telling import whole
from equirouter.serve.call.translation.translating import AnswerStream
from equirouter.serve.charging import reported
from equirouter.serve.http.requests import messages_request
from equirouter.serve.plan.prompt_tokens import prompt_tokens
from equirouter.serve.settings import LimitSettings
from tests.serve import fake_upstream as fake

REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def _numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of answers are made of 0f."""
    monkeypatch.setattr(telling, "uuid4", lambda: SimpleNamespace(hex="0f"))


def chat(*messages: Any, **body: Any) -> dict[str, Any]:
    return as_chat({**REQUEST, **({"messages": list(messages)} if messages else {}), **body})


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def result(number: int, content: Any = "ok") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"t{number}", "content": content}


# --- requests


def test_settings_have_their_names_of_chat() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    found = chat(
        max_tokens=7,
        top_p=0.5,
        stop_sequences=["a"],
        stream=True,
        system="Be brief.",
        output_config={"effort": "max", "format": form},
        metadata={"user_id": "u"},
    )
    assert found == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, *REQUEST["messages"]],
        "max_tokens": 7,
        "top_p": 0.5,
        "stop": ["a"],
        "stream": True,
        "reasoning_effort": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
    }


def test_results_come_first_once_each_and_what_they_show_is_the_users() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
    shown = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    blocks = [text("And?"), result(1), result(2, [text("x"), picture]), result(1, "again")]
    assert chat({"role": "user", "content": blocks})["messages"] == [
        {"role": "tool", "tool_call_id": "t1", "content": "ok\nagain"},
        {"role": "tool", "tool_call_id": "t2", "content": "x"},
        {"role": "user", "content": [shown, {"type": "text", "text": "And?"}]},
    ]


def test_a_line_that_differs_in_every_request_is_no_instruction() -> None:
    system = [text("x-anthropic-billing-header: cc_version=1; cch=0a1b2;"), text("You help.")]
    assert chat(system=system)["messages"][0] == {"role": "system", "content": "You help."}


def test_what_an_agent_reminds_of_is_not_what_is_routed_on() -> None:
    content = [text("<system-reminder>Be brief.</system-reminder>"), text("Fix it.")]
    body = {**REQUEST, "messages": [{"role": "user", "content": content}]}
    found = messages_request(body, LimitSettings())
    assert read_scope(found.messages, "last_user").text == "Fix it."


def test_documents_are_files_or_texts() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    plain = {"type": "text", "media_type": "text/plain", "data": "So."}
    found = chat(
        {
            "role": "user",
            "content": [
                {"type": "document", "source": pdf, "title": "a.pdf"},
                {"type": "document", "source": plain},
            ],
        }
    )
    data = "data:application/pdf;base64,JVBERi0="
    assert found["messages"][0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
        {"type": "text", "text": "So."},
    ]


LONG_NAME = "mcp__" + "n" * 90


def test_tools_are_functions_with_names_that_providers_take() -> None:
    tools: list[dict[str, Any]] = [
        {"name": LONG_NAME, "input_schema": {"type": "object"}, "defer_loading": True},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20260318", "name": "web_search"},
    ]
    choice = {"type": "tool", "name": LONG_NAME}
    found = chat(tools=tools, tool_choice=choice)
    names = [tool["function"]["name"] for tool in found["tools"]]
    assert [len(name) for name in names] == [64, 4]
    assert found["tool_choice"]["function"]["name"] == names[0]
    assert found["tools"][1]["function"]["parameters"]["properties"].keys() == {
        "command",
        "restart",
    }
    assert left_out({**REQUEST, "tools": tools}) == ["tools.web_search_20260318"]
    call = {"id": "functions.x:0", "function": {"name": names[0], "arguments": ""}}
    answer = whole(
        MessageBuilding,
        {**REQUEST, "tools": tools},
        fake.completion(None, tool_calls=[call]),
        model="m",
    )
    [block] = answer["content"]
    assert (block["name"], block["id"], block["input"]) == (LONG_NAME, "functions_x_0", {})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mcp_servers": [{"name": "x"}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"tools": [{"type": "computer_20251124", "name": "c"}]}, r"tools\[0\] of type computer"),
        ({"tool_choice": {"type": "any"}}, "tool_choice without tools"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
                    }
                ]
            },
            r"messages\[0\].content\[0\].source of type file",
        ),
    ],
)
def test_what_a_chat_cannot_say_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(NoChatError, match=field):
        as_chat({**REQUEST, **body})


def test_what_asks_for_nothing_is_in_nobodys_way() -> None:
    chat(mcp_servers=[], inference_geo=None, container=None, context_management={"edits": []})


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([], "messages"),
        ([{"role": "user", "content": 7}], r"messages\[0\].content"),
        ([{"role": "robot", "content": []}], r"messages\[0\].role"),
        ([{"role": "user", "content": ["x"]}], r"messages\[0\].content\[0\]"),
        ([{"role": "user", "content": [{"type": "image"}]}], r"messages\[0\].content\[0\].source"),
        ([{"role": "assistant", "content": [{"type": "text"}]}], r"content\[0\].text"),
    ],
)
def test_a_wrong_form_is_named_by_its_place(messages: list[Any], place: str) -> None:
    with pytest.raises(GatewayError, match=place) as refused:
        messages_request({"model": "m", "messages": messages}, LimitSettings())
    assert refused.value.status == 400


def test_what_is_left_out_counts_and_abilities_are_seen() -> None:
    thought = {"type": "thinking", "thinking": "word " * 1000, "signature": "c2ln"}
    messages = [*REQUEST["messages"], {"role": "assistant", "content": [thought, text("Yes.")]}]
    tools = [{"name": "a"}, {"type": "web_search_20260318", "name": "b"}]
    body = {"model": "m", "messages": messages, "tools": tools, "cache_control": {"type": "e"}}
    found = messages_request(body, LimitSettings())
    assert len(json.dumps(found.messages)) > 5000
    assert found.needs == {"tools"}
    assert found.unpriced == ("tools of type web_search_20260318",)
    assert found.caches
    assert len(json.dumps(as_chat(body)["messages"])) < 200


# --- answers


def new_stream() -> AnswerStream:
    return AnswerStream(MessageBuilding, REQUEST, model="m", most_bytes=100_000)


def streamed(pieces: list[bytes]) -> list[dict[str, Any]]:
    stream = new_stream()
    sent = b"".join([*(stream.feed(piece) for piece in pieces), stream.end()])
    return [json.loads(one.partition(b"data: ")[2]) for one in sent.split(b"\n\n") if one]


def test_a_stream_of_text_event_by_event() -> None:
    events = streamed(fake.streamed())
    kinds = ["message_start", "content_block_start", *["content_block_delta"] * 3]
    assert [event["type"] for event in events] == [
        *kinds,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["id"] == "msg_0f"
    assert events[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 20,
            "output_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        (None, "end_turn"),
    ],
)
def test_why_it_finished(reason: str | None, said: str) -> None:
    completion = fake.completion("x")
    completion["choices"][0]["finish_reason"] = reason
    answer = whole(MessageBuilding, REQUEST, completion, model="m")
    assert answer["stop_reason"] == said


def test_a_call_that_cannot_be_read_is_no_answer() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{half"}}
    with pytest.raises(ValueError, match="no JSON object"):
        whole(MessageBuilding, REQUEST, fake.completion(None, tool_calls=[call]), model="m")
    completion = fake.completion(None, tool_calls=[call])
    completion["choices"][0]["finish_reason"] = "length"
    answer = whole(MessageBuilding, REQUEST, completion, model="m")
    assert (answer["content"][0]["input"], answer["stop_reason"]) == ({}, "max_tokens")


def summed(events: list[dict[str, Any]]) -> list[Any]:
    """The blocks that a client adds up, which takes one after the other."""
    blocks: list[Any] = []
    is_open = False
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(blocks)
            blocks.append([event["content_block"]["type"], ""])
            is_open = True
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == len(blocks) - 1
            delta = event["delta"]
            if delta["type"] != "signature_delta":
                said = (delta.get(name) for name in ("text", "thinking", "partial_json"))
                blocks[-1][1] += next(one for one in said if one is not None)
        elif event["type"] == "content_block_stop":
            assert is_open
            is_open = False
    assert not is_open
    return blocks


DELTAS = st.one_of(
    st.builds(lambda said: {"content": said}, st.text(max_size=3)),
    st.builds(lambda said: {"reasoning_content": said}, st.text(max_size=3)),
    st.builds(
        lambda index, said: {
            "tool_calls": [
                {"index": index, "id": f"c{index}", "function": {"name": "f", "arguments": said}}
            ]
        },
        st.integers(0, 2),
        st.sampled_from(["", "{", '"a": 1', "}", "{}"]),
    ),
)


@given(st.lists(DELTAS, max_size=12), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_whatever_is_said_blocks_follow_each_other_however_bytes_are_cut(
    deltas: list[dict[str, Any]], size: int
) -> None:
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    pieces = [fake.event(fake.chunk(choices=choice)) for choice in choices]
    sent = b"".join([*pieces, *fake.streamed()[-3:]])
    events = streamed([sent[at : at + size] for at in range(0, len(sent), size)])
    assert events == streamed([sent])
    if events[-1]["type"] == "error":  # a call that no object came of, or that came back
        return
    blocks = summed(events)
    texts = "".join(delta.get("content", "") for delta in deltas)
    assert "".join(said for kind, said in blocks if kind == "text") == texts
    for kind, said in blocks:
        assert kind != "tool_use" or isinstance(json.loads(said or "{}"), dict)


@given(st.lists(st.integers(0, 1000), min_size=5, max_size=5))
def test_usage_costs_the_same_in_both_forms(counts: list[int]) -> None:
    plain, cached, written, out, thought = counts
    report = {
        "prompt_tokens": plain + cached + written,
        "completion_tokens": out + thought,
        "total_tokens": plain + cached + written + out + thought,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    there, here = reported(report), reported(message_usage(report))
    assert there is not None
    assert here is not None
    assert (here.input, here.output) == (there.input, there.output)
    assert (here.cached_input, here.cache_write) == (there.cached_input, there.cache_write)


# --- whatever is sent

_WORDS = "text image document tool_use tool_result thinking search_result user assistant auto tool"
_WORDS += " base64 url bash_20250124 web_search_20250305 x"
_NAMES = "type role content text source data name input id title tools"
_FIELDS = "system tools tool_choice output_config output_format thinking metadata stop_sequences"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(_WORDS.split()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_NAMES.split()), inner, max_size=4)
    ),
    max_leaves=12,
)
ROLES = st.sampled_from(["user", "assistant", "system"])
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": ROLES, "content": VALUES}) | VALUES, min_size=1, max_size=3
)


@settings(max_examples=300, deadline=None)
@given(messages=MESSAGES, more=st.dictionaries(st.sampled_from(_FIELDS.split()), VALUES))
def test_any_request_is_read_or_refused_and_then_translated_or_refused(
    messages: list[Any], more: dict[str, Any]
) -> None:
    body = {"model": "m", "messages": messages, **more}
    with suppress(GatewayError, NoChatError):
        found = messages_request(body, LimitSettings())
        prompt_tokens(found)
        read_scope(found.messages, "last_user")
        left_out(body)
        without_own_thoughts(body)
        json.dumps(as_chat(body))
        whole(MessageBuilding, body, fake.completion("x"), model="m")
