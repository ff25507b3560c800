"""Queries that a pipeline keeps, to be calibrated again when its pool changes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from equirouter.errors import PipelineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray

MOST_QUERIES = 5000
MOST_CELLS = 2**21
"""Queries times models: 16 MB of performance, and as much of costs."""


@dataclass(frozen=True, eq=False)
class ValidationRecord:
    """Validation queries and their outcomes, without the texts.

    vectors (V, d): embeddings by the pipeline's encoder, to 16 bits, as they are saved. scores
    (V, K), amounts (V, A): what router and cost model say of them, had they not learned from them.
    performance, cost_usd (V, K): the truth, costs as they were paid. tokens: input and output
    (V, K) each, or None where they are not known. estimated (K,): True for a model that joined
    later, whose outcomes are known on other queries than those of the rest. log (V, 3, K): where
    performance and cost_usd are estimates, what is known of both, and the weights, see
    training/off_policy.py; else None.
    """

    vectors: "NDArray[np.float16 | np.float32]"
    scores: "Float32Array"
    amounts: "FloatArray"
    performance: "FloatArray"
    cost_usd: "FloatArray"
    tokens: "tuple[FloatArray, FloatArray] | None"
    estimated: "BoolArray"
    log: "FloatArray | None" = None

    @property
    def embeddings(self) -> "Float32Array":
        """The vectors as routers read them: a pipeline that only decides never makes these."""
        return self.vectors.astype(np.float32, copy=False)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest performance that is known."""
        known = self.performance if self.log is None else self.log[:, 0]
        return float(np.nanmin(known)), float(np.nanmax(known))

    def with_models(self, columns: "IntArray", amounts: "IntArray") -> Self:
        """The queries with these models only; amounts: the columns of theirs."""
        tokens = self.tokens
        return replace(
            self,
            scores=self.scores[:, columns],
            amounts=self.amounts[:, amounts],
            performance=self.performance[:, columns],
            cost_usd=self.cost_usd[:, columns],
            tokens=None if tokens is None else (tokens[0][:, columns], tokens[1][:, columns]),
            estimated=self.estimated[columns],
            log=None if self.log is None else self.log[:, :, columns],
        )

    def without_estimates(self) -> Self:
        """The rows of which all is known, where the others know nothing: as before a model joined.

        Anything else is returned as it is.
        """
        if self.log is None:
            return self
        rows = self.log[:, 2].any(axis=1)
        known = self.log[rows, 0]
        if rows.all() or np.isnan(known).any():
            return self
        each = {name: getattr(self, name)[rows] for name in ("vectors", "scores", "amounts")}
        tokens = None if self.tokens is None else (self.tokens[0][rows], self.tokens[1][rows])
        paid = self.cost_usd[rows]
        return replace(self, **each, performance=known, cost_usd=paid, tokens=tokens, log=None)

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """All of it by name; `restore` takes it back."""
        given, output = self.tokens or (None, None)
        named: dict[str, NDArray[Any] | None] = {
            "embeddings": self.vectors.astype(np.float16, copy=False),
            "scores": self.scores,
            "amounts": self.amounts,
            "performance": self.performance,
            "cost_usd": self.cost_usd,
            "input_tokens": given,
            "output_tokens": output,
            "estimated": self.estimated,
            "log": self.log,
        }
        return {name: array for name, array in named.items() if array is not None}

    @classmethod
    def restore(cls, arrays: "Mapping[str, NDArray[Any]]") -> Self:
        """From what `arrays` gave. Raises PipelineError if it does not fit."""
        try:
            record = cls(
                arrays["embeddings"],
                arrays["scores"],
                arrays["amounts"],
                arrays["performance"],
                arrays["cost_usd"],
                (arrays["input_tokens"], arrays["output_tokens"])
                if "input_tokens" in arrays
                else None,
                arrays["estimated"],
                arrays.get("log"),
            )
        except KeyError as error:
            raise PipelineError(f"the validation queries lack the array {error}") from error
        shapes = {name: array.shape for name, array in arrays.items()}
        n, k = record.performance.shape
        tables = {name: shape for name, shape in shapes.items() if name not in _OTHERS}
        if (
            any(shape != (n, k) for shape in tables.values())
            or len(record.vectors) != n
            or len(record.amounts) != n
            or record.estimated.shape != (k,)
            or (record.log is not None and record.log.shape != (n, 3, k))
        ):
            raise PipelineError(f"the arrays of the validation queries do not agree: {shapes}")
        return record


_OTHERS = ("embeddings", "amounts", "estimated", "log")


def kept_rows(n_queries: int, n_models: int) -> "IntArray":
    """Which of V validation queries are kept: all, or as many as is sensible, evenly spaced."""
    n = min(n_queries, MOST_QUERIES, max(1, MOST_CELLS // n_models))
    return np.linspace(0, n_queries - 1, n).round().astype(np.int64)
