"""The final answer in what an upstream sent, as the extractor of a table of answers reads it."""

from collections.abc import Callable, Mapping
from typing import Any

from equirouter.answers import NO_ANSWER

__all__ = ["final_answer"]

_CUT = ("length", "content_filter")


def final_answer(document: Mapping[str, Any], extract: Callable[[str], str]) -> str:
    """The final answer of a chat completion or a response with one answer.

    NO_ANSWER for one that was refused or cut, whatever it says, and where `extract` finds none.
    """
    message = _message(document) if "choices" in document else _response(document)
    return NO_ANSWER if message is None else extract(message)


def _message(completion: Mapping[str, Any]) -> str | None:
    """The text of a chat completion, None where it was refused or cut."""
    choice = next(iter(_objects(completion.get("choices"))), {})
    message = choice.get("message")
    if not isinstance(message, dict) or message.get("refusal"):
        return None
    if choice.get("finish_reason") in _CUT:
        return None
    content = message.get("content")
    return content if isinstance(content, str) else _text(content)


def _response(response: Mapping[str, Any]) -> str | None:
    """The text of a response, None where it was refused or cut."""
    if response.get("status") == "incomplete":
        return None
    parts = [
        part
        for item in _objects(response.get("output"))
        if item.get("type") == "message"
        for part in _objects(item.get("content"))
    ]
    return None if any(part.get("type") == "refusal" for part in parts) else _text(parts)


def _text(parts: object) -> str:
    return "".join(part["text"] for part in _objects(parts) if isinstance(part.get("text"), str))


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
