"""Texts of calls, one or none per query and model: answers and finish reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class TextCells:
    """A text, or None where it is not known, for each cell (N, K) of a table.

    codes (N, K): positions in `values`, -1 = not known; equal codes are equal texts. values: the
    texts that occur, each once, in the order of their first cell, row by row.

    >>> cells = TextCells.of([["18", None], ["", "18"]])
    >>> cells.values, cells.codes.tolist(), cells.to_lists()
    (('18', ''), [[0, -1], [1, 0]], [['18', None], ['', '18']])
    """

    codes: IntArray
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        codes = np.array(self.codes, dtype=np.int64)
        used, first, place = np.unique(codes, return_index=True, return_inverse=True)
        order = [i for i in np.argsort(first).tolist() if used[i] >= 0]
        renumbered = np.full(len(used), -1)
        renumbered[order] = np.arange(len(order))
        codes = renumbered[place].reshape(codes.shape)
        codes.flags.writeable = False
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "values", tuple(self.values[used[i]] for i in order))

    @classmethod
    def of(cls, rows: Sequence[Sequence[str | None]]) -> Self:
        """From a list of rows, each a text or None per model."""
        number = dict.fromkeys(text for row in rows for text in row if text is not None)
        code: dict[str | None, int] = {text: index for index, text in enumerate(number)}
        code[None] = -1
        return cls(np.array([[code[text] for text in row] for row in rows]), tuple(number))

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, K)."""
        return self.codes.shape

    @property
    def is_known(self) -> BoolArray:
        """(N, K): whether there is a text, an empty one too."""
        return np.asarray(self.codes >= 0)

    @property
    def is_empty(self) -> BoolArray:
        """(N, K): whether the text is the empty one, which is known."""
        empty = self.values.index("") if "" in self.values else len(self.values)
        return np.asarray(self.codes == empty)

    def take(self, rows: IntArray) -> "TextCells":
        """These rows only, in the order given."""
        return TextCells(self.codes[rows], self.values)

    def columns(self, columns: Sequence[int]) -> "TextCells":
        """These columns only, in the order given."""
        return TextCells(self.codes[:, columns], self.values)

    def to_lists(self) -> list[list[str | None]]:
        """Rows of texts."""
        table: NDArray[np.object_] = np.array([*self.values, None], dtype=object)
        rows: list[list[str | None]] = table[self.codes].tolist()
        return rows
