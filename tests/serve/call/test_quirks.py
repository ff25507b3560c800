"""What differs between providers: bodies and headers as each takes them."""

from typing import Any

import pytest

from equirouter.serve.call.quirks import answer_limit, asks_for_usage, chat_body, own_headers
from equirouter.serve.settings import UpstreamSettings

URL = "https://there.example/v1"


@pytest.mark.parametrize(
    ("body", "stream_usage", "options"),
    [
        ({"stream": True}, True, {"include_usage": True}),
        ({"stream": True}, False, None),
        ({"stream": False}, True, None),
        (
            {"stream": True, "stream_options": {"other": 1}},
            True,
            {"other": 1, "include_usage": True},
        ),
        # the client's own wish is passed on
        (
            {"stream": True, "stream_options": {"include_usage": True}},
            False,
            {"include_usage": True},
        ),
    ],
)
def test_streams_are_asked_for_their_usage(
    body: dict[str, Any], stream_usage: bool, options: dict[str, Any] | None
) -> None:
    before = {**body}
    sent = chat_body(body, UpstreamSettings(base_url=URL, stream_usage=stream_usage))
    assert sent.get("stream_options") == options
    assert asks_for_usage(sent) == bool(options and options.get("include_usage"))
    assert body == before  # it is read again for the next candidate


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        ("bearer", {"authorization": "Bearer sk-1"}),
        ("api-key", {"api-key": "sk-1"}),
        ("x-api-key", {"x-api-key": "sk-1"}),
        ("none", {}),
    ],
)
def test_the_key_is_sent_as_the_provider_takes_it(auth: Any, headers: dict[str, str]) -> None:
    settings = UpstreamSettings(base_url=URL, auth=auth)
    assert own_headers("/messages", settings, "sk-1") == headers
    assert own_headers("/messages", settings, "") == {}


def test_anthropic_takes_a_bearer_token_for_chat_completions_only() -> None:
    settings = UpstreamSettings(
        base_url="https://api.anthropic.com/v1", headers={"Anthropic-Beta": "b"}
    )
    for path, key in (
        ("/chat/completions", {"authorization": "Bearer sk-1"}),
        ("/messages", {"x-api-key": "sk-1"}),
        ("/messages/count_tokens", {"x-api-key": "sk-1"}),
    ):
        assert own_headers(path, settings, "sk-1") == {"anthropic-beta": "b", **key}


@pytest.mark.parametrize(
    ("endpoint", "url", "field"),
    [
        ("chat.completions", URL, "max_tokens"),
        ("chat.completions", "https://api.openai.com/v1", "max_completion_tokens"),
        ("chat.completions", "https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("chat.completions", "https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("chat.completions", "https://notopenai.com/v1", "max_tokens"),
        ("responses", "https://api.openai.com/v1", "max_output_tokens"),
        ("responses", URL, "max_output_tokens"),
    ],
)
def test_an_answer_is_limited_by_the_field_that_the_provider_takes(
    endpoint: str, url: str, field: str
) -> None:
    assert answer_limit(endpoint, UpstreamSettings(base_url=url)) == field
