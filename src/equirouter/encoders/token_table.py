"""One vector per word piece: what static embeddings are made of, in 8 MB."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import PipelineError

_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "rows": (np.int8, 2),
    "weights": (np.uint8, 1),
    "scale": (np.float32, 1),
    "tokenizer": (np.uint8, 1),
}
_EXACT_TERMS = 512
"""float32 adds whole numbers without rounding below 2**24, and 512 * 127 * 255 is below it. So a
sum over tokens has the same bits in any order, by any routine, and beside any other text."""


@dataclass(frozen=True, eq=False)
class TokenTable:
    """Vectors of V word pieces, in whole numbers."""

    rows: NDArray[np.int8]
    """(V, d); a piece's vector is its row times scale."""
    weights: NDArray[np.uint8]
    """(V,), how much a piece counts; 255 is full."""
    scale: Float32Array
    """(d,)"""
    tokenizer: NDArray[np.uint8]
    """The bytes of tokenizer.json."""

    def state(self) -> dict[str, NDArray[Any]]:
        """The four arrays by name."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def of_state(cls, state: Mapping[str, NDArray[Any]], dimension: int) -> "TokenTable":
        """Take back what `state` gave. Raises PipelineError for anything else."""
        for name in state:
            if name not in _ARRAYS:
                raise PipelineError(f"static embeddings have no array {name!r}")
        for name, (kind, n_axes) in _ARRAYS.items():
            array = state.get(name)
            if array is None or array.dtype != kind or array.ndim != n_axes:
                there = "nothing" if array is None else f"{array.dtype} {array.shape}"
                raise PipelineError(
                    f"static embeddings: {there} under {name!r}, {np.dtype(kind)} with {n_axes} "
                    "axes expected; the file is damaged, copy it again or train again"
                )
        table = cls(**state)
        if table.rows.shape != (len(table.weights), dimension) or len(table.scale) != dimension:
            raise PipelineError(
                f"static embeddings: rows {table.rows.shape}, weights {table.weights.shape} and "
                f"scale {table.scale.shape} do not belong together, or not to dimension {dimension}"
            )
        return table

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the four arrays, 64 hex digits."""
        digest = hashlib.sha256()
        for name, array in self.state().items():
            digest.update(f"{name} {array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def mean(self, parts: Iterable[IntArray]) -> FloatArray | None:
        """The weighted mean of the pieces' vectors, (d,) at length 1; None if it has no direction.

        parts: the ids of the pieces; the result is the same, bit for bit, however they are divided.
        """
        sums = [
            self._sum(ids[start : start + _EXACT_TERMS])
            for ids in parts
            for start in range(0, len(ids), _EXACT_TERMS)
        ]
        if not sums:
            return None
        total = self._scale * (sums[0] if len(sums) == 1 else np.sum(sums, axis=0, dtype=float))
        length = math.sqrt(np.dot(total, total))
        return total / length if length > 0 else None

    def _sum(self, ids: IntArray) -> Float32Array:
        """The sum of at most _EXACT_TERMS weighted rows, exact."""
        rows = self.rows.take(ids, axis=0).astype(np.float32)  # (n, d)
        total: Float32Array = np.dot(self._counts.take(ids), rows)
        return total

    @cached_property
    def _scale(self) -> FloatArray:
        return self.scale.astype(np.float64)

    @cached_property
    def _counts(self) -> Float32Array:
        return self.weights.astype(np.float32)
