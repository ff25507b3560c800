"""The reply in what an upstream sent, as checks and plans see it.

The same as in a table: extractors read the text, and what was empty, refused or cut has no answer.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from equirouter.answers import NO_ANSWER
from equirouter.checks import Response, unusable
from equirouter.policy.replies import Reply
from equirouter.serve.call.sse import objects

_REFUSED = "refusal"
_ENDED = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
"""Words of the other APIs for why an answer ended -> those of chat completions."""


class _Said(NamedTuple):
    """tokens: objects with a log-probability each, where the provider gave them."""

    text: str
    reason: str | None
    tokens: list[dict[str, Any]]


def response_of(document: Mapping[str, Any], query: str) -> Response:
    """The part that checks see of one answer to a query, in the form of any of the APIs."""
    if "choices" in document:
        message = _completion(document)
    else:
        message = _response(document) if "output" in document else _message(document)
    known = [token["logprob"] for token in message.tokens if _is_number(token.get("logprob"))]
    return Response(query, message.text, message.reason, known or None)


def reply_of(response: Response, extract: Callable[[str], str], output_tokens: int) -> Reply:
    """The reply, without signals.

    extract: reads the final answer out of a text, NO_ANSWER where there is none.
    """
    is_usable = unusable(response) is None
    answer = extract(response.text) if is_usable else NO_ANSWER
    return Reply(answer, output_tokens, usable=is_usable)


def _completion(completion: Mapping[str, Any]) -> _Said:
    choice = next(iter(objects(completion.get("choices"))), {})
    message = choice.get("message")
    if not isinstance(message, dict):
        return _Said("", None, [])
    content = message.get("content")
    text = content if isinstance(content, str) else _text(content)
    reason = _REFUSED if message.get("refusal") else _word(choice.get("finish_reason"))
    about = choice.get("logprobs")
    return _Said(text, reason, objects(about.get("content") if isinstance(about, dict) else None))


def _message(message: Mapping[str, Any]) -> _Said:
    texts = [block for block in objects(message.get("content")) if block.get("type") == "text"]
    reason = _word(message.get("stop_reason"))
    return _Said(_text(texts), _ENDED.get(str(reason), reason), [])


def _response(response: Mapping[str, Any]) -> _Said:
    parts = [
        part
        for item in objects(response.get("output"))
        if item.get("type") == "message"
        for part in objects(item.get("content"))
    ]
    tokens = [token for part in parts for token in objects(part.get("logprobs"))]
    return _Said(_text(parts), _why_ended(response, parts), tokens)


def _why_ended(response: Mapping[str, Any], parts: list[dict[str, Any]]) -> str | None:
    if any(part.get("type") == "refusal" for part in parts):
        return _REFUSED
    if response.get("status") != "incomplete":
        return None
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return _ENDED.get(str(reason), "length")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _word(reason: object) -> str | None:
    return reason if isinstance(reason, str) else None


def _text(parts: object) -> str:
    return "".join(part["text"] for part in objects(parts) if isinstance(part.get("text"), str))
