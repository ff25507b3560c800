"""The examples in the docstrings of data/ are run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

MODULES = ("outcomes", "query_table", "split", "tables", "sources.by_name")


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = import_module(f"equirouter.data.{module}")
    result = doctest.testmod(loaded, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
