"""The examples in the docstrings of data/ are run."""

import doctest
from importlib import import_module

import pytest

MODULES = ("load", "outcomes", "split", "tables", "sources.make")


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of(module: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    loaded = import_module(f"equirouter.data.{module}")
    names = {"folder": tmp_path_factory.mktemp("examples")}
    result = doctest.testmod(loaded, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
