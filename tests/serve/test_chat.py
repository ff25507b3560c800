"""What is read of a chat request."""

from typing import Any

import pytest

from equirouter.conversation import Reading, Scope, read_scope
from equirouter.errors import GatewayError
from equirouter.serve.chat import (
    ChatRequest,
    chat_request,
    decoded_image,
)
from equirouter.serve.settings import LimitSettings

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


def read(content: object = "Hi", **body: Any) -> ChatRequest:
    messages = [{"role": "user", "content": content}]
    return chat_request({"model": "m", "messages": messages, **body}, LimitSettings())


@pytest.mark.parametrize(
    ("chat", "needs"),
    [
        (read(), set()),
        (read([{"type": "text", "text": "x"}]), set()),
        (read([{"type": "text", "text": "x"}, IMAGE]), {"vision"}),
        (read([SOUND]), {"audio"}),
        (read(modalities=["text", "audio"]), {"audio"}),
        (read(tools=[{"type": "function"}]), {"tools"}),
        (read(tools=[]), set()),
        (read(functions=[{"name": "f"}]), {"tools"}),
        (read(response_format={"type": "json_schema"}), {"json"}),
        (read(response_format={"type": "json_object"}), {"json"}),
        (read(response_format={"type": "text"}), set()),
        (
            read([IMAGE], tools=[{}], response_format={"type": "json_object"}),
            {"vision", "tools", "json"},
        ),
    ],
)
def test_what_a_model_must_be_able_to_do(chat: ChatRequest, needs: set[str]) -> None:
    assert chat.needs == needs


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 60, "max_completion_tokens": 6}, 60),  # a provider may go by either
        ({"max_tokens": None}, None),
    ],
)
def test_the_limit_of_an_answer(body: dict[str, Any], most: int | None) -> None:
    assert read(**body).max_output_tokens == most


def test_null_means_absent() -> None:
    chat = read(None, n=None, stream=None, stream_options=None, tools=None, response_format=None)
    assert (chat.n, chat.stream, chat.include_usage, list(chat.needs)) == (1, False, False, [])


def test_more_messages_than_allowed_are_refused() -> None:
    messages = [{"role": "user", "content": "x"}] * 4
    with pytest.raises(GatewayError, match="found 4; expected at most 3"):
        chat_request({"model": "m", "messages": messages}, LimitSettings(max_messages=3))


@pytest.mark.parametrize("wrong", ["1", 1.5, True, 0, -1, 2**40])
def test_a_limit_that_is_no_number_of_tokens_is_refused(wrong: object) -> None:
    with pytest.raises(GatewayError, match="max_tokens: found"):
        read(max_tokens=wrong)


PICTURE = "data:image/png;base64,QUJD"


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


TALK = [
    said("system", "Be brief."),
    said("user", "Who wrote Faust?"),
    said("assistant", "Goethe."),
    said("user", "And when?"),
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    {"role": "tool", "tool_call_id": "1", "content": "1808"},
]


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ("last_user", "And when?"),
        ("first_user", "Who wrote Faust?"),
        ("conversation", "Who wrote Faust?\n\nGoethe.\n\nAnd when?"),
    ],
)
def test_each_scope_reads_its_part(scope: Scope, text: str) -> None:
    assert read_scope(TALK, scope) == Reading(text)


def test_a_conversation_is_read_from_its_last_turns() -> None:
    assert read_scope(TALK, "conversation", 3) == Reading("Goethe.\n\nAnd when?")
    assert read_scope(TALK, "conversation", 1) == Reading("")  # a turn that only calls a tool


def test_parts_of_a_message_are_its_text_and_its_last_image() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "Which of these"},
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "text", "text": "is larger?"},
        {"type": "image_url", "image_url": {"url": "https://example.org/not-fetched.png"}},
    ]
    found = read_scope([said("user", parts)], "last_user")
    assert found == Reading("Which of these\nis larger?", PICTURE)


@pytest.mark.parametrize("scope", ["last_user", "first_user"])
def test_a_message_that_says_nothing_is_passed_over(scope: Scope) -> None:
    empty = said("user", "  \n")
    shown = said("user", [{"type": "image_url", "image_url": {"url": PICTURE}}])
    assert read_scope([empty, said("user", "a"), empty], scope) == Reading("a")
    assert read_scope([empty, shown, empty], scope) == Reading("", PICTURE)
    assert read_scope([empty, said("assistant", "a")], scope) == Reading("")
    assert read_scope([said("user", None), said("user", [])], scope) == Reading("")


def test_an_image_is_decoded_from_base64_only() -> None:
    assert decoded_image(PICTURE) == b"ABC"
    assert decoded_image("data:image/svg+xml,%3Csvg%3E") is None
    assert decoded_image("data:image/png;base64,!!") is None
    assert decoded_image("data:") is None
