"""The process around a check: missing packages, and generators of random numbers."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np


@contextmanager
def without(module: str) -> Iterator[None]:
    """Inside, importing the module fails as if it were not installed."""
    modules = cast(dict[str, Any], sys.modules)
    before = modules.get(module)
    modules[module] = None
    try:
        yield
    finally:
        if before is None:
            del modules[module]
        else:
            modules[module] = before


def global_randomness() -> dict[str, bytes]:
    """The states of the generators that nobody owns, as bytes."""
    _, key, *rest = np.random.get_state()  # noqa: NPY002  # looked at, not used
    states = {
        "numpy.random": np.asarray(key).tobytes() + repr(rest).encode(),
        "random": repr(random.getstate()).encode(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states
