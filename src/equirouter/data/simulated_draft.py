"""What the text makers of the simulated data set share: a draft, and how words are picked."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

__all__ = ["FRIENDS", "NAMES", "Draft", "Family", "Pick", "lettered", "phrases", "words"]

T = TypeVar("T")


def words(text: str) -> tuple[str, ...]:
    """A list of words, written as a text with spaces between them."""
    return tuple(text.split())


def phrases(text: str) -> tuple[str, ...]:
    """A list of phrases, written as a text with commas between them."""
    return tuple(text.split(", "))


NAMES = words(
    "Amara Bela Chidi Dana Elif Farid Greta Hana Ivo Jana Kofi Lena Milo Nadia Otto Priya Quinn "
    "Rosa Sami Tara Uma Viktor Wanda Xenia Yusuf Zofia Anton Bruna Cleo Dario Esther Felix Gia "
    "Hugo Ines Joris Klara Liam Mara Nils Olga Pablo Rhea Stefan Thea Ugo Vera Wim Yara Zeno"
)
FRIENDS = (
    "a neighbour",
    "an uncle",
    "a colleague",
    "a cousin",
    "a classmate",
    "a teacher",
    "the club",
    "a friend from school",
)


class Draft(NamedTuple):
    """A text, and how hard its visible features make it (any scale; larger is harder)."""

    text: str
    difficulty: float


class Pick:
    """Words and numbers drawn with one generator; every text maker draws through it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._random = rng.random

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def one(self, words: Sequence[T]) -> T:
        """One element."""
        return words[int(self._random() * len(words))]

    def some(self, words: Sequence[T], size: int) -> list[T]:
        """Different elements, in random order."""
        pool = list(words)
        for i in range(size):
            j = self.number(i, len(pool) - 1)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:size]

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self._random() < probability


Family: TypeAlias = Callable[[Pick], Draft]
"""Makes one query of a task family."""


def lettered(options: Sequence[str]) -> str:
    """Answers to choose from, one a line: "A. ...", "B. ..."."""
    return "\n".join(
        f"{letter}. {option}" for letter, option in zip("ABCDEFGH", options, strict=False)
    )
