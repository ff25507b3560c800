"""Queries of a table that are the same query, or nearly so, under several ids."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from equirouter.arrays import IntArray
from equirouter.data.cells import OutcomeCells

__all__ = ["count_repeated", "equal_queries", "nearly_equal_queries", "words_of"]

_WORDS = re.compile(r"\w+")


def equal_queries(table: OutcomeCells) -> IntArray:
    """(N,): a number per query, shared by queries with the same text and the same image.

    Case and white space do not count. Numbers are given as the queries first occur.
    """
    texts = (" ".join(text.casefold().split()) for text in table.texts)
    return _numbered(zip(texts, _images(table), strict=True))


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


def _images(table: OutcomeCells) -> Sequence[str | None]:
    return table.image_paths or (None,) * table.n_queries


def _numbered(keys: Iterable[object]) -> IntArray:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
