"""Queries that are the same query, or nearly so, under several ids and in several tables."""

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import IntArray
from equirouter.data.cells import OutcomeCells

_WORDS = re.compile(r"\w+")


def equal_queries(table: OutcomeCells) -> IntArray:
    """(N,): a number per query, shared by queries with the same text and the same image.

    Case and white space do not count. Numbers are given as the queries first occur.
    """
    return _numbered(zip(_plain(table), _images(table), strict=True))


def query_prints(table: OutcomeCells) -> NDArray[np.uint64]:
    """(N,): 64 bits per query that are equal for equal queries (equal_queries), in any table.

    By them a pipeline knows which queries it has learned from, without keeping any text. Two
    different queries share a print with a probability of 1 in 10^19.
    """
    prints = np.empty(table.n_queries, dtype=np.uint64)
    for row, (text, image) in enumerate(zip(_plain(table), _images(table), strict=True)):
        key = f"{text}\0{image or ''}".encode()
        prints[row] = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
    return prints


def nearly_equal_queries(table: OutcomeCells) -> IntArray:
    """(N,): a number per query, shared by queries with the same words and the same image.

    Order, case and punctuation of the words do not count, digits do: a multiple-choice question
    whose answers are shuffled is nearly equal, the next sum of an exercise is not. A text without
    any word or digit is compared as it is. One pass over the texts.
    """
    return _numbered(zip(map(words_of, table.texts), _images(table), strict=True))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in order of the alphabet, which nearly equal texts have in common.

    A text without any word or digit is itself.
    """
    return tuple(sorted(_WORDS.findall(text.casefold()))) or (text,)


def count_repeated(group: IntArray) -> int:
    """How many queries share their number with another one."""
    return int((np.bincount(group)[group] > 1).sum())


def _plain(table: OutcomeCells) -> Iterable[str]:
    return (" ".join(text.casefold().split()) for text in table.texts)


def _images(table: OutcomeCells) -> Sequence[str | None]:
    return table.image_paths or (None,) * table.n_queries


def _numbered(keys: Iterable[object]) -> IntArray:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
