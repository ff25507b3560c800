"""Near-duplicates of a log: requests that are one query, found in one pass.

Their words are the same, or they are long texts that differ in a few: templates with small edits.
Source of the latter: Broder 1997 (shingles, minima of hashes), Indyk and Motwani 1998 (bands).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from equirouter.data.repeats import words_of

ALIKE = 0.9
"""Runs of three words that two texts share, of those in either, from which on they are one query:
a word in fifty may be another."""

_RUN = 3
_ENDS = 8
"""Words at the beginning and at the end that must be the same: there stands what is asked."""
_LONGEST_EDIT = 3
"""Words in a row that may be others: a name, a date. Another question among the same examples, or
on the same document, is longer."""
_LEAST_WORDS, _MOST_WORDS = 48, 2000
"""In a shorter text one other word is below ALIKE; of a longer one too much would be kept."""
_LEAST_CHARACTERS = 2 * _LEAST_WORDS - 1
_SKETCH = 256
"""Runs by which texts that may be alike are found, the least by their hash."""
_BANDS, _ROWS = 8, 8
"""Texts that share 0.9 of their runs meet in one band at least with a probability of 0.99."""
_MOST_COMPARED = 4
_WORDS = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")  # of UTF-8; of bytes they are found faster
_DIGITS = re.compile(rb"[0-9]+")
_MIX = np.uint64(0x9E3779B97F4A7C15)
_RNG = np.random.default_rng(20_260_101)  # the same functions always
_FACTORS = _RNG.integers(1, 2**63, size=(_BANDS * _ROWS, 1), dtype=np.uint64) | np.uint64(1)

_EDITS = sorted(product(range(_LONGEST_EDIT + 1), repeat=2), key=sum)[1:]
"""Words that are left out and put in: the shortest edit first."""

_Codes: TypeAlias = NDArray[np.uint32]
_Runs: TypeAlias = NDArray[np.uint64]


def said_rule() -> str:
    """The rule by which texts are alike, for people."""
    return (
        f"{ALIKE:.0%} of their runs of {_RUN} words, all numbers\n"
        f"and {_ENDS} words at both ends; no more than {_LONGEST_EDIT} words in a row are others"
    )


class AlikeTexts:
    """The texts so far, each with its number. In memory are some 4 bytes per word of long ones."""

    def __init__(self) -> None:
        self._codes: dict[int, _Codes] = {}
        self._bands: dict[bytes, list[int]] = {}

    def find_or_add(self, text: str, context: bytes, number: int) -> int:
        """The number of a text before that is alike in the same context, else of this one.

        context: what else must be equal. Of several the first is found, in nearly every case.
        """
        if len(text) < _LEAST_CHARACTERS:
            return number
        raw = text.casefold().encode("utf-8", "surrogatepass")
        words = _WORDS.findall(raw)
        if not _LEAST_WORDS <= len(words) <= _MOST_WORDS:
            return number
        codes = np.fromiter(map(crc32, words), np.uint32, len(words))
        runs = np.unique(_runs(codes))
        same = b" ".join([*words[:_ENDS], *words[-_ENDS:], *sorted(_DIGITS.findall(raw))])
        keys = [
            context + band.tobytes() + bytes([place]) + same
            for place, band in enumerate(_minima(runs[:_SKETCH]).reshape(_BANDS, _ROWS))
        ]
        met = {other for key in keys for other in self._bands.get(_short(key), ())}
        for other in sorted(met):
            known = self._codes[other]
            if _share(runs, np.unique(_runs(known))) >= ALIKE and _is_edited(codes, known):
                return other
        self._codes[number] = codes
        for key in keys:
            numbers = self._bands.setdefault(_short(key), [])
            if len(numbers) < _MOST_COMPARED:  # so that time grows with the texts alone
                numbers.append(number)
        return number


def _short(key: bytes) -> bytes:
    return blake2b(key, digest_size=12).digest()


def _runs(codes: _Codes) -> _Runs:
    """The runs of a text as hashes, in order. codes: of its words."""
    n = len(codes) - _RUN + 1
    mixed = codes[:n].astype(np.uint64)
    for place in range(1, _RUN):
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX + codes[place : place + n]
    mixed = (mixed ^ (mixed >> np.uint64(32))) * _MIX
    runs: _Runs = mixed ^ (mixed >> np.uint64(29))
    return runs


def _minima(runs: _Runs) -> _Runs:
    """(bands * rows,): the least hash of the runs under each of as many functions."""
    least: _Runs = ((runs * _FACTORS) >> np.uint64(32)).min(axis=1)
    return least


def _share(first: _Runs, other: _Runs) -> float:
    """The share of the runs of either that are in both."""
    both = len(np.intersect1d(first, other, assume_unique=True))
    return both / (len(first) + len(other) - both)


def _is_edited(first: _Codes, other: _Codes) -> bool:
    """Whether one text is the other with short edits, and a run that is the same behind each."""
    at, there = 0, 0
    while True:
        n = min(len(first) - at, len(other) - there)
        differ = first[at : at + n] != other[there : there + n]
        same = int(differ.argmax()) if differ.any() else n
        at, there = at + same, there + same
        if same == n:
            return at == len(first) and there == len(other)
        for left, added in _EDITS:
            here = first[at + left : at + left + _RUN]
            if len(here) == _RUN and np.array_equal(
                here, other[there + added : there + added + _RUN]
            ):
                break
        else:
            return False
        at, there = at + left, there + added


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
