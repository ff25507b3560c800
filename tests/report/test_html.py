"""The HTML report: complete, offline, safe."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from equirouter.errors import OutputError
from equirouter.evaluation.metrics import COLUMNS
from equirouter.report.canvas import colour_of
from equirouter.report.html import write_report
from tests.results_document import Document, made, miss, rename

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects what a browser would see; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.text += data
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row[0] == name)


def written(document: Document, folder: Path) -> tuple[str, Page]:
    write_report(made(document), folder / "report.html")
    text = (folder / "report.html").read_text("utf-8")
    return text, Page(text)


def test_nothing_is_loaded_from_anywhere(document: Document, tmp_path: Path) -> None:
    text, page = written(document, tmp_path)
    assert page.links == ["data:,"]
    assert "default-src 'none'" in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", text)
    assert len(text) < 1_500_000


def test_every_router_and_every_section_is_there(document: Document, tmp_path: Path) -> None:
    _, page = written(document, tmp_path)
    names = [row[0] for row in page.rows]
    for name in (*document["anchors"], *document["routers"], *document["outcomes"]["models"][1:-1]):
        assert name in names
    for part in (
        document["visibility"]["warning"],
        "14 rows lack the outcome",
        "21,898 test queries measured",
        "95.7 %",
        "36,511 queries, 11 models, 86 tasks",
        document["split_hashes"]["43"],
        "2.13.0",
        " ".join(document["command"]),
        *(column.meaning for column in COLUMNS),
    ):
        assert part in page.text


def test_the_table_has_intervals_marks_and_slashes(document: Document, tmp_path: Path) -> None:
    for name, value in (("mlp", 0.1), ("equirouter", 0.3), ("knn", 0.2)):
        document["routers"][name]["nauc"] |= {
            "mean": value,
            "low": value - 0.01,
            "high": value + 0.1,
        }
    _, page = written(document, tmp_path)
    assert page.row("equirouter")[1] == "0.3000*[0.2900, 0.4000]"
    assert page.row("knn")[1] == "0.2000[0.1900, 0.3000]"
    assert page.row("mlp")[3] == "/"
    names = [row[0] for row in page.rows[2:10]]
    assert names == [
        *("oracle", "random", "strongest", "cheapest", "task"),
        *("equirouter", "knn", "mlp"),
    ]


def test_a_mean_over_some_seeds_shows_how_many_and_has_no_mark(
    document: Document, tmp_path: Path
) -> None:
    for name, value in (("mlp", 0.3), ("equirouter", 0.2), ("knn", 0.1)):
        document["routers"][name]["qnc"] |= {"mean": value, "low": None, "high": None}
    document["routers"]["mlp"]["qnc"]["per_seed"] = [0.3, 0.3, 0.3]
    miss(document["routers"]["knn"], "qnc")
    _, page = written(document, tmp_path)
    assert page.row("knn")[3] == "0.100 (2/3)"
    assert page.row("equirouter")[3] == "0.200*"
    assert "(2/3): reached in so many seeds; the mean is over those" in page.text


def test_all_published_rows_stand_there_and_what_they_can_be_held_against(
    document: Document, tmp_path: Path
) -> None:
    _, page = written(document, tmp_path)
    assert page.row("embedllm")[1:3] == ["0.7427", "–"]
    assert "Table 1, RouterBench." in page.text
    assert "part or a variant" not in page.text
    document["dataset"]["name"] = "routerbench_slice"
    _, page = written(document, tmp_path)
    assert "routerbench_slice is a part or a variant of that benchmark" in page.text


def test_the_charts_hold_the_curves(document: Document, tmp_path: Path) -> None:
    _, page = written(document, tmp_path)
    charts = json.loads(page.scripts[0])
    assert {one["name"] for one in charts["series"]} == set(document["curves"])
    series = {one["name"]: one for one in charts["series"]}
    assert series["knn"]["performance"] == pytest.approx(document["curves"]["knn"]["performance"])
    assert series["knn"]["colour"] == colour_of("knn")
    strongest = charts["strongest"]
    assert charts["models"][strongest]["name"] == "gpt-4-1106-preview"
    assert series["oracle"]["shares"][strongest] == pytest.approx(
        document["curves"]["oracle"]["call_share"]["gpt-4-1106-preview"], rel=1e-5
    )
    # all models together are all of the calls, at every budget
    totals = [sum(point) for point in zip(*series["knn"]["shares"], strict=True)]
    assert totals == pytest.approx([1.0] * 100, abs=1e-4)


def test_user_text_is_never_markup(document: Document, tmp_path: Path) -> None:
    attack = "</script><script>alert(1)</script>"
    document["dataset"]["name"] = "<script>"
    document["visibility"]["warning"] = attack
    document["command"] = ["equirouter", "bench", attack]
    rename(document, "knn", attack)
    text, page = written(document, tmp_path)
    assert len(page.scripts) == 2
    assert "alert(1)</script>" not in text
    assert "<title>&lt;script&gt;: measured routers</title>" in text
    assert attack in page.text
    assert attack in [one["name"] for one in json.loads(page.scripts[0])["series"]]
    assert "innerHTML" not in page.scripts[1]  # names become text nodes


def test_differences_from_an_anchor_have_a_verdict(document: Document, tmp_path: Path) -> None:
    document["paired"]["knn"]["task"] = {
        "nauc": {"mean": 0.02, "low": 0.01, "high": 0.03},
        "nauc_common": {"mean": 0.01, "low": None, "high": None},
        "peak_score": {"mean": 0.0, "low": -0.01, "high": 0.01},
        "rci": {"mean": 0.05, "low": 0.04, "high": 0.06},  # lower is better
        "cost_at_quality": {"0.98": {"mean": -0.1, "low": -0.2, "high": -0.05}},
    }
    _, page = written(document, tmp_path)
    row = next(row for row in page.rows if row[0] == "knn" and row[1].startswith("+"))
    assert row[1:] == [
        "+0.0200[+0.0100, +0.0300]better",
        "+0.0000[-0.0100, +0.0100]no difference shown",
        "+0.0500[+0.0400, +0.0600]worse",
        "-0.1000[-0.2000, -0.0500]better",
        "–",  # at 95 % nothing is known
    ]


def test_what_the_encoder_says_of_itself_stands_above_the_figures(
    document: Document, tmp_path: Path
) -> None:
    document["protocol"]["encoder_notes"] = ["the image features have random weights (seed 3)"]
    _, page = written(document, tmp_path)
    notes = page.text.partition("Before you read on")[2]
    assert "the image features have random weights (seed 3)" in notes.partition("RCI")[0]
    assert page.text.count("random weights") == 1


def test_what_was_not_measured_is_left_out(document: Document, tmp_path: Path) -> None:
    document["published"], document["command"] = None, []
    document["visibility"]["warning"] = None
    document["outcomes"]["notes"] = []
    document["left_out"]["incomplete_test_queries"] = 0
    _, page = written(document, tmp_path)
    for heading in ("Before you read on", "published", "Make it again"):
        assert heading not in page.text


def test_the_same_results_give_the_same_page(document: Document, tmp_path: Path) -> None:
    first, _ = written(document, tmp_path)
    second, _ = written(document, tmp_path)
    assert first == second


def test_a_failed_write_keeps_the_old_page(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", "utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(made(document), path)
    assert path.read_text("utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
