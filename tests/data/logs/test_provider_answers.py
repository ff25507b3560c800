"""Answers in the forms of several providers, and answers that only look like one."""

from typing import Any

import pytest

from equirouter.data.logs.base import Fields, share
from equirouter.data.logs.bodies import as_messages, reply_of, request_of
from equirouter.errors import FieldError

CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}


@pytest.mark.parametrize(
    ("response", "answer", "reason"),
    [
        ("five", "five", None),
        ('{"city": "Rome"}', '{"city": "Rome"}', None),  # what the model wrote is JSON
        ("[1, 2]", "[1, 2]", None),
        ('["a", "b"]', '["a", "b"]', None),
        ({"choices": [{"text": "five", "finish_reason": "length"}]}, "five", "length"),
        ({"choices": [{"message": CALL, "finish_reason": "tool_calls"}]}, "", "tool_calls"),
        ({"role": "assistant", "content": "five"}, "five", None),
        ([{"type": "text", "text": "five"}], "five", None),
        (
            {"output": [{"type": "function_call", "name": "f"}], "status": "completed"},
            "",
            "tool_calls",
        ),
        (
            {
                "output": [{"type": "message", "content": [{"text": "fi"}]}],
                "incomplete_details": {"reason": "max_output_tokens"},
            },
            "fi",
            "length",
        ),
        (
            {"content": [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "five"}]},
            "five",
            None,
        ),
    ],
)
def test_an_answer(response: Any, answer: str, reason: str | None) -> None:
    reply = reply_of(response)
    assert (reply.get("answer"), reply.get("finish_reason")) == (answer, reason)


@pytest.mark.parametrize("response", [None, "", {}, "{}", {"error": {"code": 500}}, '{"error": 1}'])
def test_no_answer(response: Any) -> None:
    assert reply_of(response).get("answer") in (None, "")
    assert reply_of(response).get("finish_reason") is None


@pytest.mark.parametrize("text", ['{"city": "Rome"}', '["a", "b"]', "[1, 2]", '[{"city": "Rome"}]'])
@pytest.mark.parametrize("name", ["input", "prompt"])
def test_a_question_that_is_json_is_asked_as_it_is(name: str, text: str) -> None:
    assert request_of({name: text}) == ([{"role": "user", "content": text}], {})


def test_messages_may_be_kept_as_a_text() -> None:
    kept = '[{"role": "user", "content": "Hi"}]'
    assert request_of({"messages": kept}) == ([{"role": "user", "content": "Hi"}], {})


def test_not_a_number_says_nothing() -> None:
    row = Fields({"cost_usd": float("nan"), "cost": 0.5, "created": float("nan")})
    assert row.number("cost_usd", "cost") == 0.5
    assert row.time("created") is None


def test_texts_among_the_parts_are_parts() -> None:
    assert as_messages(
        [{"role": "user", "content": ["Hi", {"type": "text", "text": "there"}]}]
    ) == [{"role": "user", "content": "Hi\nthere"}]


def test_a_count_that_no_file_holds_is_named() -> None:
    with pytest.raises(FieldError, match=r"prompt_tokens is 1e\+30: at most"):
        Fields({"prompt_tokens": 1e30}).whole("prompt_tokens")


def test_conversations_in_other_forms() -> None:
    assert as_messages("Hi") == [{"role": "user", "content": "Hi"}]
    items = [
        {"type": "message", "role": "user", "content": "Weather?"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "sun"},
    ]
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert as_messages(items) == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sun"},
    ]
    assert request_of({"prompt": "Hi", "model": "m", "stream": True, "n": 2}) == (
        [{"role": "user", "content": "Hi"}],
        {"n": 2},
    )
    assert request_of({"model": "m"}) == ([], {})


@pytest.mark.parametrize(
    ("content", "said"),
    [(5, "a int, a list is expected"), ([{"text": "x"}], "message 1 has no role"), ([1], "int")],
)
def test_a_conversation_that_is_none(content: Any, said: str) -> None:
    with pytest.raises(FieldError, match=said):
        as_messages(content)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1764000000, 1764000000.0),
        ("1764000000000", 1764000000.0),
        (1764000000000000, 1764000000.0),
        ("1764000000000000000", 1764000000.0),
        ("2025-11-24T16:00:00Z", 1764000000.0),
        ("2025-11-24 17:00:00+01:00", 1764000000.0),
        ("2025-11-24 16:00:00.500000", 1764000000.5),
        ("", None),
    ],
)
def test_times_of_every_unit(value: Any, seconds: float | None) -> None:
    assert Fields({"at": value}).time("at") == seconds


def test_fields() -> None:
    assert Fields({"a": "", "b": "0.5"}).number("a", "b") == 0.5
    with pytest.raises(FieldError, match="'a' is 'nan', a number"):
        Fields({"a": "nan"}).number("a")
    with pytest.raises(FieldError, match="'soon' is not a time"):
        Fields({"at": "soon"}).time("at")
    assert [share(value) for value in (True, "False", 0.5, 4, "up", None)] == [
        1.0,
        0.0,
        0.5,
        None,
        None,
        None,
    ]
