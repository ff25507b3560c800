"""Experiments by name, and what they leave."""

import json
from pathlib import Path

import pytest

from equirouter.errors import DataError, OutputError, UnknownNameError
from equirouter.paper.base import Cell, Figure, Section, Table, Value
from equirouter.paper.context import Context
from equirouter.paper.report_all import (
    as_csv,
    as_markdown,
    experiments,
    run_experiments,
    value_text,
    write_paper,
)
from equirouter.registry import EXPERIMENTS


def easy(context: Context) -> Section:  # noqa: ARG001  # every experiment has one
    return Section(
        "easy",
        "An <easy> one",
        "The paper says so.",
        "reproduced",
        "It is so.",
        (Table("easy", ("a", "b"), (("x", 1.0),), "One."),),
        (Figure("easy", b"<svg/>", "nothing", "Empty."),),
    )


def impossible(context: Context) -> Section:  # noqa: ARG001
    raise DataError("one task only: out of domain needs two")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("easy", "impossible"):
        monkeypatch.setitem(EXPERIMENTS._paths, name, f"tests.paper.test_report_all:{name}")


def test_what_cannot_be_run_is_listed_and_the_others_go_on(context: Context) -> None:
    seen: list[str] = []
    paper = run_experiments(
        ["impossible", "easy"], context, on_section=lambda section: seen.append(section.name)
    )
    assert seen == [section.name for section in paper.sections] == ["easy"]
    assert [(each.name, each.reason) for each in paper.not_run] == [
        ("impossible", "one task only: out of domain needs two")
    ]


def test_alone_it_is_an_error(context: Context) -> None:
    with pytest.raises(DataError, match="one task only"):
        run_experiments(["impossible"], context)


def test_all_is_every_name_and_a_wrong_one_has_a_suggestion() -> None:
    assert list(experiments(["all"])) == EXPERIMENTS.names()
    assert list(experiments(["fig1", "fig1"])) == ["fig1"]
    with pytest.raises(UnknownNameError, match="did you mean 'fig1'"):
        experiments(["figg1"])


def test_files_numbers_and_page(context: Context, tmp_path: Path) -> None:
    paper = run_experiments(["easy", "impossible"], context)
    written, report = write_paper(paper, context, tmp_path, command=["equirouter", "paper", "easy"])
    assert (tmp_path / "tables" / "easy.csv").read_text("utf-8") == "a,b\nx,1.0\n"
    assert (tmp_path / "tables" / "easy.md").read_text("utf-8").startswith("| a | b |\n")
    assert (tmp_path / "figures" / "easy.svg").read_bytes() == b"<svg/>"
    document = json.loads((tmp_path / "paper.json").read_text("utf-8"))
    assert document == written
    assert document["sections"][0]["tables"][0]["rows"] == [["x", 1.0]]
    assert document["not_run"][0]["name"] == "impossible"
    page = report.read_text("utf-8")
    assert '<a href="#easy">An &lt;easy&gt; one</a>' in page
    assert "one task only" in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_folder_that_cannot_be_written_is_named(context: Context, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("here already", "utf-8")
    with pytest.raises(OutputError, match="file"):
        write_paper(run_experiments(["easy"], context), context, place)


TABLE = Table(
    "t",
    ("router", "nAUC", "QNC", "n"),
    (("knn|x", Value(0.75, 0.7, 0.8), None, 3), ("mlp", Value(None, note="(0/2)"), 1.25, 12345)),
    "Made up.",
)


def test_csv_has_three_columns_for_an_interval_and_every_digit() -> None:
    assert as_csv(TABLE).splitlines() == [
        "router,nAUC,nAUC low,nAUC high,QNC,n",
        "knn|x,0.75,0.7,0.8,,3",
        "mlp,,,,1.25,12345",
    ]


def test_markdown_shows_intervals_and_what_was_never_reached() -> None:
    lines = as_markdown(TABLE).splitlines()
    assert lines[2] == "| `knn\\|x` | 0.7500 \\[0.7000, 0.8000\\] | / | 3 |"
    assert lines[3] == "| `mlp` | / (0/2) | 1.250 | 12,345 |"
    assert lines[-1] == "Made up."


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.0, "0.0000"),
        (0.05, "0.0500"),
        (0.00123456, "0.00123"),
        (-0.5, "-0.5000"),
        (12.3456, "12.35"),
        (1234.5, "1,234"),  # half to even
        (None, "/"),
        ("", ""),
    ],
)
def test_numbers_have_four_digits(cell: Cell, text: str) -> None:
    assert value_text(cell) == text
