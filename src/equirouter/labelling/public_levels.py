"""Families and public levels of models, from the dated table beside this file."""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).with_name("public_levels.toml")


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(_TABLE.read_text("utf-8"))


def measure() -> str:
    """The measure of the levels, and the day on which they were read."""
    return f"{_table()['measure']}, {_table()['as_of']}"


def family_of(model: str) -> str:
    """The family of a model by its name at the provider; of an unknown one the name itself."""
    name = _plain(model)
    for family, patterns in _table()["families"].items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return str(family)
    return name


def level_of(model: str) -> float | None:
    """The public level of a model by its name at the provider, None where it has none."""
    name = _plain(model)
    levels: Mapping[str, float] = _table()["levels"]
    return next((level for pattern, level in levels.items() if fnmatchcase(name, pattern)), None)


def _plain(model: str) -> str:
    return model.rpartition("/")[2].lower()
