"""The cells of an outcomes table: its columns and their sizes, without checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.data.strength import complete_means


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

    def __getitem__(self, place: Any) -> "TextCells":  # noqa: ANN401  # an index of NumPy
        return TextCells(self.codes[place], self.values)

    def to_lists(self) -> list[list[str | None]]:
        """Rows of texts."""
        table: NDArray[np.object_] = np.array([*self.values, None], dtype=object)
        rows: list[list[str | None]] = table[self.codes].tolist()
        return rows


NO_TEXT = "[the text is not in this table] "
"""How the text of a query begins that is known by numbers alone: no encoder reads it."""


TEXT_FIELDS = ("answers", "finish_reasons", "scored_by")


@dataclass(frozen=True, eq=False, repr=False)
class OutcomeCells:
    """N queries, K models, and the outcome of each pair; Outcomes checks them."""

    query_ids: tuple[str, ...]
    """(N,), unique."""
    texts: tuple[str, ...]
    """(N,); one may be empty where there is an image."""
    tasks: tuple[str, ...]
    """(N,)."""
    models: tuple[str, ...]
    """(K,), unique."""
    performance: FloatArray
    """(N, K), within performance_range; higher is better."""
    cost_usd: FloatArray
    """(N, K), USD of one call, not negative."""
    image_paths: tuple[str | None, ...] | None = None
    """(N,), for multimodal data; relative ones start at image_root."""
    name: str = "outcomes"
    """For messages and results."""
    performance_range: tuple[float, float] = (0.0, 1.0)
    """The worst and the best performance."""
    model_descriptions: tuple[str | None, ...] | None = None
    """(K,), for routers that read what models are; None if none is described."""
    input_tokens: FloatArray | None = None
    """(N, K), what the calls used; output_tokens is given with it or not at all."""
    output_tokens: FloatArray | None = None
    """(N, K), tokens of the answers, reasoning included."""
    propensity: FloatArray | None = None
    """(N, K), of a log: the probability, 0 to 1, with which this outcome came to be known."""
    answers: TextCells | None = None
    """(N, K), final answers, of which equal ones are equal texts; "" where a response had none,
    which is known, and None where it is not known what was answered."""
    finish_reasons: TextCells | None = None
    """(N, K), why the provider says that a response ended: "stop", "length", ..."""
    scored_by: TextCells | None = None
    """(N, K), who said what the performance is: a person, "exact", "judge:MODEL", ..."""
    signals: Mapping[str, FloatArray] = field(default_factory=dict)
    """Name -> (N, K): other numbers that are known of a response before its performance is."""
    answers_by: str | None = field(default=None, compare=False)
    """The name of the extractor that read the answers out of the responses of this file."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """Remarks for the user on how a file was read."""
    image_root: Path | None = field(default=None, compare=False)
    """The folder of the images on this machine, and so no part of the fingerprint."""
    packed: Mapping[str, NDArray[Any]] | None = field(default=None, compare=False)
    """Numbers in place of texts: by an encoder's fingerprint, what its `pack` made of the N texts.
    Each text is then NO_TEXT and the id of the query."""

    @property
    def array_names(self) -> tuple[str, ...]:
        """The names of the (N, K) arrays that there are."""
        others = ("input_tokens", "output_tokens", "propensity")
        return ("performance", "cost_usd", *(o for o in others if getattr(self, o) is not None))

    @property
    def text_names(self) -> tuple[str, ...]:
        """The names of the (N, K) texts that there are."""
        return tuple(name for name in TEXT_FIELDS if getattr(self, name) is not None)

    def cells_at(self, place: Any) -> dict[str, Any]:  # noqa: ANN401  # an index of NumPy
        """All fields of (N, K) cells, at an index of them."""
        names = (*self.array_names, *self.text_names)
        signals = {name: array[place] for name, array in self.signals.items()}
        return {name: getattr(self, name)[place] for name in names} | {"signals": signals}

    @property
    def tokens(self) -> tuple[FloatArray, FloatArray] | None:
        """Input and output tokens, (N, K) each, where the table has them."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens, self.output_tokens

    @property
    def n_queries(self) -> int:
        """N."""
        return len(self.query_ids)

    @property
    def n_models(self) -> int:
        """K."""
        return len(self.models)

    @property
    def images(self) -> tuple[str | None, ...] | None:
        """The paths to open, one or None per query; None when the table has no images."""
        if self.image_paths is None or self.image_root is None:
            return self.image_paths
        root = self.image_root
        return tuple(None if path is None else str(root / path) for path in self.image_paths)

    @cached_property
    def is_complete(self) -> BoolArray:
        """(N,): True where performance and cost of every model are known."""
        known = np.isfinite(self.performance) & np.isfinite(self.cost_usd)
        return np.asarray(known.all(axis=1))

    def means(self) -> tuple[FloatArray, FloatArray]:
        """Mean performance and cost_usd, (K,) each, over complete rows where there are any.

        Without one they are over each model's own rows, and do not compare.
        """
        return complete_means(self.performance, self.cost_usd)
