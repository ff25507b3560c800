"""How providers differ from OpenAI's API: one entry per difference, each switched by a setting."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from equirouter.serve.settings import UpstreamSettings

_Body = dict[str, Any]
_LIMITS = {"responses": "max_output_tokens", "messages": "max_tokens"}


def chat_body(body: _Body, settings: UpstreamSettings) -> _Body:
    """The body of a chat completion in the form that this provider takes."""
    for quirk in _OF_CHATS:
        body = quirk(body, settings)
    return body


def answer_limit(endpoint: str, settings: UpstreamSettings) -> str:
    """The field that limits an answer: OpenAI's newer models take no max_tokens."""
    if endpoint in _LIMITS:
        return _LIMITS[endpoint]
    host = urlsplit(settings.base_url).hostname or ""
    is_openai = host.endswith((".openai.com", ".openai.azure.com"))
    return "max_completion_tokens" if is_openai else "max_tokens"


def own_headers(path: str, settings: UpstreamSettings, secret: str) -> dict[str, str]:
    """The headers of a call: the key, and those of the settings, with names in lower case."""
    headers = {name.lower(): value for name, value in settings.headers.items()}
    auth, host = settings.auth, urlsplit(settings.base_url).hostname or ""
    if path.startswith("/messages") and host.endswith(".anthropic.com") and auth == "bearer":
        auth = "x-api-key"  # it takes a bearer token for chat completions only
    return headers | (_KEYS[auth](secret) if secret else {})


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
    "bearer": lambda secret: {"authorization": f"Bearer {secret}"},
    "api-key": lambda secret: {"api-key": secret},
    "x-api-key": lambda secret: {"x-api-key": secret},
    "none": lambda _: {},
}
