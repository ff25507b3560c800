"""Docstrings: every public function has a right example, and none begins with an empty word."""

import ast
import doctest
import re
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


EMPTY = re.compile(r"(What|The same|See)\b")
ODD = re.compile(r"(?<![a-z])dear(er|est)?(?![a-z])", re.IGNORECASE)
"""Also as a part of a name with underscores."""
SOURCE, TESTS = Path(equirouter.__file__).parent, Path(__file__).parent


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_docstring_begins_with_its_subject(path: Path) -> None:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, kinds)
    ]
    assert [words.splitlines()[0] for words in docstrings if EMPTY.match(words)] == []


def test_words_are_plain() -> None:
    files = {*SOURCE.rglob("*.py"), *TESTS.rglob("*.py")} - {Path(__file__)}
    odd = [
        f"{path}: say expensive, most expensive"
        for path in files
        if ODD.search(path.read_text("utf-8"))
    ]
    assert odd == []
