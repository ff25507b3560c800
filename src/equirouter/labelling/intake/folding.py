"""Near-duplicates of a log: requests that are one query."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equirouter.data.repeats import words_of

_INSTRUCTIONS = ("system", "developer")


def key_of(messages: Sequence[Mapping[str, Any]]) -> bytes:
    """16 bytes that requests share which differ by nothing that a router or a model would mind.

    Equal are conversations of the same turns, pictures and calls of tools, where two turns are the
    same if their words are: order, case and punctuation do not count, digits do. Instructions
    (system, developer) do not count: they carry dates.
    """
    return _digest(map(_pieces, _turns(messages)))


def last_turn(messages: Sequence[Mapping[str, Any]]) -> tuple[str, bytes]:
    """The text of the last turn, and 16 bytes of all else, shared where only the texts differ."""
    *before, last = _turns(messages) or [{}]
    text = "\n".join(part for part in _parts(last) if isinstance(part, str))
    others = [part for part in _parts(last) if not isinstance(part, str)]
    rest = _pieces({**last, "content": others})
    return text, _digest([*map(_pieces, before), rest])


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [message for message in messages if message.get("role") not in _INSTRUCTIONS]


def _digest(turns: Iterable[Iterable[str]]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for pieces in turns:
        for piece in pieces:
            digest.update(piece.encode("utf-8", "surrogatepass") + b"\0")
        digest.update(b"\1")
    return digest.digest()


def _parts(message: Mapping[str, Any]) -> Iterator[Any]:
    """Parts of the content, texts as such."""
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, Mapping) else part
        yield text if isinstance(text, str) else part


def _pieces(message: Mapping[str, Any]) -> Iterator[str]:
    yield str(message.get("role"))
    for part in _parts(message):
        if isinstance(part, str):
            yield from words_of(part)
        elif part is not None:
            yield json.dumps(part, sort_keys=True)
    if message.get("tool_calls"):
        yield json.dumps(
            [call.get("function") for call in message["tool_calls"] if isinstance(call, Mapping)],
            sort_keys=True,
        )


@dataclass(slots=True)
class Folded:
    """A query of several requests. row: of the one that stands for them."""

    row: int
    is_answered: bool
    count: int = 1
