"""All word pieces of a text as BERT's uncased tokenizer finds them, quickly and in linear time.

Words of plain ASCII are split by one regular expression and looked up, which takes a tenth of the
time of the package tokenizers and gives the same pieces; every other word goes through it.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

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

_PLAIN = re.compile(r"[\t\n\r -~]*")
_BETWEEN_SPACES = re.compile(r"[^\t\n\r ]+")  # no rule of the tokenizer looks beyond one of these
_SPECIAL = re.compile(r"\[(?:PAD|UNK|CLS|SEP|MASK)\]")  # one piece each, in upper case only
_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_LONGEST_WORD = 100
"""Characters; a longer word is one unknown piece."""

MOST_SPLIT = 8192
"""Words of which the pieces are remembered: some 2 MB."""


class WordPieces(WithoutCached):
    """The tokenizer of a tokenizer.json, without special tokens around a text and without limits.

    content: of the file. place: what an error calls it.
    Raises DataError for anything but the tokenizer of BERT's uncased models.
    """

    def __init__(self, content: bytes, place: str) -> None:
        self.content = content
        vocabulary = read_vocabulary(content, place)
        self.n_pieces = max(vocabulary.values()) + 1
        self.unknown = vocabulary["[UNK]"]
        self._first = {piece: i for piece, i in vocabulary.items() if piece[:2] != "##"}
        self._inner = {piece[2:]: i for piece, i in vocabulary.items() if piece[:2] == "##"}
        self._longest = max(map(len, vocabulary))

    def parts(self, text: str) -> Iterator[list[int]]:
        """The pieces of a text in order, in one list or, if it is long, in several."""
        if len(text) <= PART_CHARACTERS:
            yield self._pieces(text)
        else:
            yield from map(self._pieces, text_parts(text, PART_CHARACTERS))

    def _pieces(self, text: str) -> list[int]:
        if _is_plain(text):
            return self._plain_pieces(text)
        pieces: list[int] = []
        for is_plain, words in groupby(_BETWEEN_SPACES.findall(text), _is_plain):
            if is_plain:
                pieces += self._plain_pieces(" ".join(words))
            else:
                for word in words:
                    pieces += self._split.get(word) or self._remembered(word, self._by_package)
        return pieces

    def _plain_pieces(self, text: str) -> list[int]:
        known, split = self._first, self._split
        pieces = []
        for word in _WORDS.findall(text.lower()):
            if word in known:
                pieces.append(known[word])
            else:
                pieces += split.get(word) or self._remembered(word, self._pieces_within)
        return pieces

    def _remembered(self, word: str, pieces_of: Callable[[str], list[int]]) -> list[int]:
        """The pieces of a word that is none itself, and which may come again."""
        pieces = pieces_of(word)
        if len(word) <= _LONGEST_WORD:
            if len(self._split) >= MOST_SPLIT:
                self._split.clear()
            self._split[word] = pieces
        return pieces

    @cached_property
    def _split(self) -> dict[str, list[int]]:
        """Pieces by word: to look them up takes a tenth of the time."""
        return {}

    def _pieces_within(self, word: str) -> list[int]:
        """The longest known beginning, then the longest of what follows, and so on."""
        if len(word) > _LONGEST_WORD:
            return [self.unknown]
        pieces = []
        known, start = self._first, 0
        while start < len(word):
            end = min(len(word), start + self._longest)
            while end > start and word[start:end] not in known:
                end -= 1
            if end == start:
                return [self.unknown]
            pieces.append(known[word[start:end]])
            known, start = self._inner, end
        return pieces

    def _by_package(self, word: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        return ids

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        return _without_limits(self.content)


def _is_plain(text: str) -> bool:
    return text.isascii() and not _SPECIAL.search(text) and _PLAIN.fullmatch(text) is not None


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
