"""Checks of options and of a model's vectors that encoders share."""

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.errors import ConfigError, DataError


def check_at_least(name: str, value: object, lowest: int) -> None:
    """Raise ConfigError for anything but None or a whole number of `lowest` or more."""
    if value is not None and (type(value) is not int or value < lowest):
        raise ConfigError(f"{name}={value!r}: a whole number of {lowest} or more is expected")


def unit_rows(vectors: FloatArray | Float32Array, *, encoder: str) -> Float32Array:
    """(N, d) finite vectors, one per text, divided by their lengths.

    Raises DataError for a vector of zeros, which has no direction, with the index of its text.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    zero = np.flatnonzero(lengths == 0)
    if zero.size:
        raise DataError(
            f"encoder {encoder}: the embedding of text {zero[0]} is all zeros: the model knows "
            "none of its tokens; leave this query out, or choose another model"
        )
    return np.asarray(vectors / lengths, dtype=np.float32)
