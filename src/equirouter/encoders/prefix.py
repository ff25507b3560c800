"""The beginnings that many texts share: system prompts, few-shot examples. Found, kept, dropped.

Pure functions on characters, independent of any tokenizer. In sorted order the texts that begin
alike stand next to each other, so what a text and the (m-1)-th after it share is shared by m texts,
and every beginning at which m texts or more part is among those. That is one sort and one
comparison per text.

What is shared is cut back to where a line or a sentence ends, so that the first sentence in which
two texts differ is read whole: "What is the ..." stays, however many questions begin so.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equirouter.errors import ConfigError, PipelineError

__all__ = ["MIN_COUNT", "MIN_LENGTH", "MIN_SHARE", "SharedPrefixes", "find_prefixes"]

MIN_SHARE = 0.002
"""Of the distinct texts: the smallest of RouterBench's 86 tasks have 0.27 % of its queries."""
MIN_COUNT = 10
MIN_LENGTH = 200
"""Characters, some 45 tokens of a window's 254; an opening of one question is shorter."""

_SENTENCE_ENDS = ("\n", ". ", "! ", "? ", "。", "！", "？")
_WORD_ENDS = (*_SENTENCE_ENDS, " ", "\t", "、", "，")
_STATE = ("prefix_bytes", "prefix_offsets")


@dataclass(frozen=True)
class SharedPrefixes:
    """Prefixes to drop, sorted and distinct; none is fine, and then nothing is dropped.

    Several may begin with the same stem: the longest one that a text begins with counts.
    Raises ConfigError for prefixes that are empty, repeated or not sorted.
    """

    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if "" in self.texts or any(a >= b for a, b in pairwise(self.texts)):
            raise ConfigError("the prefixes to drop are not sorted, distinct and longer than 0")

    def drop(self, text: str) -> str:
        """The text behind its prefix; all of it when no prefix fits or only white space is left."""
        # a prefix of the text is not after it, and what lies between begins with that prefix too:
        # so it is the last one that is not after the text, or a beginning of that one
        i = bisect_right(self.texts, text) - 1
        while i >= 0 and not text.startswith(self.texts[i]):
            i = self._parents[i]
        rest = text[len(self.texts[i]) :] if i >= 0 else text
        return text if not rest or rest.isspace() else rest

    @cached_property
    def _parents(self) -> tuple[int, ...]:
        """The place of the longest other prefix that each one begins with; -1 for none."""
        parents: list[int] = []
        for i, prefix in enumerate(self.texts):
            parent = i - 1
            while parent >= 0 and not prefix.startswith(self.texts[parent]):
                parent = parents[parent]
            parents.append(parent)
        return tuple(parents)

    def state(self) -> dict[str, NDArray[Any]]:
        """prefix_bytes (n_bytes,) uint8, UTF-8 of all; prefix_offsets (n + 1,) int64 into it."""
        encoded = [prefix.encode("utf-8") for prefix in self.texts]
        return {
            "prefix_bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "prefix_offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        }

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any]]) -> "SharedPrefixes":
        """Make prefixes from the two arrays of `state`. Raises PipelineError for anything else."""
        if sorted(state) != sorted(_STATE):
            raise PipelineError(
                f"shared prefixes are kept as {', '.join(_STATE)}, found "
                f"{', '.join(sorted(state)) or 'nothing'}; train the pipeline again"
            )
        content, offsets = (np.asarray(state[name]) for name in _STATE)
        try:
            if content.dtype != np.uint8 or offsets.dtype != np.int64 or content.ndim != 1:
                raise ValueError(f"{content.dtype} {content.shape} and {offsets.dtype}")
            if offsets.ndim != 1 or list(offsets[[0, -1]]) != [0, len(content)]:
                raise ValueError(f"the offsets do not lead from 0 to {len(content)}")
            if (np.diff(offsets) <= 0).any():
                raise ValueError("the offsets do not grow")
            text = content.tobytes()
            return cls(tuple(text[a:b].decode("utf-8") for a, b in pairwise(offsets)))
        except (ValueError, IndexError) as error:
            raise PipelineError(
                f"the shared prefixes are damaged: {error}; train the pipeline again"
            ) from error


def find_prefixes(
    texts: Sequence[str],
    *,
    min_share: float = MIN_SHARE,
    min_count: int = MIN_COUNT,
    min_length: int = MIN_LENGTH,
) -> SharedPrefixes:
    """The prefixes that many texts share, each as long as it can be.

    texts: in any order; one that comes twice counts once. min_share, min_count: how many distinct
    texts must share a prefix, as a share of them in [0, 1] and as a number of 2 or more; the larger
    of the two counts. min_length: the least length in characters, 1 or more, and the least by which
    a prefix must go on beyond another one that it begins with.

    A prefix ends behind a line or a sentence, or behind a word where that would leave min_length
    shared characters unused. Raises ConfigError for a parameter out of its range.
    """
    _check(min_share, min_count, min_length)
    ordered = sorted(set(texts))
    needed = max(min_count, math.ceil(min_share * len(ordered)))
    shared = {
        _cut(first[: _n_shared(first, last)], min_length)
        for first, last in zip(ordered, ordered[needed - 1 :], strict=False)
    }
    kept: list[str] = []
    above: list[str] = []  # of the kept ones, those that the present one begins with
    for prefix in sorted(shared):
        while above and not prefix.startswith(above[-1]):
            above.pop()
        if len(prefix) - (len(above[-1]) if above else 0) >= min_length:
            kept.append(prefix)
            above.append(prefix)
    return SharedPrefixes(tuple(kept))


def _n_shared(a: str, b: str) -> int:
    """The number of characters at the beginning that are the same; linear, and quick by halves."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(shared: str, min_length: int) -> str:
    """Up to the last end of a line or sentence, or of a word if that leaves too much unused."""
    sentence = _last_end(shared, _SENTENCE_ENDS)
    end = sentence if len(shared) - sentence < min_length else _last_end(shared, _WORD_ENDS)
    return shared[:end]


def _last_end(text: str, ends: tuple[str, ...]) -> int:
    places = ((text.rfind(end), len(end)) for end in ends)
    return max((at + size for at, size in places if at >= 0), default=0)


def _check(min_share: float, min_count: int, min_length: int) -> None:
    if not 0 <= min_share <= 1:
        raise ConfigError(f"min_share={min_share}: a share from 0 to 1 is expected")
    if min_count < 2:
        raise ConfigError(f"min_count={min_count}: at least 2 texts are needed to share a prefix")
    if min_length < 1:
        raise ConfigError(f"min_length={min_length}: at least 1 character is expected")
