"""All word pieces of a text as BERT's uncased tokenizer finds them, quickly and in linear time.

What stands between two spaces is split once, and looked up when it comes again, which takes a
twentieth of the time of the package tokenizers. Plain ASCII is split here, into the same pieces;
everything else goes through the package.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from equirouter.arrays import IntArray
from equirouter.encoders.windows import text_parts
from equirouter.errors import DataError
from equirouter.processes import WithoutCached

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PART_CHARACTERS = 16384
"""A longer text is read in parts of this size, so that memory does not grow with it."""

_EXPECTED = {
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
_EXPECTED_MODEL = {
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
}
_SPECIAL_TOKENS = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

_PLAIN = b"\t\n\r" + bytes(range(ord(" "), ord("~") + 1))
_BETWEEN_SPACES = re.compile(r"[^\t\n\r ]+")  # no rule of the tokenizer looks beyond one of these
_SPECIAL = re.compile(r"\[(?:PAD|UNK|CLS|SEP|MASK)\]")  # one piece each, in upper case only
_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_LONGEST_WORD = 100
"""Characters; a longer word is one unknown piece."""

MOST_SPLIT = 32_768
"""Words of which the pieces are remembered: some 5 MB."""


class WordPieces(WithoutCached):
    """The tokenizer of a tokenizer.json, without special tokens around a text and without limits.

    content: of the file. place: what an error calls it.
    Raises DataError for anything but the tokenizer of BERT's uncased models.
    """

    def __init__(self, content: bytes, place: str) -> None:
        self.content = content
        self._vocabulary = read_vocabulary(content, place)
        self.n_pieces = max(self._vocabulary.values()) + 1
        self.unknown = self._vocabulary["[UNK]"]

    def parts(self, text: str) -> Iterator[IntArray]:
        """The ids of the pieces of a text in order, in one array or, if it is long, in several."""
        if len(text) <= PART_CHARACTERS:
            yield self._pieces(text)
        else:
            yield from map(self._pieces, text_parts(text, PART_CHARACTERS))

    def _pieces(self, text: str) -> IntArray:
        if _is_plain(text):
            words = text.lower().split()
        else:
            between = _BETWEEN_SPACES.findall(text)
            words = [word.lower() if _is_plain(word) else word for word in between]
        return np.frombuffer(b"".join(map(self._split.__getitem__, words)), dtype=np.int64)

    @cached_property
    def _split(self) -> "_Remembered":
        return _Remembered(self._vocabulary, self.content)


class _Remembered(dict[str, bytes]):
    """The pieces of what stands between two spaces, plain ASCII in lower case, found once.

    They are kept as the bytes of an array: to join those takes half the time of lists.
    It does not know the WordPieces that it is part of: in a circle neither would ever be freed,
    where the collector leaves alone what was there when a server began.
    """

    def __init__(self, vocabulary: Mapping[str, int], content: bytes) -> None:
        super().__init__()
        self._content = content
        self._first = {piece: i for piece, i in vocabulary.items() if piece[:2] != "##"}
        self._inner = {piece[2:]: i for piece, i in vocabulary.items() if piece[:2] == "##"}
        self._longest = max(map(len, vocabulary))
        self._unknown = vocabulary["[UNK]"]

    def __missing__(self, between: str) -> bytes:
        pieces = np.array(self._found(between), dtype=np.int64).tobytes()
        if len(between) <= _LONGEST_WORD:
            if len(self) >= MOST_SPLIT:
                self.clear()
            self[between] = pieces
        return pieces

    def _found(self, between: str) -> list[int]:
        if not _is_plain(between):
            ids: list[int] = self._tokenizer.encode(between, add_special_tokens=False).ids
            return ids
        pieces = []
        for word in _WORDS.findall(between):
            if word in self._first:
                pieces.append(self._first[word])
            else:
                pieces += self._pieces_within(word)
        return pieces

    def _pieces_within(self, word: str) -> list[int]:
        """The longest known beginning, then the longest of what follows, and so on."""
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        pieces = []
        known, start = self._first, 0
        while start < len(word):
            end = min(len(word), start + self._longest)
            while end > start and word[start:end] not in known:
                end -= 1
            if end == start:
                return [self._unknown]
            pieces.append(known[word[start:end]])
            known, start = self._inner, end
        return pieces

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        return _without_limits(self._content)


def _is_plain(text: str) -> bool:
    return (
        text.isascii()
        and not _SPECIAL.search(text)
        and not text.encode("ascii").translate(None, _PLAIN)  # a third of the time of a pattern
    )


def load_tokenizer(content: bytes, place: str) -> "Tokenizer":
    """The tokenizer of a tokenizer.json without its own limits: the file cuts and pads at 128.

    Where a long text may be cut (windows.py) follows from BERT's rules: DataError for others.
    """
    read_vocabulary(content, place)
    return _without_limits(content)


def _without_limits(content: bytes) -> "Tokenizer":
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def read_vocabulary(content: bytes, place: str) -> dict[str, int]:
    """Piece to id, from a tokenizer.json that splits as BERT's uncased one does, else DataError."""
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise DataError(f"{place}: not a tokenizer: {error}") from error
    parsed = parsed if isinstance(parsed, dict) else {}
    splitting = {key: parsed.get(key) for key in _EXPECTED}
    model: dict[str, Any] = parsed.get("model") or {}
    rules = {key: model.get(key) for key in _EXPECTED_MODEL}
    special = {token["content"] for token in parsed.get("added_tokens", [])}
    if splitting != _EXPECTED or rules != _EXPECTED_MODEL or special != _SPECIAL_TOKENS:
        raise DataError(
            f"{place}: not the tokenizer of all-MiniLM-L6-v2 (BERT, uncased): found {splitting}, "
            f"{rules} and special tokens {sorted(special)}"
        )
    return dict(model["vocab"])
