"""A whole answer as the stream of events that a client asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from equirouter.serve.call.sse import objects

_Object = dict[str, Any]
_DONE = b"data: [DONE]\n\n"
_SAID = {"output_text": ("output_text", "text"), "refusal": ("refusal", "refusal")}
_TEXTS = {"text": ("text",), "thinking": ("thinking", "signature")}
"""Of a message's blocks, by their type."""


class WholeAnswer:
    """An Answer of which everything is there: nothing more comes."""

    status = 200
    content_type = "text/event-stream"
    is_over = True

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    async def read(self, most_bytes: int) -> bytes:  # noqa: ARG002
        """Nothing, as Answer.read."""
        return b""

    async def chunk(self) -> bytes:
        """Nothing, as Answer.chunk."""
        return b""

    def close(self) -> None:
        """Nothing is open."""


def whole_stream(document: Mapping[str, Any], *, include_usage: bool) -> bytes:
    """The events of a chat completion, a response or a message that came in one piece.

    include_usage: whether those of a chat completion end with the usage; others always have it.
    """
    if "choices" in document:
        return b"".join(_chunks(document, include_usage=include_usage)) + _DONE
    if "output" not in document:
        return b"".join(map(_event, _of_message(document)))
    events = enumerate(_events(document))
    return b"".join(_event({**event, "sequence_number": n}) for n, event in events)


def _chunks(completion: Mapping[str, Any], *, include_usage: bool) -> Iterator[bytes]:
    """Two chunks of each choice: its message, then why it ended."""
    head = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    for place, choice in enumerate(objects(completion["choices"])):
        message = choice.get("message")
        content = message if isinstance(message, dict) else {}
        known = {key: value for key, value in content.items() if value is not None}
        for delta, reason in ((known, None), (_Object(), choice.get("finish_reason"))):
            part = {"index": place, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield _data({**head, "choices": [part]})
    if include_usage and "usage" in completion:
        yield _data({**head, "choices": [], "usage": completion["usage"]})


def _of_message(message: Mapping[str, Any]) -> Iterator[_Object]:
    """Its events, a delta for each text of a block; blocks of other kinds begin as they are."""
    usage, unsaid = message.get("usage"), dict.fromkeys(("stop_reason", "stop_sequence"))
    begun = {**message, **unsaid, "content": []}
    if isinstance(usage, dict):
        begun["usage"] = {**usage, "output_tokens": 0}
    yield {"type": "message_start", "message": begun}
    for place, block in enumerate(objects(message.get("content"))):
        texts = [name for name in _TEXTS.get(str(block.get("type")), ()) if name in block]
        start = {**block, **dict.fromkeys(texts, "")}
        cited = objects(start.pop("citations", None))
        yield {"type": "content_block_start", "index": place, "content_block": start}
        for delta in (
            *({"type": f"{name}_delta", name: block[name]} for name in texts),
            *({"type": "citations_delta", "citation": citation} for citation in cited),
        ):
            yield {"type": "content_block_delta", "index": place, "delta": delta}
        yield {"type": "content_block_stop", "index": place}
    ended = {name: message.get(name) for name in unsaid}
    yield {"type": "message_delta", "delta": ended, "usage": usage}
    yield {"type": "message_stop"}


def _events(response: Mapping[str, Any]) -> Iterator[_Object]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for place, item in enumerate(objects(response.get("output"))):
        yield from _of_item(item, {"output_index": place})
    ended = "incomplete" if response.get("status") == "incomplete" else "completed"
    yield {"type": f"response.{ended}", "response": dict(response)}


def _of_item(item: _Object, place: _Object) -> Iterator[_Object]:
    begun = {**item, "status": "in_progress"}
    is_message = item.get("type") == "message"
    if is_message:
        begun["content"] = []
    yield {"type": "response.output_item.added", **place, "item": begun}
    for number, part in enumerate(objects(item.get("content")) if is_message else ()):
        yield from _of_part(part, {**place, "item_id": item.get("id"), "content_index": number})
    yield {"type": "response.output_item.done", **place, "item": item}


def _of_part(part: _Object, place: _Object) -> Iterator[_Object]:
    meaning = _SAID.get(str(part.get("type")))
    if meaning is not None and not isinstance(part.get(meaning[1]), str):
        meaning = None
    begun = part if meaning is None else {**part, meaning[1]: ""}
    yield {"type": "response.content_part.added", **place, "part": begun}
    if meaning is not None:
        kind, name = meaning
        yield {"type": f"response.{kind}.delta", **place, "delta": part[name]}
        yield {"type": f"response.{kind}.done", **place, name: part[name]}
    yield {"type": "response.content_part.done", **place, "part": part}


def _event(document: _Object) -> bytes:
    kind: str = document["type"]
    return b"event: " + kind.encode() + b"\n" + _data(document)


def _data(document: _Object) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"
