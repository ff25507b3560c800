"""The explorer of report.html: its data, and the page in Chromium by keyboard and on a phone."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from equirouter.data.tables import write_table
from equirouter.evaluation.results import Results, read_results
from equirouter.report.explorer import always, page_data, read_samples
from equirouter.report.html import write_report
from tests.cli.invoke import invoke
from tests.results_document import Document, made
from tests.toys import make_table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of knn on 120 queries whose texts are on the page."""
    folder = tmp_path_factory.mktemp("explorer")
    write_table(make_table(), folder / "toy.csv", layout="wide")
    options = ["--encoder", "lexical", "--routers", "knn:k=5", "--seeds", "1", "--resamples", "5"]
    ran = invoke("bench", folder / "toy.csv", *options, "--texts", "--out", folder / "run")
    assert ran.code == 0, ran.err
    return folder / "run"


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return read_results(run / "results.json")


def test_samples_are_the_decisions_that_were_logged(run: Path, results: Results) -> None:
    import pyarrow.parquet as pq

    samples = read_samples(run / "decisions.parquet", results)
    assert samples is not None
    assert samples.texts == ()
    logged = pq.read_table(run / "decisions.parquet").to_pylist()
    for row in logged:
        if row["router"] == "knn:k=5" and row["query_id"] in samples.queries:
            runs = samples.chosen["knn:k=5"][samples.queries.index(row["query_id"])]
            model = [model for first, model in runs if first <= row["point"]][-1]
            assert model == row["chosen_model"]


def test_texts_are_shown_only_when_asked_for(run: Path, results: Results, tmp_path: Path) -> None:
    texts = dict(zip(make_table().query_ids, make_table().texts, strict=True))
    path = run / "decisions.parquet"
    samples = read_samples(path, results, texts)
    assert samples is not None
    shown = (run / "report.html").read_text("utf-8")
    write_report(results, tmp_path / "report.html", read_samples(path, results))
    hidden = (tmp_path / "report.html").read_text("utf-8")
    for query in samples.queries:
        assert texts[query] in shown
        assert texts[query] not in hidden


def test_a_folder_without_decisions_has_no_samples(results: Results, tmp_path: Path) -> None:
    assert read_samples(tmp_path / "decisions.parquet", results) is None
    assert page_data(results)["samples"] is None


def test_always_the_strongest_is_what_a_curve_has_of_it(document: Document) -> None:
    strongest = "gpt-4-1106-preview"
    curve = document["curves"]["random"]
    for model in curve["call_share"]:
        curve["call_share"][model][7] = float(model == strongest)
    curve["performance"][7], curve["cost_usd"][7] = 0.81, 0.0123
    for name, other in document["curves"].items():
        if name != "random":
            other["call_share"][strongest] = [0.5] * 100
    assert always(made(document)) == {"performance": 0.81, "cost": 0.0123}
    curve["call_share"][strongest][7] = 0.9
    place = document["outcomes"]["models"].index(strongest)
    assert always(made(document))["cost"] == document["outcomes"]["mean_cost_usd"][place]


def opened(browser: "Browser", run: Path, *, width: int = 1280, scheme: str = "light") -> "Page":
    page = browser.new_page(
        viewport={"width": width, "height": 850},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto((run / "report.html").as_uri())
    return page


def test_the_keyboard_moves_along_the_curve(browser: "Browser", run: Path) -> None:
    page = opened(browser, run)
    shown = page_data(read_results(run / "results.json"))
    knn = next(one for one in shown["series"] if one["name"] == "knn:k=5")
    page.get_by_label("budget, USD per query").check()
    page.locator("#place").focus()
    page.keyboard.press("Home")
    per_thousand = float(page.inner_text("#per-thousand").split()[0])
    assert per_thousand == pytest.approx(1000 * knn["cost"][0], rel=0.01)
    assert page.inner_text("#performance") == f"{knn['performance'][0]:.4f}"
    page.get_by_label("Requests a month").fill("2000")
    assert float(page.inner_text("#bill").split()[0]) == pytest.approx(2 * per_thousand, rel=0.01)
    page.keyboard.press("Tab")
    page.locator("#place").focus()
    page.keyboard.press("End")
    shares = page.locator("#calls .figure").all_inner_texts()
    assert sum(float(share.rstrip(" %")) for share in shares) == pytest.approx(100, abs=0.3)
    page.close()


def test_it_opens_with_the_router_that_is_cheapest_at_98_percent(
    browser: "Browser", document: Document, tmp_path: Path
) -> None:
    shown = page_data(made(document))
    least = 0.98 * shown["always"]["performance"]
    for name, curve in document["curves"].items():
        curve["performance"] = [least + 0.001] * 100
        curve["cost_usd"] = [1e-6 if name == "knn" else 2e-6] * 100
    write_report(made(document), tmp_path / "report.html", None)
    page = opened(browser, tmp_path)
    assert page.locator("#router option:checked").inner_text() == "knn"
    page.close()


def test_queries_that_change_their_model_are_listed(browser: "Browser", run: Path) -> None:
    page = opened(browser, run)
    page.get_by_label("budget, USD per query").check()
    page.locator("#changed").click()
    page.get_by_role("button", name="Compare with this point").click()
    assert page.inner_text("#changed").startswith("0 of ")
    page.locator("#place").focus()
    page.keyboard.press("Home")
    n_changed = int(page.inner_text("#changed").split()[0])
    assert page.locator("#changes tr").count() == n_changed > 0
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_the_answer_and_the_explorer_are_on_the_first_screen(
    width: int, scheme: str, browser: "Browser", run: Path
) -> None:
    page = opened(browser, run, width=width, scheme=scheme)
    for part in (".lead", "#place"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 850
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
