"""The static figures."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from equirouter.errors import MissingExtraError, OutputError
from equirouter.report.canvas import colour_of
from equirouter.report.figures import share_axis, write_figures
from tests.results_document import Document, made, rename


def test_two_svg_files_with_every_router_in_its_colour(document: Document, tmp_path: Path) -> None:
    paths = write_figures(made(document), tmp_path / "new" / "figures")
    assert [path.name for path in paths] == ["cost-performance.svg", "call-share.svg"]
    for path in paths:
        text = path.read_text("utf-8")
        assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314  # our own file
        for name in (*document["anchors"], *document["routers"]):
            assert f"<!-- {name} -->" in text  # matplotlib notes the text that it draws as paths
            assert colour_of(name).lower() in text.lower()


def test_the_same_results_give_the_same_bytes(document: Document, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_figures(made(document), tmp_path / "a")]
    second = [path.read_bytes() for path in write_figures(made(document), tmp_path / "b")]
    assert first == second
    assert b"dc:date" not in first[0]


def test_no_global_state_is_left_behind(document: Document, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    write_figures(made(document), tmp_path)
    assert dict(mpl.rcParams) == before


def test_a_name_is_not_read_as_a_formula(document: Document, tmp_path: Path) -> None:
    rename(document, "knn", "$\\frac$")
    for path in write_figures(made(document), tmp_path):
        assert "<!-- $\\frac$ -->" in path.read_text("utf-8")


def test_a_letter_that_the_font_lacks_is_no_warning(document: Document, tmp_path: Path) -> None:
    rename(document, "knn", "robot 🤖")
    for path in write_figures(made(document), tmp_path):  # a warning would be an error here
        assert "<!-- robot 🤖 -->" in path.read_text("utf-8")


def test_a_name_too_long_for_the_margin_is_shortened(document: Document, tmp_path: Path) -> None:
    rename(document, "knn", "equirouter:tie_weight=0,dropout=0.1")
    for path in write_figures(made(document), tmp_path):
        assert "<!-- equirouter:tie_weight=0,dro… -->" in path.read_text("utf-8")


def test_a_failed_write_keeps_the_old_figure(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cost-performance.svg").write_text("old", "utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match=r"cost-performance\.svg"):
        write_figures(made(document), tmp_path)
    assert (tmp_path / "cost-performance.svg").read_text("utf-8") == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_without_matplotlib_the_message_is_the_command(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"equirouter\[train\]"):
        write_figures(made(document), tmp_path)


def test_call_shares_stand_over_cost_where_there_are_no_budgets(document: Document) -> None:
    for policy, section in (("budget", "point"), ("utility", "cost_usd")):
        document["protocol"]["policy"] = policy
        results = made(document)
        x = share_axis(results)[0](results.curves["knn"])
        assert list(x) == document["curves"]["knn"][section]
