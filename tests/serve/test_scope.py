"""Which part of a conversation is routed on."""

from typing import Any

import pytest

from equirouter.serve.scope import Reading, Scope, decoded_image, read_scope

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
