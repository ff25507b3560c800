"""Whether what an upstream sent under status 200 is an answer.

An answer says something, or says why it ended. An error, a page, or an empty object is none,
however its bytes are cut. Checks and plans see a reply the same as in a table: extractors read the
text, and what was empty, refused or cut has no answer.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from equirouter.answers import NO_ANSWER
from equirouter.checks import Response, unusable
from equirouter.errors import UpstreamError
from equirouter.policy.replies import Reply
from equirouter.serve.call.sse import (
    Events,
    data_document,
    each_event,
    error_in,
    event_data,
    objects,
)

_Object: TypeAlias = Mapping[str, Any]
# Events of a response before the model begins. What begins with an item is the model's own.
_BEFORE = ("response.created", "response.queued", "response.in_progress", "keepalive", "ping")


def answer_document(body: bytes, path: str) -> dict[str, Any]:
    """The body parsed. path: the endpoint that was called, such as /chat/completions.

    Raises UpstreamError where it is no JSON object, an error, or holds no answer.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise UpstreamError("broken", f"the answer is not JSON: {wrong}") from wrong
    if not isinstance(document, dict):
        raise UpstreamError("broken", "the answer is not a JSON object")
    error = error_in(document)
    if error is not None:
        raise UpstreamError("broken", "an error under status 200", body=_as_error(error))
    if not _HOLDS[path](document):
        raise UpstreamError("broken", "a document without an answer under status 200")
    return document


class Opening:
    """The beginning of a stream, held until the model says something.

    Comments, roles without a text, events without a choice, `response.created` and `message_start`
    carry nothing: an error after them can still be answered by another model. path: the endpoint
    that was called. most_bytes: that may come before the answer begins.
    """

    def __init__(self, path: str, most_bytes: int) -> None:
        self._says = _SAYS.get(path, _says_chunk)
        self._most_bytes = most_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        self._events = Events(most_bytes)

    def all(self) -> bytes:
        """All bytes that came."""
        return b"".join(self._chunks)

    def has_begun(self, chunk: bytes) -> bool:
        """Take the next bytes, b"" at the end; whether the answer has begun.

        Raises UpstreamError for an error, a page, an end without an answer, and too many bytes.
        """
        self._chunks.append(chunk)
        self._size += len(chunk)
        try:
            events = self._events.complete(chunk) if chunk else self._events.rest()
        except ValueError as too_long:
            raise UpstreamError("broken", str(too_long)) from None
        if any(self._begins(event) for event in each_event(events)):
            return True
        if not chunk:
            raise UpstreamError(
                "broken", "a stream without an answer" if self._size else "an empty stream"
            )
        if self._size > self._most_bytes:
            raise UpstreamError(
                "broken", f"more than {self._most_bytes} bytes before the answer began"
            )
        return False

    def _begins(self, event: bytes) -> bool:
        if (event_data(event) or b"").strip() == b"[DONE]":
            raise UpstreamError("broken", "a stream without an answer")
        document = data_document(event)
        if document is None:
            return False
        error = error_in(document)
        if error is not None:
            raise UpstreamError("broken", "the stream began with an error", body=_as_error(error))
        return self._says(document)


def _says_chunk(document: _Object) -> bool:
    """Whether a chunk of a chat completion has more than a role."""
    return any(_is_choice(choice, "delta") for choice in objects(document.get("choices")))


def _says_response(document: _Object) -> bool:
    kind, inner = document.get("type"), document.get("response")
    if kind in ("response.completed", "response.incomplete"):
        return isinstance(inner, dict) and _holds_response(inner)
    return isinstance(kind, str) and kind not in _BEFORE


def _says_message(document: _Object) -> bool:
    """Whether a message has begun in earnest, or says why it ended."""
    kind = document.get("type")
    return isinstance(kind, str) and (kind.startswith("content_block") or kind == "message_delta")


def _holds_message(document: _Object) -> bool:
    return bool(objects(document.get("content"))) or bool(document.get("stop_reason"))


def _holds_completion(document: _Object) -> bool:
    return any(_is_choice(choice, "message") for choice in objects(document.get("choices")))


_ROLE = frozenset({"role"})


def _is_choice(choice: _Object, place: Literal["message", "delta"]) -> bool:
    """Whether a choice says something, or why it ended. text: of completions of the old form."""
    message = choice.get(place)
    if isinstance(message, dict):
        reason = choice.get("finish_reason")
        if (reason and reason != "error") or any(map(message.get, message.keys() - _ROLE)):
            return True
    return bool(choice.get("text"))


def _holds_response(document: _Object) -> bool:
    return bool(objects(document.get("output"))) or document.get("status") == "incomplete"


def _holds_embeddings(document: _Object) -> bool:
    data = document.get("data")
    return (
        bool(data)
        and isinstance(data, list)
        and all(isinstance(row, dict) and row.get("embedding") for row in data)
    )


_HOLDS = {
    "/chat/completions": _holds_completion,
    "/responses": _holds_response,
    "/messages": _holds_message,
    "/embeddings": _holds_embeddings,
}
_SAYS = {"/responses": _says_response, "/messages": _says_message}


def _as_error(error: object) -> bytes:
    return orjson.dumps({"error": error})


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
