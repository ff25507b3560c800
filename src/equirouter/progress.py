"""How long work says how far it is: the library calls a function, the command line draws a bar."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called as progress(stage, done, total), for example ("encode", 128, 2225)."""


def silent(stage: str, done: int, total: int) -> None:
    """The default: say nothing."""
