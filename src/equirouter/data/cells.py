"""The cells of an outcomes table: its columns and their sizes, without checks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import BoolArray, FloatArray
from equirouter.data.strength import complete_means
from equirouter.data.text_cells import TextCells

NO_TEXT = "[the text is not in this table] "
"""How the text of a query begins that is known by numbers alone: no encoder reads it."""


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

    def of_responses(
        self,
        texts: Callable[[TextCells], TextCells],
        numbers: Callable[[FloatArray], FloatArray],
    ) -> dict[str, Any]:
        """The fields about responses, each (N, K) of them passed through a function."""
        return {
            "answers": None if self.answers is None else texts(self.answers),
            "finish_reasons": None if self.finish_reasons is None else texts(self.finish_reasons),
            "scored_by": None if self.scored_by is None else texts(self.scored_by),
            "signals": {name: numbers(array) for name, array in self.signals.items()},
        }

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
