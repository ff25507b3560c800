"""Which word pieces of a text the model reads, found without tokenising all of a long text.

A piece is a token id without the special tokens around it. All functions are pure; `tokenize` turns
a text into its pieces as BERT's uncased tokenizer does.

A long text is cut before it is tokenised, at a place where cutting cannot change a piece: behind a
character that ends a word whatever follows it. What is cut off is doubled back until enough pieces
came out, so the result is exactly that of tokenising everything.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias, get_args

Window: TypeAlias = Literal["head", "tail", "head+tail"]
Pieces: TypeAlias = tuple[int, ...]
Tokenize: TypeAlias = Callable[[str], list[int]]

WINDOWS: tuple[Window, ...] = get_args(Window)
DEFAULT_WINDOW: Window = "head+tail"

MAX_TOKENS = 256
"""Tokens that all-MiniLM-L6-v2 was trained to read, its two special ones included."""
MAX_PIECES = MAX_TOKENS - 2

_FIRST_SLICE = 1536
"""Characters tried first per window: English needs about 1,150 for 254 pieces; doubled if few."""

# White space and ASCII punctuation end a word, and so does a CJK ideograph, which is a word of its
# own. "[" and "]" do not count: "[SEP]" in a text is one special token.
_BOUNDARY = re.compile(r"[ \t\n\r!-/:-@\\^-`{-~、。\u4e00-\u9fff]")

# Runs that can be shortened without changing a piece, so that no text is slow on purpose: white
# space; characters the tokenizer drops (controls, zero-width signs, combining marks, variation
# selectors); and letters that it neither drops nor splits, because a word of over 100 of them is
# one unknown piece however long (Latin, Cyrillic, Thai, kana, Hangul, emoji).
_SPACE = r"[ \t\n\r]"
_DROPPED = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    r"\u200b-\u200f\ufe00-\ufe0f\ufeff]"
)
_LETTER = (
    r"[0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0400-\u0481\u048a-\u052f"
    r"\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u3041-\u3096\u30a1-\u30fa\uac00-\ud7a3\U0001f300-\U0001f64f]"
)
_RUNS = re.compile(
    rf"({_SPACE}){_SPACE}+|({_DROPPED}){_DROPPED}+"
    rf"|((?:{_LETTER}{_DROPPED}*){{101}})(?:{_LETTER}|{_DROPPED})+"
)


def window_pieces(text: str, window: Window, tokenize: Tokenize) -> list[Pieces]:
    """The windows of a text, MAX_PIECES pieces at most in each.

    One for head and tail; two for head+tail, the same twice if the text fits into one.
    """
    cuts = {
        "head": [head_pieces],
        "tail": [tail_pieces],
        "head+tail": [head_pieces, tail_pieces],
    }
    return [cut(text, tokenize) for cut in cuts[window]]


def head_pieces(text: str, tokenize: Tokenize, limit: int = MAX_PIECES) -> Pieces:
    """The first `limit` pieces, or all if there are fewer."""
    size = _FIRST_SLICE * -(-limit // MAX_PIECES)
    while True:
        end = _after_boundary(text, size)
        pieces = tokenize(_shorten_runs(text[:end]))
        if len(pieces) >= limit or end == len(text):
            return tuple(pieces[:limit])
        size = 2 * end


def tail_pieces(text: str, tokenize: Tokenize, limit: int = MAX_PIECES) -> Pieces:
    """The last `limit` pieces, or all if there are fewer."""
    size = _FIRST_SLICE
    while True:
        start = _after_boundary(text, len(text) - size) if size < len(text) else 0
        pieces = tokenize(_shorten_runs(text[start:])) if start < len(text) else []
        if len(pieces) >= limit or start == 0:
            return tuple(pieces[-limit:])
        size *= 2


def text_parts(text: str, size: int) -> Iterator[str]:
    """A text in parts of `size` characters and a few more, whose pieces joined are those of all.

    Runs are shortened, so that no text is slow on purpose.
    """
    start = 0
    while start < len(text):
        end = _after_boundary(text, start + size)
        yield _shorten_runs(text[start:end])
        start = end


def _after_boundary(text: str, position: int) -> int:
    """The first place at or behind position where the text may be cut; its end if there is none."""
    boundary = _BOUNDARY.search(text, position)
    return boundary.end() if boundary else len(text)


def _shorten_runs(text: str) -> str:
    return _RUNS.sub(r"\1\2\3", text)
