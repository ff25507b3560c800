"""Names and what is behind them."""

from importlib.metadata import EntryPoint, version

import pytest

from equirouter import extras, registry
from equirouter.errors import ConfigError, MissingExtraError, UnknownNameError
from equirouter.extras import require, versions
from equirouter.registry import CHECKS, DATASETS, ENCODERS, GRADERS, POLICIES, ROUTERS, Registry


@pytest.mark.parametrize("table", [ROUTERS, ENCODERS, DATASETS, GRADERS, CHECKS, POLICIES])
def test_everything_that_is_registered_is_there(table: Registry) -> None:
    for name in table.names():
        assert callable(table.load(name))


def test_another_package_joins_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "equirouter.routers:Router", "equirouter.routers")
    taken = EntryPoint("knn", "os:getcwd", "equirouter.routers")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point, taken])  # noqa: ARG005
    table = Registry("router", "equirouter.routers", {"knn": "equirouter.routers.knn:KNNRouter"})
    assert table.names() == ["knn", "mine"]
    assert table.load("mine").__name__ == "Router"
    assert table.load("knn").__name__ == "KNNRouter"  # a built-in name cannot be taken over


@pytest.mark.parametrize(
    "path", ["no_such_package:Router", "json:NoRouter", "tests.broken_package:Router"]
)
def test_a_broken_package_is_named_and_takes_nothing_from_the_others(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    points = [EntryPoint("bad", path, "x"), EntryPoint("good", "os:path.join", "x")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)  # noqa: ARG005
    table = Registry("router", "x", {"knn": "equirouter.routers.knn:KNNRouter"})
    with pytest.raises(ConfigError, match=f"the router 'bad' of another package .*{path}: .*Error"):
        table.load("bad")
    assert list(table.load_all()) == ["knn", "good"]
    assert "left out: the router 'bad'" in caplog.text


def test_a_built_in_name_is_loaded_without_a_look_at_other_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: pytest.fail(group))
    table = Registry("router", "equirouter.routers", {"knn": "equirouter.routers.knn:KNNRouter"})
    assert table.name_of(table.load("knn")) == "knn"


def test_an_unknown_name_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(UnknownNameError, match=r"no router named 'kn': did you mean 'knn'\? known"):
        ROUTERS.load("kn")
    with pytest.raises(UnknownNameError, match="no encoder named 'qqqq': known: lexical"):
        ENCODERS.load("qqqq")


def test_a_missing_package_is_named_with_the_command_to_type() -> None:
    with pytest.raises(
        MissingExtraError,
        match=r"not installed: no_such.*, to draw\n  pip install 'equirouter\[x\]'$",
    ):
        require("no_such_package_anywhere", extra="x", purpose="draw")


def test_results_say_which_packages_computed() -> None:
    found = versions()
    assert {"equirouter", "python", "numpy", "onnxruntime"} <= set(found)
    assert found["torch"] == version("torch")


def test_a_package_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_COMPUTE", ("numpy", "no-such-package"))
    assert set(versions()) == {"equirouter", "python", "numpy"}
