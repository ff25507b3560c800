"""How providers differ from OpenAI's API: one entry per difference, each switched by a setting."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from equirouter.serve.settings import UpstreamSettings

__all__ = ["answer_limit", "asks_for_usage", "authorization", "chat_body"]

_Body = dict[str, Any]


def chat_body(body: _Body, settings: UpstreamSettings) -> _Body:
    """The body of a chat completion in the form that this provider takes."""
    for quirk in _OF_CHATS:
        body = quirk(body, settings)
    return body


def answer_limit(endpoint: str, settings: UpstreamSettings) -> str:
    """The field that limits an answer: OpenAI's newer models take no max_tokens."""
    if endpoint == "responses":
        return "max_output_tokens"
    host = urlsplit(settings.base_url).hostname or ""
    is_openai = host.endswith((".openai.com", ".openai.azure.com"))
    return "max_completion_tokens" if is_openai else "max_tokens"


def authorization(settings: UpstreamSettings, secret: str) -> dict[str, str]:
    """The headers that carry the key, none without one."""
    return _KEYS[settings.auth](secret) if secret else {}


def asks_for_usage(body: _Body) -> bool:
    """Whether a stream is asked to end with its usage."""
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _usage_of_streams(body: _Body, settings: UpstreamSettings) -> _Body:
    if not body.get("stream") or not settings.stream_usage:
        return body
    options = {**(body.get("stream_options") or {}), "include_usage": True}
    return {**body, "stream_options": options}


_OF_CHATS: tuple[Callable[[_Body, UpstreamSettings], _Body], ...] = (_usage_of_streams,)

_KEYS: dict[str, Callable[[str], dict[str, str]]] = {
    "bearer": lambda secret: {"Authorization": f"Bearer {secret}"},
    "api-key": lambda secret: {"api-key": secret},
    "none": lambda _: {},
}
