"""The tables: rows, marks, intervals, widths."""

import io
import json
import re

import pytest
from rich.console import Console
from rich.table import Table

from equirouter.evaluation.metrics import COLUMNS
from equirouter.report.tables import (
    caption,
    cells,
    headline,
    published_table,
    results_markdown,
    results_table,
)
from tests.results_document import NAMES, Document, made, miss, rename

NAUC, QNC = COLUMNS[0], COLUMNS[2]


def printed(table: Table, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def row_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [name])


def set_figure(entry: Document, metric: str, mean: object, low: object, high: object) -> None:
    entry[metric] = {"mean": mean, "low": low, "high": high, "per_seed": [mean]}


def rows(document: Document) -> list[Document]:
    return [*document["anchors"].values(), *document["routers"].values()]


@pytest.mark.parametrize("width", [80, 120])
def test_every_row_fits_and_no_figure_is_cut(width: int, document: Document) -> None:
    text = printed(results_table(made(document), width=width), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for name in ("oracle", "random", "strongest", "cheapest", "task", "equirouter", "mlp", "knn"):
        # one word per column: a figure that was broken would make more of them
        assert len(row_of(text, name).split()) == 1 + len(COLUMNS)


def test_a_long_name_takes_one_line(document: Document) -> None:
    text = json.dumps(document).replace('"knn"', '"some/folder/ridge.py:Ridge"')
    document = json.loads(text.replace('"mlp"', '"equirouter:paper-without-ranking-loss"'))
    text = printed(results_table(made(document), width=80), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    cut = next(line for line in text.splitlines() if line.strip().startswith("…"))
    assert cut.split()[0].endswith("ranking-loss")
    for line in (cut, row_of(text, "Ridge")):
        assert len(line.split()) == 1 + len(COLUMNS)


def test_80_columns_are_enough_for_intervals(document: Document) -> None:
    for entry in rows(document):
        for metric in ("nauc", "peak_score", "qnc", "rci"):
            set_figure(entry, metric, 0.5, 0.4, 0.9)
    text = printed(results_table(made(document), intervals=True, width=80), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "[0.4000," in text
    assert "0.9000]" in text


def test_anchors_come_first_then_routers_by_nauc(document: Document) -> None:
    document["routers"]["knn"]["nauc"]["mean"] = 0.99
    text = printed(results_table(made(document), width=120), 120)
    names = [line.split()[0] for line in text.splitlines() if len(line.split()) == 8]
    assert names[:5] == ["oracle", "random", "strongest", "cheapest", "task"]
    assert names[5] == "knn"


@pytest.mark.parametrize("width", [80, 120])
def test_an_empty_line_sets_the_anchors_apart_from_the_routers(
    width: int, document: Document
) -> None:
    text = printed(results_table(made(document), width=width), width)
    body = re.split(r"─ *\n", text)[1]
    groups = [part.splitlines() for part in re.split(r"\n +\n", body)]
    names = [{line.split()[0] for line in group if line[1:2].strip()} for group in groups]
    assert names[:2] == [set(document["anchors"]), set(document["routers"])]


def test_the_best_of_a_column_has_a_sign_that_needs_no_colour(document: Document) -> None:
    for name, value in (("mlp", 0.1), ("equirouter", 0.3), ("knn", 0.2)):
        set_figure(document["routers"][name], "nauc", value, value - 0.01, value + 0.01)
        set_figure(document["routers"][name], "rci", value, value - 0.01, value + 0.01)
    text = printed(results_table(made(document), width=120), 120)
    assert row_of(text, "equirouter").split()[1] == "0.3000*"
    assert row_of(text, "knn").split()[1] == "0.2000"
    assert row_of(text, "mlp").split()[4] == "0.100*"
    assert "*" not in row_of(text, "oracle")


def test_what_is_never_reached_is_a_slash(document: Document) -> None:
    text = printed(results_table(made(document), width=120), 120)
    assert row_of(text, "mlp").split()[3] == "/"


def lucky_knn(document: Document) -> None:
    """knn reaches every quality most cheaply, but in 2 of 3 seeds only; no interval is short."""
    for entry in rows(document):
        for metric in ("nauc", "peak_score", "rci", "qnc"):
            set_figure(entry, metric, 0.5, 0.4, 0.9)
    set_figure(document["routers"]["knn"], "qnc", 0.1, 0.05, 0.3)
    document["routers"]["knn"]["qnc"]["per_seed"] = [0.1, None, 0.1]
    for quality in ("0.98", "0.95"):
        document["routers"]["knn"]["cost_at_quality"]["mean"][quality] = 0.1
        miss(document["routers"]["knn"], "cost_at_quality", quality=quality)


def test_a_mean_over_some_seeds_shows_how_many_and_has_no_mark(document: Document) -> None:
    lucky_knn(document)
    text = printed(results_table(made(document), width=120), 120)
    assert max(len(line) for line in text.splitlines()) <= 120
    assert row_of(text, "knn").split()[3:5] == ["0.100", "(2/3)"]
    assert row_of(text, "knn").count("0.100 (2/3) ") == 3
    assert row_of(text, "equirouter").split()[3] == "0.500*"
    markdown = results_markdown(made(document))
    assert "| 0.100 (2/3) [0.050, 0.300] |" in markdown
    for shown in (text, markdown):
        meaning = "(2/3): reached in so many seeds; the mean is over those"
        assert meaning in " ".join(shown.split())


def test_in_80_columns_the_count_takes_a_line_of_its_own(document: Document) -> None:
    lucky_knn(document)
    text = printed(results_table(made(document), width=80), 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    assert len(row_of(text, "knn").split()) == 1 + len(COLUMNS)
    lines = text.splitlines()
    below = lines[lines.index(row_of(text, "knn")) + 1]
    assert below.split().count("(2/3)") == 3


def test_too_few_seeds_for_a_mean_are_still_counted(document: Document) -> None:
    set_figure(document["routers"]["mlp"], "qnc", None, None, None)
    document["routers"]["mlp"]["qnc"]["per_seed"] = [0.9, None, None]
    assert cells(made(document), QNC)["mlp"] == ("/ (1/3)", "", False)


def test_no_count_no_explanation_of_counts(document: Document) -> None:
    assert "so many seeds" not in results_markdown(made(document))


def test_a_collapse_index_without_mark_is_explained(document: Document) -> None:
    for name, value in (("mlp", 0.2), ("equirouter", 0.3), ("knn", 0.1)):
        set_figure(document["routers"][name], "rci", value, value, value)
    for name, peak in (("mlp", 0.96), ("equirouter", 0.95), ("knn", 0.94)):
        document["routers"][name]["peak_quality"]["per_seed"] = [peak] * 3
    text = printed(results_table(made(document), width=120), 120)
    assert row_of(text, "knn").split()[4] == "0.100"
    assert row_of(text, "mlp").split()[4] == "0.200*"
    assert "in RCI only of those that reach 95 %" in caption(made(document))


def test_intervals_are_written_one_way_and_printed_on_demand(document: Document) -> None:
    for entry in rows(document):
        set_figure(entry, "nauc", 0.8445, 0.8424, 0.8466)
    assert cells(made(document), NAUC)["knn"] == ("0.8445", "[0.8424, 0.8466]", True)
    results = made(document)
    assert "0.8424" not in printed(results_table(results, width=80), 80)
    assert "[0.8424," in printed(results_table(results, intervals=True, width=80), 80)


def test_a_router_is_one_line_of_80_columns(document: Document) -> None:
    text = printed(results_table(made(document), width=80), 80)
    body = text.split("─ ", 1)[1]
    names = [line.split()[0] for line in body.splitlines() if line.strip()]
    known = [*document["anchors"], *document["routers"]]
    assert [name for name in names if name in known] == names[: len(known)]


def test_an_interval_may_be_known_where_the_value_is_not(document: Document) -> None:
    set_figure(document["routers"]["mlp"], "qnc", None, 0.9, 1.1)
    assert cells(made(document), QNC)["mlp"][:2] == ("/", "[0.900, 1.100]")
    set_figure(document["routers"]["mlp"], "qnc", 1.0, 0.9, None)
    assert cells(made(document), QNC)["mlp"][:2] == ("1.000", "[0.900, /]")


def test_the_caption_says_what_was_measured(document: Document) -> None:
    text = caption(made(document))
    for part in (
        "routerbench-5shot: 36,511 queries, 11 models",
        "in-domain split 3:1:6",
        "seeds 42, 43, 44",
        "21,898 test queries measured, 9 left out",
        "gpt-4-1106-preview's cost",
    ):
        assert part in text


def test_a_name_is_text_and_no_markup(document: Document) -> None:
    rename(document, "knn", "[red]x[/]")
    assert "[red]x[/]" in printed(results_table(made(document), width=120), 120)
    assert "| `[red]x[/]` |" in results_markdown(made(document))


def test_published_values_stand_beside_ours(document: Document) -> None:
    set_figure(document["routers"]["knn"], "nauc", 0.76, 0.75, 0.77)
    table = published_table(made(document))
    assert table is not None
    text = printed(table, 80)
    assert row_of(text, "knn").split()[1:3] == ["0.7541", "0.7600"]
    assert "Table 1, RouterBench. Not measured here: 1 more" in text
    # its QNC was never reached in the paper
    row = "| `embedllm` | 0.7427 | – | 0.8027 | – | / | – | 0.7869 | – |"
    assert row in results_markdown(made(document))
    assert "embedllm" not in text


def test_no_second_table_in_the_terminal_when_no_published_router_was_measured(
    document: Document,
) -> None:
    del document["published"]["rows"]["knn"]
    assert published_table(made(document)) is None
    assert "`embedllm`" in results_markdown(made(document))


def test_published_values_of_another_data_set_give_directions_only(document: Document) -> None:
    line = "is a part or a variant of that benchmark, so levels do not compare"
    for name in ("routerbench-5shot", "routerbench-0shot", "routerbench-raw", "mmrbench"):
        document["dataset"]["name"] = name
        assert line not in results_markdown(made(document))
    document["dataset"]["name"] = "routerbench_slice"
    assert f"\n\nrouterbench_slice {line}, only directions.\n" in results_markdown(made(document))
    table = published_table(made(document))
    assert table is not None
    assert f"routerbench_slice {line}" in " ".join(printed(table, 80).split())


def test_a_count_of_seeds_stands_beside_our_published_value(document: Document) -> None:
    set_figure(document["routers"]["knn"], "qnc", 0.9, None, None)
    document["routers"]["knn"]["qnc"]["per_seed"] = [0.9, 0.9, None]
    table = published_table(made(document))
    assert table is not None
    text = printed(table, 80)
    assert row_of(text, "knn").split()[5:7] == ["0.9381", "0.9000"]
    assert row_of(text, "(2/3)")  # on a line of its own, so that 80 columns are enough
    assert "| 0.9381 | 0.9000 (2/3) |" in results_markdown(made(document))


def test_nothing_published_no_second_table(document: Document) -> None:
    document["published"] = None
    assert published_table(made(document)) is None
    assert "paper" not in results_markdown(made(document))


def test_markdown_has_the_same_rows(document: Document) -> None:
    lines = results_markdown(made(document)).splitlines()
    assert lines[0].count("|") == len(COLUMNS) + 2
    assert all(line.count("|") == lines[0].count("|") for line in lines[:10])
    assert [line.split("|")[1].strip() for line in lines[2:7]] == [
        "*oracle*",
        "*random*",
        "*strongest*",
        "*cheapest*",
        "*task*",
    ]
    bold = [line for line in lines[2:10] if "**" in line.split("|")[2]]
    value = max(document["routers"].values(), key=lambda entry: entry["nauc"]["mean"])
    assert len(bold) == 1
    assert f"**{value['nauc']['mean']:.4f}**" in bold[0]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("equirouter:tie_weight=0", "`equirouter:tie_weight=0`"),
        ("a*b|<c>", "`a*b\\|<c>`"),  # a pipe ends a cell even within code
        ("a`b|c", "a\\`b\\|c"),
        ("a\\|b", "a\\\\\\|b"),
    ],
)
def test_routers_are_code_in_markdown(name: str, shown: str, document: Document) -> None:
    rename(document, "knn", name)
    assert f"\n| {shown} | " in results_markdown(made(document))


def test_an_underscore_is_escaped_only_where_it_could_mean_something(document: Document) -> None:
    document["dataset"]["name"] = "_my_set__1_"
    text = results_markdown(made(document))
    assert "| P_s ↑ |" in text
    assert "\\_my_set\\_\\_1\\_: 36,511" in text


def test_a_name_cannot_break_the_markdown(document: Document) -> None:
    document["dataset"]["name"] = "<script>|x"
    text = results_markdown(made(document))
    assert "&lt;script>\\|x" in text
    assert "<script>" not in text


def set_cost(entry: Document, mean: object, low: object, high: object) -> None:
    for statistic, value in (("mean", mean), ("low", low), ("high", high)):
        entry["cost_at_quality"][statistic]["0.98"] = value
    for seed in entry["cost_at_quality"]["per_seed"]:
        seed["0.98"] = mean


def test_an_nauc_above_the_oracles_is_said_to_mislead(document: Document) -> None:
    assert "misleads" not in caption(made(document))
    document["routers"]["knn"]["nauc"]["mean"] = 0.999
    document["anchors"]["oracle"]["nauc_common"]["mean"] = 0.9
    document["routers"]["knn"]["nauc_common"]["mean"] = 0.8
    said = caption(made(document)).partition("nAUC misleads here")[2]
    assert "(nauc_common): oracle 0.9000, knn 0.8000, " in said


def test_several_strongest_models_are_named(document: Document) -> None:
    assert "as strong within noise" not in caption(made(document))
    first, second = NAMES[-1], NAMES[4]
    document["reference"] = {
        "per_seed": [first, second, first],
        "as_strong": [[first, second], [second, first, NAMES[7]], [first]],
    }
    results = made(document)
    assert results.strongest == first
    assert (
        f"The strongest model on training and validation part is {first}, {second} (as strong "
        f"within noise: {NAMES[7]}), by seed"
    ) in caption(results)


@pytest.fixture
def cheap_knn(document: Document) -> Document:
    set_cost(document["routers"]["mlp"], 1.0, 1.0, 1.0)
    set_cost(document["routers"]["equirouter"], 0.6, 0.55, 0.65)
    set_cost(document["routers"]["knn"], 0.5, 0.45, 0.55)
    for name in document["anchors"]:
        set_cost(document["anchors"][name], 0.9, 0.8, 1.0)
    set_cost(document["anchors"]["oracle"], 0.1, 0.1, 0.1)
    set_cost(document["anchors"]["strongest"], 0.7, 0.65, 0.75)
    return document


def set_difference(document: Document, low: float | None, high: float | None) -> None:
    """That of knn from the strongest anchor at 98 %: -20 points."""
    found = document["paired"]["knn"]["strongest"]["cost_at_quality"]
    found["0.98"] = {"mean": -0.2, "low": low, "high": high}


def test_the_cheapest_router_is_named_with_its_interval(cheap_knn: Document) -> None:
    what, lead, _ = headline(made(cheap_knn))
    assert what.startswith("3 routers chose among 11 models")
    assert "21,898 test queries measured" in what
    assert lead.startswith("knn has 98 %")
    assert "at the lowest cost: 50.0 %" in lead
    assert "50.0 % [45.0, 55.0] of gpt-4-1106-preview's" in lead


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.3, -0.1, "[-30.0, -10.0], so reading the queries pays here"),
        (-0.3, 0.1, "[-30.0, +10.0], so this is no proof"),
        (0.1, 0.3, "[+10.0, +30.0], so reading the queries does not pay"),
        (None, None, "an interval is missing"),
    ],
)
def test_it_is_held_against_the_best_that_reads_no_text(
    low: float | None, high: float | None, verdict: str, cheap_knn: Document
) -> None:
    set_difference(cheap_knn, low, high)
    against = headline(made(cheap_knn))[2]
    assert verdict.lower() in against.lower()
    # the oracle needs less, but it knows the outcomes
    assert against.startswith(
        "Of the anchors that read no text, strongest (which has the models' means"
    )
    assert "needs least: 70.0 % [65.0, 75.0]" in against


def test_plans_are_not_said_to_read_alone(cheap_knn: Document) -> None:
    set_difference(cheap_knn, -0.3, -0.1)
    cheap_knn["protocol"]["policy"] = "plan"
    assert "so reading the queries and comparing answers pays here" in headline(made(cheap_knn))[2]


def test_what_several_models_come_to_is_said(cheap_knn: Document) -> None:
    curve = cheap_knn["curves"]["knn"]
    n = len(curve["performance"])
    curve["performance"] = [0.1] * (n - 1) + [1.0]  # only the last point has 98 %
    curve |= {"calls": [1.0] * (n - 1) + [2.25], "escalated": [0.0] * (n - 1) + [0.25]}
    curve |= {"rounds": curve["calls"], "wrongly_accepted": [0.01] * n}
    said = headline(made(cheap_knn))[3]
    assert said.startswith("About there 2.25 models are asked per query, a third one on 25.0 %")
    assert "1.0 % are served one of two answers" in said
    assert "tokens" not in said
    curve |= {"output_tokens_p50": [120.0] * n, "output_tokens_p95": [1400.0] * n}
    assert "; 120 output tokens are written one after the other" in headline(made(cheap_knn))[3]


def test_no_anchor_no_claim(cheap_knn: Document) -> None:
    cheap_knn["anchors"] = {"oracle": cheap_knn["anchors"]["oracle"]}
    assert "does not show that reading the queries pays" in headline(made(cheap_knn))[2]


def test_no_router_is_cheaper_than_always_the_strongest(document: Document) -> None:
    for entry in document["routers"].values():
        set_cost(entry, 1.0, 0.9, 1.0)
    assert headline(made(document))[1:] == [
        "No router has 98 % of the mean performance of gpt-4-1106-preview, the strongest model, "
        "for less than always calling gpt-4-1106-preview."
    ]


def test_a_strongest_model_that_is_free_leaves_nothing_to_save(document: Document) -> None:
    for entry in document["routers"].values():
        set_cost(entry, None, None, None)
    assert headline(made(document))[1:] == [
        "The calls of gpt-4-1106-preview, the strongest model, cost nothing."
    ]
