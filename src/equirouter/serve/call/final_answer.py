"""The reply in what an upstream sent, as plans see it: its final answer, and whether it is usable.

The same as in a table: extractors read the text, and what was empty, refused or cut has no answer.
"""

from collections.abc import Callable, Mapping
from typing import Any

from equirouter.answers import NO_ANSWER
from equirouter.checks import Response, unusable
from equirouter.policy.replies import Reply

__all__ = ["reply_of"]

_REFUSED = "refusal"
_ENDED = {"max_output_tokens": "length", "content_filter": "content_filter"}


def reply_of(
    document: Mapping[str, Any], extract: Callable[[str], str], output_tokens: int
) -> Reply:
    """The reply of a chat completion or a response with one answer.

    extract: reads the final answer out of a text, NO_ANSWER where there is none.
    """
    text, reason = _message(document) if "choices" in document else _response(document)
    is_usable = unusable(Response("", text, reason)) is None
    return Reply(extract(text) if is_usable else NO_ANSWER, output_tokens, usable=is_usable)


def _message(completion: Mapping[str, Any]) -> tuple[str, str | None]:
    """The text of a chat completion, and why it ended."""
    choice = next(iter(_objects(completion.get("choices"))), {})
    message = choice.get("message")
    if not isinstance(message, dict):
        return "", None
    content = message.get("content")
    text = content if isinstance(content, str) else _text(content)
    return text, _REFUSED if message.get("refusal") else _word(choice.get("finish_reason"))


def _response(response: Mapping[str, Any]) -> tuple[str, str | None]:
    """The text of a response, and why it ended."""
    parts = [
        part
        for item in _objects(response.get("output"))
        if item.get("type") == "message"
        for part in _objects(item.get("content"))
    ]
    if any(part.get("type") == "refusal" for part in parts):
        return _text(parts), _REFUSED
    if response.get("status") != "incomplete":
        return _text(parts), None
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return _text(parts), _ENDED.get(str(reason), "length")


def _word(reason: object) -> str | None:
    return reason if isinstance(reason, str) else None


def _text(parts: object) -> str:
    return "".join(part["text"] for part in _objects(parts) if isinstance(part.get("text"), str))


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
