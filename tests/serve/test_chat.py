"""What is read of a chat request."""

from typing import Any

import pytest

from equirouter.errors import GatewayError
from equirouter.serve.chat import ChatRequest, chat_request
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
