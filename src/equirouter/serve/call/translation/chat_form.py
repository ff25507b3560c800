"""A conversation in the form of a chat, whatever dialect it was written in, and its parts read.

One reading serves two ends: what is routed and counted, where everything counts, and what an
upstream with chat completions only is sent, where what such a body has no place for is refused.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from equirouter.errors import NoChatError

_LONGEST_NAME = 64  # of a function
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def identifier(text: str) -> str:
    """A text as providers take names and ids."""
    return _ODD.sub("_", text)


def function_name(name: str, *, key: str = "") -> str:
    """A name as providers take it for a function. key: what tells it from others, if not itself."""
    clean = identifier(name)
    if len(clean) <= _LONGEST_NAME:
        return clean
    digest = hashlib.sha256((key or name).encode()).hexdigest()[:8]
    return f"{clean[: _LONGEST_NAME - 9]}_{digest}"


def only(
    document: Mapping[str, Any],
    taken: Iterable[str],
    neutral: Mapping[str, tuple[object, ...]] | None = None,
    place: str = "",
) -> None:
    """Refuse every other field that is not null. neutral: values that ask for nothing."""
    for name, value in document.items():
        if value is None or name in taken or value in (neutral or {}).get(name, ()):
            continue
        raise NoChatError(f"{place}{name[:60]}")


def taken_object(value: object, place: str) -> dict[str, Any]:
    """An object, {} where it is absent."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NoChatError(f"{place} of this form")
    return value


def taken_text(value: object, place: str) -> str:
    """A text that must be there."""
    if not isinstance(value, str):
        raise NoChatError(f"{place} of this form")
    return value


def is_of_type(tool: object, types: re.Pattern[str]) -> bool:
    """Whether a tool has one of these types."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and types.fullmatch(kind) is not None


def of_type(place: str, value: object) -> NoChatError:
    """The refusal of something whose type has no place in a chat completion."""
    return NoChatError(f"{place} of type {str(value)[:60]}")


def strings(value: object) -> Iterator[str]:
    """All strings in a value of JSON, and its numbers as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from strings(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


_Object = dict[str, Any]

COUNTED = "other"
"""The type of a part that is counted, and not sent."""
ITEM = "item"
"""The role of a message that is counted, and not sent."""


@dataclass(slots=True)
class Conversation:
    """The reading of one request. A subclass reads one dialect.

    needs: abilities. kept_elsewhere: fields that stand for a part of the prompt which only the
    provider has. beyond: what a chat completion has no place for. skipped: kinds of blocks that are
    left out though they say something.
    """

    messages: list[_Object] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)
    kept_elsewhere: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def sent(self) -> list[_Object]:
        """The messages of a chat completion. Raises NoChatError for what none can say."""
        if self.beyond:
            raise NoChatError(self.beyond[0])
        return [_without_counted(message) for message in self.messages if message["role"] != ITEM]


def _without_counted(message: _Object) -> _Object:
    content = message["content"]
    if isinstance(content, list):
        content = joined([part for part in content if part["type"] != COUNTED])
        if message["role"] == "assistant" and isinstance(content, list):
            raise NoChatError(f"messages of the assistant with {content[0]['type']}")
    if message.get("tool_calls"):
        content = content or None
    return {**message, "content": content}


def joined(parts: list[_Object], *, between: str = "\n\n") -> str | list[_Object]:
    """Content: a text where it is nothing but texts."""
    if all(part["type"] == "text" for part in parts):
        return between.join(part["text"] for part in parts)
    return parts
