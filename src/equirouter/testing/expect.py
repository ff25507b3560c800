"""Failures of a check, and the process around it.

A failure is an AssertionError that names what was found and what was expected. Not the statement
`assert`, which `python -O` leaves out.
"""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from equirouter.errors import EquiRouterError


def expect(condition: bool, otherwise: str) -> None:
    """Raise AssertionError with the text unless the condition holds."""
    if not condition:
        raise AssertionError(otherwise)


def expect_same_bits(actual: NDArray[np.generic], expected: NDArray[np.generic], what: str) -> None:
    """Raise AssertionError unless two arrays are the same in shape, type and every bit."""
    same = actual.shape == expected.shape and actual.dtype == expected.dtype
    expect(same and actual.tobytes() == expected.tobytes(), f"{what}: expected the same bits")


def expect_close(
    actual: NDArray[np.floating], expected: NDArray[np.floating], tolerance: float, what: str
) -> None:
    """Raise AssertionError unless two arrays differ by the tolerance at most, NaN in one place."""
    expect(actual.shape == expected.shape, f"{what}: shapes {actual.shape} and {expected.shape}")
    close = np.isclose(actual, expected, rtol=0, atol=tolerance, equal_nan=True)
    if not close.all():
        place = tuple(int(axis) for axis in np.argwhere(~close)[0])
        raise AssertionError(
            f"{what}: {actual[place]} and {expected[place]} at {place}, expected them to agree "
            f"within {tolerance:g}"
        )


def expect_error(
    call: Callable[[], object], kind: type[EquiRouterError], words: str, what: str
) -> None:
    """Raise AssertionError unless the call raises this kind of error with these words in it."""
    try:
        call()
    except kind as error:
        expect(words in str(error), f"{what}: the message is {str(error)!r}, expected {words!r}")
        return
    except Exception as error:  # any other error is the finding
        raise AssertionError(
            f"{what}: {type(error).__name__} ({error}), expected {kind.__name__}"
        ) from error
    raise AssertionError(f"{what}: no error, expected {kind.__name__}")


def copied(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Copies of arrays, for expect_unchanged."""
    return {name: np.array(array) for name, array in arrays.items()}


def expect_unchanged(
    after: dict[str, NDArray[Any]], before: dict[str, NDArray[Any]], what: str
) -> None:
    """Raise AssertionError unless arrays have the names and the bits that they had before."""
    expect(after.keys() == before.keys(), f"{what}: {sorted(after)} instead of {sorted(before)}")
    for name, array in before.items():
        expect_same_bits(np.asarray(after[name]), array, f"{what} {name!r}")


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
