"""Labels of people: which queries are shown, what labels correct, and the page in Chromium."""

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.labelling.collection_store import Collection, KeptAnswer, KeptGrade, KeptQuery
from equirouter.labelling.review.choosing import chance, choose, key_of
from equirouter.labelling.review.correcting import agreements, corrected, merged, take_labels
from equirouter.labelling.review.page import Page, serve_page
from equirouter.labelling.scoring import score

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as BrowserPage


def collection(folder: Path, n: int = 3, models: tuple[str, ...] = ("small", "large")) -> Path:
    with Collection.create(folder) as made:
        body = json.dumps({"messages": [{"role": "user", "content": "What is it?"}]})
        made.add_queries(
            [KeptQuery(f"q{i}", i, f"What is {i}?", body, None, 1.0, None, None) for i in range(n)]
        )
        for i in range(n):
            for model in models:
                text = f"{model} says {i}"
                made.keep(KeptAnswer(f"q{i}", model, "answered", answer=text, cost_nusd=1000))
    return folder


# which queries are shown


def test_a_query_is_in_the_sample_as_often_as_its_chance_says() -> None:
    # of 4,000 keys of weight 0.5 a share of 1 - exp(-0.5 * 0.8) = 0.33 lies below 0.8
    keys = [key_of(f"query {i}", 0.5) for i in range(4000)]
    assert np.mean(np.array(keys) < 0.8) == pytest.approx(chance(0.5, 0.8), abs=0.02)
    assert chance(0.5, 0.8) == pytest.approx(0.3297, abs=1e-4)


def test_queries_on_which_graders_differ_come_first_mostly(tmp_path: Path) -> None:
    folder = collection(tmp_path / "c", n=60)
    with Collection.open(folder, writes=True) as made:
        sure = [KeptGrade("j", f"q{i}", "small", 1.0) for i in range(30)]
        unsure = [KeptGrade("j", f"q{i}", "small", 0.5) for i in range(30, 60)]
        made.keep_grades(sure + unsure)
        choice = choose(made)
        first = choice.order[:20]
        assert sum(int(name[1:]) >= 30 for name in first) >= 15
        # grades that come later change nothing: the chances must be those of the order shown
        made.keep_grades([KeptGrade("k", f"q{i}", "small", 0.0) for i in range(60)])
        assert choose(made).order == choice.order
    chances = choice.chances(frozenset(first))
    assert set(chances) == set(first)
    assert all(0 < value < 1 for value in chances.values())
    assert set(choice.chances(frozenset(first[:5] + first[6:]))) == set(first[:5])


def test_equal_answers_are_one_and_the_models_are_not_told(tmp_path: Path) -> None:
    folder = collection(tmp_path / "c", n=1, models=("a", "b", "c"))
    with Collection.open(folder, writes=True) as made:
        for model in ("a", "b"):
            made.keep(KeptAnswer("q0", model, "answered", answer="the same", cost_nusd=1))
        page = Page(made, "me")
        shown = page.next()["query"]
        assert sorted(one["text"] for one in shown["answers"]) == ["c says 0", "the same"]
        place = [one["text"] for one in shown["answers"]].index("the same")
        page.label("q0", place, 0.5)
        assert merged(made.labels()) == {("q0", "a"): 0.5, ("q0", "b"): 0.5}


# what labels correct


def simulated(seed: int, n: int = 400, labelled: int = 60) -> dict[str, Any]:
    """Two models, a judge who is biased for one of them, and a sample by unequal chances."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 2)) < [0.5, 0.8]
    judge = np.clip(0.5 * truth + rng.normal(0.2, 0.15, (n, 2)) + [0.25, 0.0], 0, 1)
    weights = rng.uniform(0.1, 1, n)
    keys = rng.exponential(1 / weights)
    order = np.argsort(keys)
    limit = keys[order[labelled]]
    sample = order[:labelled]
    names = ("a", "b")
    return {
        "truth": truth,
        "scores": {
            (str(i), name): (float(judge[i, k]), "judge")
            for i in range(n)
            for k, name in enumerate(names)
        },
        "labels": {
            (str(i), name): float(truth[i, k]) for i in sample for k, name in enumerate(names)
        },
        "chances": {str(i): chance(float(weights[i]), float(limit)) for i in sample},
    }


def test_intervals_hold_what_they_promise_on_hidden_labels() -> None:
    within, widths, raw_off, off = [], [], [], []
    for seed in range(200):
        made = simulated(seed)
        found = corrected(made["scores"], made["labels"], made["chances"])
        for name, mean in (("a", 0.5), ("b", 0.8)):
            interval = found.means[name]
            within.append(interval.low <= mean <= interval.high)
            widths.append(interval.high - interval.low)
        judged = np.mean([made["scores"][str(i), "a"][0] for i in range(400)])
        raw_off.append(abs(judged - 0.5))
        off.append(abs(found.means["a"].mean - 0.5))
    assert np.mean(within) > 0.91  # of 400 intervals of 95 %
    # labels alone, 60 of them, would give some 2 * 1.96 * sqrt(0.25 / 60) = 0.25
    assert np.mean(widths) < 0.21
    assert np.mean(off) < 0.4 * np.mean(raw_off)


def test_corrected_scores_are_nearer_the_truth_and_people_have_the_last_word() -> None:
    made = simulated(3)
    found = corrected(made["scores"], made["labels"], made["chances"])
    hidden = [key for key in made["scores"] if key not in made["labels"]]
    truth = np.array([made["truth"][int(i), "ab".index(name)] for i, name in hidden])
    before = np.array([made["scores"][key][0] for key in hidden])
    after = np.array([found.scores[key][0] for key in hidden])
    assert ((after - truth) ** 2).mean() < 0.85 * ((before - truth) ** 2).mean()
    assert {found.scores[key][1] for key in hidden} == {"judge+labels"}
    assert all(found.scores[key] == (label, "person") for key, label in made["labels"].items())
    assert found.correlation is not None
    assert found.correlation.low < found.correlation.mean < found.correlation.high


def test_too_few_labels_correct_nothing() -> None:
    made = simulated(1, labelled=9)
    with pytest.raises(DataError, match="9 labelled queries have scores to correct, at least 10"):
        corrected(made["scores"], made["labels"], made["chances"])


def test_score_uses_the_labels(tmp_path: Path) -> None:
    folder = collection(tmp_path / "c", n=30)
    with Collection.open(folder, writes=True) as made:
        page = Page(made, "me")
        for _ in range(12):
            shown = page.next()["query"]
            for place, answer in enumerate(shown["answers"]):
                page.label(shown["id"], place, float("large" in answer["text"]))
    scored = score(folder, ["regex:pattern=small"], labels=True)
    assert scored.corrected is not None
    assert (scored.corrected.n_queries, scored.by["person"]) == (12, 24)
    # the grader is always wrong; the line through the labels turns it round
    assert scored.table.means()[0] == pytest.approx([1.0, 0.0])


# people


def test_agreement_by_hand() -> None:
    labels = [("ann", str(i), "m", s) for i, s in enumerate([1.0, 1.0, 0.0, 0.0])]
    labels += [("bob", str(i), "m", s) for i, s in enumerate([1.0, 0.5, 0.0, 0.0])]
    (found,) = agreements(labels)
    # equal on 3 of 4; by chance 1: 2/4 * 1/4, 0: 2/4 * 2/4 -> 0.375; (0.75 - 0.375) / 0.625
    assert (found.n, found.equal, found.difference) == (4, 0.75, 0.125)
    assert found.kappa == pytest.approx(0.6)
    assert merged(labels)["1", "m"] == 0.75


def test_labels_of_another_copy_are_taken(tmp_path: Path) -> None:
    folder = collection(tmp_path / "mine")
    copy = shutil.copytree(folder, tmp_path / "copy")
    with Collection.open(copy, writes=True) as other:
        other.label("bob", "q0", "small", 1.0)
    with Collection.open(folder, writes=True) as mine:
        mine.label("ann", "q0", "small", 0.0)
        assert take_labels(mine, copy) == 1
        assert take_labels(mine, copy) == 0
        assert [label[0] for label in mine.labels()] == ["ann", "bob"]


# the page


@contextmanager
def served(folder: Path, person: str = "me") -> Iterator[str]:
    """The page in a thread; its address."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []
    stop = asyncio.Event()

    def told(url: str) -> None:
        address.append(url)
        ready.set()

    async def run() -> None:
        with Collection.open(folder, writes=True) as made:
            await serve_page(Page(made, person), port=0, told=told, until=stop)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def asked(address: str, path: str, headers: dict[str, str]) -> int:
    async def ask() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(address.partition("#")[0] + path, headers=headers) as answer,
        ):
            return answer.status

    return asyncio.run(ask())


def test_data_need_the_token_and_this_machines_name(tmp_path: Path) -> None:
    with served(collection(tmp_path / "c")) as address:
        token = {"Authorization": f"Bearer {address.partition('#')[2]}"}
        assert address.startswith("http://127.0.0.1:")
        assert asked(address, "api/next", token) == 200
        assert asked(address, "api/next", {}) == 401
        assert asked(address, "api/next", {"Authorization": "Bearer x"}) == 401
        assert asked(address, "", {"Host": "evil.example:80"}) == 403
        assert asked(address, "api/next", {**token, "Host": "evil.example:80"}) == 403


def opened(
    browser: "Browser", address: str, *, width: int = 1200, scheme: Any = "light"
) -> "BrowserPage":
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    base = address.partition("#")[0]
    page.on("request", lambda one: None if one.url.startswith(base) else pytest.fail(one.url))
    page.goto(address)
    page.wait_for_selector("#answers li")
    return page


def labels(folder: Path) -> list[tuple[str, str, str, float]]:
    with Collection.open(folder) as made:
        return made.labels()


def test_keys_faster_than_the_page_score_what_was_on_the_screen(
    browser: "Browser", tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    folder = collection(tmp_path / "c")
    with served(folder, "ann") as address:
        page = opened(browser, address)
        expect(page.locator("#progress")).to_have_text("0 of 3 queries, as ann")
        first = page.locator("#answers li.here pre").inner_text()
        page.evaluate(
            "for (const key of '321') document.dispatchEvent(new KeyboardEvent('keydown', {key}))"
        )
        expect(page.locator("#progress")).to_have_text("1 of 3 queries, as ann")
        page.keyboard.press("j")
        expect(page.locator("#answers li").nth(1)).to_have_class("here")  # all keys are over
    given = {model: score for _, _, model, score in labels(folder)}
    assert sorted(given.values()) == [0.5, 1.0]  # the third key was for no answer that was shown
    assert given[first.split()[0]] == 1.0


def test_keys_score_and_every_one_is_stored(browser: "Browser", tmp_path: Path) -> None:
    from playwright.sync_api import expect

    folder = collection(tmp_path / "c")
    with served(folder, "ann") as address:
        page = opened(browser, address)
        expect(page.locator("#progress")).to_have_text("0 of 3 queries, as ann")
        text = page.locator("#answers li.here pre").inner_text()
        page.keyboard.press("3")
        expect(page.locator("#answers li").nth(1)).to_have_class("here")
        ((person, _, model, given),) = labels(folder)
        assert (person, given) == ("ann", 1.0)
        assert text.startswith(model)
        page.keyboard.press("2")
        expect(page.locator("#progress")).to_have_text("1 of 3 queries, as ann")
        page.keyboard.press("b")
        expect(page.locator("#progress")).to_have_text("2 of 3 queries, as ann")
        assert sorted(label[3] for label in labels(folder)) == [0.0, 0.5, 1.0, 1.0]
        page.keyboard.press("u")
        expect(page.locator("#progress")).to_have_text("1 of 3 queries, as ann")
        page.keyboard.press("1")
        page.keyboard.press("1")
        expect(page.locator("#progress")).to_have_text("2 of 3 queries, as ann")
        page.keyboard.press("s")
        expect(page.locator("#end")).to_contain_text("All queries are scored")
    assert sorted(label[3] for label in labels(folder)) == [0.0, 0.0, 0.5, 1.0]


def test_a_right_answer_is_hidden_until_a_key_shows_it(browser: "Browser", tmp_path: Path) -> None:
    from playwright.sync_api import expect

    folder = collection(tmp_path / "c")
    with Collection.open(folder, writes=True) as made:
        known = [replace(one, reference=f"right {one.query_id}") for one in made.queries()]
        made.add_queries(known[:2])
    with served(folder) as address:
        page = opened(browser, address)
        shown = page.locator("#reference")
        for done in range(3):
            expect(page.locator("#progress")).to_have_text(f"{done} of 3 queries, as me")
            number = page.locator("#answers li pre").first.inner_text()[-1]
            is_known = number != "2"
            expect(page.locator("#known")).to_be_visible(visible=is_known)
            expect(shown).to_be_hidden()
            page.keyboard.press("r")
            expect(shown).to_be_visible(visible=is_known)
            if is_known:
                expect(shown).to_have_text(f"right q{number}")
                page.get_by_role("button", name="right answer").click()
                expect(shown).to_be_hidden()
                page.keyboard.press("r")
            page.keyboard.press("b")


def test_it_goes_on_where_it_was_and_works_on_a_phone_in_the_dark(
    browser: "Browser", tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    folder = collection(tmp_path / "c")
    with served(folder) as address:
        page = opened(browser, address)
        page.keyboard.press("1")
        expect(page.locator("#answers li").nth(1)).to_have_class("here")
    with served(folder) as address:
        page = opened(browser, address, width=360, scheme="dark")
        expect(page.locator("#answers li").nth(0).get_by_role("button", pressed=True)).to_have_text(
            "wrong 1"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        box = page.get_by_role("button", name="half").nth(1).bounding_box()
        assert box is not None
        assert box["height"] >= 44
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(15, 20, 26)"
        page.get_by_role("button", name="half").nth(1).click()
        expect(page.locator("#progress")).to_have_text("1 of 3 queries, as me")


def test_the_command_says_who_labelled(tmp_path: Path) -> None:
    folder = collection(tmp_path / "c")
    with Collection.open(folder, writes=True) as made:
        made.label("ann", "q0", "small", 1.0)
    other = collection(tmp_path / "other")
    command = [sys.executable, "-m", "equirouter", "review", "--count"]
    done = subprocess.run([*command, str(other)], capture_output=True, text=True, check=True)
    assert done.stdout == "nobody has scored an answer yet\n"
    command += [str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "ann: 1 label\n"
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"labels": {"ann": 1}, "agreement": []}
