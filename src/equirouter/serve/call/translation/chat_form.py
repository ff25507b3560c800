"""A conversation in the form of a chat, whatever dialect it was written in.

One reading serves two ends: what is routed and counted, where everything counts, and what an
upstream with chat completions only is sent, where what such a body has no place for is refused.
"""

from dataclasses import dataclass, field
from typing import Any

from equirouter.errors import NoChatError

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
