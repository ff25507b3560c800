"""The part of a conversation that is routed on: the same in the gateway and in logs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

AGENTS_REMINDER = "<system-reminder>"
"""How a part begins that a coding agent adds to what its user says."""

Scope: TypeAlias = Literal["last_user", "conversation", "first_user"]


@dataclass(slots=True)
class Reading:
    """text: empty where the scope has none. image: the last one in it, as a data URL."""

    text: str
    image: str | None = None


def read_scope(
    messages: Sequence[Mapping[str, Any]], scope: Scope, window_turns: int = 8
) -> Reading:
    """The part of a conversation that is routed on.

    "last_user" is the last user message that says or shows something, "first_user" the first one,
    "conversation" the last window_turns messages of user and assistant, oldest first, an empty line
    between them. Instructions (system, developer) and answers of tools are never read: they are the
    same in many requests, or not what is asked. Only images that are in the request itself count: a
    picture at an address is not fetched.
    """
    if scope == "conversation":
        turns = [message for message in messages if message.get("role") in ("user", "assistant")]
        readings = [_reading(message) for message in turns[-window_turns:]]
        images = [reading.image for reading in readings if reading.image is not None]
        text = "\n\n".join(reading.text for reading in readings if reading.text)
        return Reading(text, images[-1] if images else None)
    for message in reversed(messages) if scope == "last_user" else messages:
        if message.get("role") == "user":
            reading = _reading(message)
            if reading.text or reading.image is not None:
                return reading
    return Reading("")


def _reading(message: Mapping[str, Any]) -> Reading:
    content = message.get("content")
    if isinstance(content, str):
        return Reading(content if content.strip() else "")
    if not content:
        return Reading("")
    # what an agent adds to the words of its user is the same in many requests
    text = "\n".join(piece for piece in _texts(content) if not piece.startswith(AGENTS_REMINDER))
    images = [url for part in content if (url := _data_url(part)) is not None]
    return Reading(text if text.strip() else "", images[-1] if images else None)


def _texts(content: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for part in content:
        text = part.get("text")
        if isinstance(text, str):
            yield text


def _data_url(part: Mapping[str, Any]) -> str | None:
    inner = part.get("image_url")
    url = inner.get("url") if isinstance(inner, dict) else inner
    return url if isinstance(url, str) and url.startswith("data:") else None
