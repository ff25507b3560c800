"""Near-duplicates of a log: requests that are one query."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equirouter.data.repeats import words_of

__all__ = ["Folded", "key_of"]

_INSTRUCTIONS = ("system", "developer")


def key_of(messages: Sequence[Mapping[str, Any]]) -> bytes:
    """16 bytes that requests share which differ by nothing that a router or a model would mind.

    Equal are conversations of the same turns, pictures and calls of tools, where two turns are the
    same if their words are: order, case and punctuation do not count, digits do. Instructions
    (system, developer) do not count: they carry dates. A question on another document is another
    query, however long the document: no likeness of texts would tell the two apart.
    """
    digest = hashlib.blake2b(digest_size=16)
    for message in messages:
        if message.get("role") not in _INSTRUCTIONS:
            for piece in _pieces(message):
                digest.update(piece.encode("utf-8", "surrogatepass") + b"\0")
            digest.update(b"\1")
    return digest.digest()


def _pieces(message: Mapping[str, Any]) -> Iterator[str]:
    yield str(message.get("role"))
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, str):
            yield from words_of(text)
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
