"""One tree: every error that is raised on purpose is defined, and described, in errors.py."""

import ast
import builtins
from pathlib import Path

import pytest

from equirouter import errors
from equirouter.errors import (
    ConfigError,
    EquiRouterError,
    FitError,
    GatewayError,
    StoreGoneError,
    UnknownNameError,
)
from equirouter.serve.refusals import answer_to

SOURCE = Path(errors.__file__).parent
CLASSES = [value for value in vars(errors).values() if isinstance(value, type)]
TREE = [value for value in CLASSES if issubclass(value, Exception)]


def test_every_error_has_one_root_and_a_line_in_the_tree() -> None:
    described = (errors.__doc__ or "").split()
    assert all(issubclass(error, EquiRouterError) for error in TREE)
    assert [error.__name__ for error in TREE if error.__name__ not in described] == []


def test_no_other_module_defines_an_error() -> None:
    known = {"Exception", "BaseException", *(error.__name__ for error in TREE)}
    known |= {name for name in dir(builtins) if name.endswith("Error")}
    elsewhere = [
        f"{file.relative_to(SOURCE)}: {node.name}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if file.name != "errors.py"
        and isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in known for base in node.bases)
        and not node.name.startswith("_")  # raised and caught in one module
    ]
    assert elsewhere == []


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (GatewayError(429, "slower"), 429, "slower"),
        (ConfigError("k is 0"), 400, "k is 0"),
        (UnknownNameError("no key 'x'"), 404, "no key 'x'"),
        (StoreGoneError("disk full"), 503, "the gateway cannot reach its store"),
        (FitError("loss is nan"), 500, "the gateway failed"),
        (RuntimeError("secret"), 500, "the gateway failed"),
    ],
)
def test_an_error_has_a_status(error: Exception, status: int, says: str) -> None:
    answer = answer_to(error)
    assert answer.status == status
    assert answer.message.startswith(says)
    assert "secret" not in answer.message
