"""Queries of a table that are the same query, or nearly so, under several ids."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from equirouter.arrays import IntArray
from equirouter.data.cells import OutcomeCells

__all__ = ["count_repeated", "equal_queries", "joined_by", "nearly_equal_queries"]

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
    texts = (tuple(sorted(_WORDS.findall(text.casefold()))) or text for text in table.texts)
    return _numbered(zip(texts, _images(table), strict=True))


def count_repeated(group: IntArray) -> int:
    """How many queries share their number with another one."""
    return int((np.bincount(group)[group] > 1).sum())


def joined_by(labels: Sequence[int], group: IntArray) -> IntArray:
    """(N,): one number for all labels that queries of one group connect, directly or by others.

    labels: (N,) whole numbers from 0 on, such as the task of each query. The number is the lowest
    of the labels that belong together.
    """
    root = list(range(max(labels) + 1))

    def find(label: int) -> int:
        while root[label] != label:
            root[label] = label = root[root[label]]
        return label

    first_of_group: dict[int, int] = {}
    for label, number in zip(labels, group.tolist(), strict=True):
        low, high = sorted((find(label), find(first_of_group.setdefault(number, label))))
        root[high] = low
    return np.array([find(label) for label in labels], dtype=np.int64)


def _images(table: OutcomeCells) -> Sequence[str | None]:
    return table.image_paths or (None,) * table.n_queries


def _numbered(keys: Iterable[object]) -> IntArray:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
