"""Every public function has an example in its docstring, and the examples are right."""

import doctest
from inspect import isfunction
from pathlib import Path

import pytest

import equirouter

FUNCTIONS = sorted(name for name in equirouter.__all__ if isfunction(getattr(equirouter, name)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_public_function_is_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(equirouter, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name)
    assert example.examples, f"{name} has no example"
    results = doctest.DocTestRunner().run(example)
    assert results.attempted == len(example.examples)
    assert not results.failed
