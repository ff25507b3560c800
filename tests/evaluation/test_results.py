"""Results: attributes, order, best values, views, and a file that is damaged."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from equirouter.errors import DataError, MissingExtraError, UnknownNameError
from equirouter.evaluation.metrics import COLUMNS
from equirouter.evaluation.results import read_results
from tests.results_document import Document, made, miss

NAUC, QNC, RCI, AT_98, CALLS = COLUMNS[0], COLUMNS[2], COLUMNS[3], COLUMNS[4], COLUMNS[6]


def set_means(document: Document, metric: str, means: dict[str, float | None]) -> None:
    for name, mean in means.items():
        document["routers"][name][metric]["mean"] = mean
        document["routers"][name][metric]["per_seed"] = [mean] * 3


def test_anchors_first_in_their_order_then_routers_by_nauc(document: Document) -> None:
    document["anchors"] = dict(reversed(document["anchors"].items()))
    set_means(document, "nauc", {"mlp": 0.7, "equirouter": 0.6, "knn": 0.8})
    assert [name for name, _, _ in made(document).rows()] == [
        *("oracle", "random", "strongest", "cheapest", "task"),
        *("knn", "mlp", "equirouter"),
    ]


def test_a_router_without_nauc_is_last_and_ties_go_by_name(document: Document) -> None:
    set_means(document, "nauc", {"mlp": 0.7, "equirouter": None, "knn": 0.7})
    assert [name for name, _, _ in made(document).rows()][5:] == ["knn", "mlp", "equirouter"]


def test_the_best_is_the_highest_nauc_and_the_lowest_rci(document: Document) -> None:
    set_means(document, "nauc", {"mlp": 0.7, "equirouter": 0.8, "knn": 0.6})
    set_means(document, "rci", {"mlp": 0.7, "equirouter": 0.8, "knn": 0.6})
    assert made(document).best(NAUC) == {"equirouter"}
    assert made(document).best(RCI) == {"knn"}


def test_anchors_and_values_never_reached_are_never_the_best(document: Document) -> None:
    document["anchors"]["oracle"]["qnc"]["mean"] = 0.001
    set_means(document, "qnc", {"mlp": None, "equirouter": 0.9, "knn": 0.8})
    assert made(document).best(QNC) == {"knn"}
    set_means(document, "qnc", {"mlp": None, "equirouter": None, "knn": None})
    assert made(document).best(QNC) == set()


@pytest.mark.parametrize(
    ("n_missed", "count", "everywhere"),
    [(0, "", 0.5), (1, "(2/3)", None), (2, "(1/3)", None), (3, "", None)],
)
def test_a_figure_knows_how_many_seeds_reached_it(
    n_missed: int, count: str, everywhere: float | None, document: Document
) -> None:
    knn = document["routers"]["knn"]
    set_means(document, "qnc", {"knn": 0.5})
    knn["cost_at_quality"]["mean"]["0.98"] = 0.5
    for seed in knn["cost_at_quality"]["per_seed"]:
        seed["0.98"] = 0.5
    miss(knn, "qnc", n_missed)
    miss(knn, "cost_at_quality", n_missed, quality="0.98")
    for column in (QNC, AT_98):
        figure = made(document)["knn"].measured(column)
        assert (figure.n_reached, figure.n_seeds) == (3 - n_missed, 3)
        assert figure.count == count
        assert figure.everywhere == everywhere


def test_a_mean_over_lucky_seeds_is_never_the_best(document: Document) -> None:
    set_means(document, "qnc", {"mlp": 0.9, "equirouter": 0.8, "knn": 0.1})
    miss(document["routers"]["knn"], "qnc")
    assert made(document).best(QNC) == {"equirouter"}
    for name in ("mlp", "equirouter"):
        miss(document["routers"][name], "qnc")
    assert made(document).best(QNC) == set()


def test_a_router_that_falls_short_of_95_percent_is_never_the_best_in_rci(
    document: Document,
) -> None:
    set_means(document, "rci", {"mlp": 0.7, "equirouter": 0.8, "knn": 0.1})
    set_means(document, "nauc", {"mlp": 0.7, "equirouter": 0.6, "knn": 0.8})
    document["routers"]["knn"]["peak_quality"]["per_seed"] = [0.97, 0.97, 0.94]
    assert made(document).best(RCI) == {"mlp"}
    assert made(document).best(NAUC) == {"knn"}  # elsewhere a weak router's value stands for itself
    document["routers"]["mlp"]["peak_quality"]["per_seed"] = [0.949, 0.97, 0.97]
    assert made(document).best(RCI) == {"equirouter"}


def test_routers_that_look_equal_share_the_mark(document: Document) -> None:
    # 0.80004 and 0.79996 are both 0.8000 in four digits
    set_means(document, "nauc", {"mlp": 0.80004, "equirouter": 0.79996, "knn": 0.7999})
    assert made(document).best(NAUC) == {"mlp", "equirouter"}


def test_calls_to_the_strongest_are_neither_good_nor_bad(document: Document) -> None:
    assert made(document).best(CALLS) == set()


def test_figures_are_attributes(document: Document) -> None:
    results = made(document)
    knn = document["routers"]["knn"]
    for key in (0.95, "0.95"):
        assert results["knn"].cost_at_quality[key].mean == knn["cost_at_quality"]["mean"]["0.95"]
    assert (
        list(results.anchors["task"].nauc.per_seed)
        == document["anchors"]["task"]["nauc"]["per_seed"]
    )
    assert results["oracle"] == results.anchors["oracle"]
    assert dict(results["knn"].call_share.items()).keys() == set(document["dataset"]["models"])
    assert len(results["knn"].cost_at_quality) == 6


def test_an_unknown_router_is_named_with_those_there_are(document: Document) -> None:
    with pytest.raises(UnknownNameError, match=r"anchor 'knnn' .*mlp, equirouter, knn"):
        made(document)["knnn"]


def test_a_written_file_reads_back(document: Document, tmp_path: Path) -> None:
    miss(document["routers"]["knn"], "qnc")
    miss(document["routers"]["knn"], "cost_at_quality", quality="0.95")
    made(document).write(tmp_path / "results.json")
    stored = json.loads((tmp_path / "results.json").read_text("utf-8"))
    # one of three seeds missed it
    assert stored["routers"]["knn"]["qnc"]["reached"] == 2 / 3
    assert stored["routers"]["knn"]["cost_at_quality"]["reached"] == {"0.95": 2 / 3}
    assert "reached" not in stored["routers"]["knn"]["nauc"]
    assert without_reached(stored) == document
    assert read_results(tmp_path / "results.json") == made(document)


def without_reached(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_reached(part) for key, part in value.items() if key != "reached"}
    return [without_reached(part) for part in value] if isinstance(value, list) else value


def test_a_frame_has_a_row_per_figure(document: Document) -> None:
    frame = made(document).to_frame()
    # 8 routers and anchors; 14 figures with one value, 2 of 6 qualities, 1 of 11 models
    assert len(frame) == 8 * (14 + 2 * 6 + 11)
    row = frame.query("router == 'knn' and metric == 'cost_at_quality' and key == '0.95'").iloc[0]
    assert row["mean"] == document["routers"]["knn"]["cost_at_quality"]["mean"]["0.95"]
    assert not row["is_anchor"]
    assert len(row["per_seed"]) == 3


def test_without_pandas_the_message_is_the_command(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"equirouter\[train\]"):
        made(document).to_frame()


def test_a_plot_is_a_figure_with_a_label_per_line(document: Document) -> None:
    axes = made(document).plot().axes[0]
    assert {text.get_text() for text in axes.texts} == {*document["anchors"], *document["routers"]}
    assert "cost, USD" in axes.get_xlabel()


def test_they_print_in_15_lines(document: Document) -> None:
    lines = str(made(document)).splitlines()
    assert len(lines) == 1 + 1 + 8
    assert lines[0].startswith("Results on routerbench-5shot: 36,511 queries")
    assert lines[1].split()[:3] == ["nAUC", "P_s", "QNC"]
    nauc = document["routers"]["equirouter"]["nauc"]["mean"]
    assert next(line for line in lines if line.startswith("equirouter")).split()[1] == f"{nauc:.4f}"
    for number in range(20):
        copy_router(document, f"knn:k={number}")
    lines = repr(made(document)).splitlines()
    assert len(lines) == 15
    assert len({len(line) for line in lines[1:-1]}) == 1, "the columns are not aligned"
    assert repr(made(document)).endswith("and 16 more: see to_frame()")


def test_in_a_notebook_they_are_a_table_without_markup_of_names(document: Document) -> None:
    copy_router(document, "<b>x</b>")
    page = made(document)._repr_html_()
    _, *rows = page.split("<tr>")
    assert len(rows) == 1 + 9
    widths = {row.count("<th>") + row.count("<td>") for row in rows}
    assert len(widths) == 1, "the head has as many cells as the rows"
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>" not in page


def copy_router(document: Document, name: str) -> None:
    for group in ("routers", "curves", "calibration", "paired"):
        document[group][name] = document[group]["knn"]
    for others in document["paired"].values():
        others[name] = others["knn"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no JSON document"),
        (b"\xff\xfe", "no JSON document"),
        (b'{"schema": NaN}', "NaN is not JSON"),
        (b"[1]", "holds a JSON list, expected an object"),
        (b"{}", "schema is None, expected 1"),
        (b'{"schema": 2}', "schema is 2, expected 1"),
        (b'{"schema": 1}', "Field required"),
    ],
)
def test_a_file_that_is_no_result_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_results(path)
    assert str(path) in str(caught.value)


def test_no_file_says_which_command_writes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; `equirouter bench"):
        read_results(tmp_path / "results.json")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("protocol", "seeds"), "protocol.seeds: Field required"),
        (("calibration",), "calibration: Field required"),
        (("curves", "knn"), "curves.knn is missing"),
        (("paired", "knn"), "paired.knn is missing"),
        (("paired", "knn", "mlp"), "paired.knn.mlp is missing"),
        (("routers", "mlp", "nauc"), "routers.mlp.nauc: Field required"),
        (("routers", "mlp", "qnc", "per_seed"), "routers.mlp.qnc.per_seed: Field required"),
        (("anchors", "task", "call_share", "low", "gpt-4-1106-preview"), "anchors.task.call_share"),
        (("routers", "knn", "cost_at_quality", "mean", "0.98"), "knn.cost_at_quality is of 1.02"),
    ],
)
def test_what_is_missing_is_named(
    path: tuple[str, ...], message: str, document: Document, tmp_path: Path
) -> None:
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    check_refused(document, message, tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.5", "routers.knn.nauc.mean: Input should be a valid number"),
        ([0.5], "routers.knn.nauc.mean: Input should be a valid number"),
        (True, "routers.knn.nauc.mean: Input should be a valid number"),
    ],
)
def test_what_is_no_number_is_named(
    value: object, message: str, document: Document, tmp_path: Path
) -> None:
    document["routers"]["knn"]["nauc"]["mean"] = value
    check_refused(document, message, tmp_path)


def check_refused(document: Document, message: str, folder: Path) -> None:
    path = folder / "results.json"
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_results(path)
    assert str(path) in str(caught.value)
    assert "equirouter bench" in str(caught.value)


def test_a_figure_is_a_finite_number(document: Document) -> None:
    document["curves"]["knn"]["performance"][3] = float("nan")
    with pytest.raises(ValidationError, match="finite number"):
        made(document)
