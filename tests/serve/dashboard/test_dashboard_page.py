"""The dashboard in Chromium, as people use it: by pointer, keyboard and phone."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from equirouter.serve.http.endpoints import route_document
from equirouter.serve.money.store.reports import Logged
from equirouter.serve.records import Attempt, Candidate, Removal
from tests.serve.dashboard_made import (
    CANARY,
    COLLAPSED,
    DRIFT,
    LEARNED,
    VERSIONS,
    Made,
    served,
)
from tests.serve.records_made import made_plan, made_record
from tests.serve.traffic_made import made_traffic

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

TIMEOUT_MS = 20_000
TRAFFIC = made_traffic(time.time(), hours=20, n=120)
BUDGET, TOO_EXPENSIVE = next(
    (one.record.request_id, removal.text)
    for one in TRAFFIC
    if one.record.plan is not None
    for removal in one.record.plan.removed.values()
    if removal.kind == "budget"
)


@pytest.fixture
def made() -> Made:
    return Made(TRAFFIC)


@pytest.fixture
def url(made: Made) -> Iterator[str]:
    with served(made) as address:
        yield address


def open_page(
    browser: "Browser", address: str, *, width: int = 1300, scheme: str = "light"
) -> "Page":
    """The page, of which every error and every request to elsewhere fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    page.on("request", lambda one: None if one.url.startswith(address) else pytest.fail(one.url))
    page.goto(f"{address}/dashboard")
    return page


def shown(page: "Page") -> "Page":
    page.wait_for_selector(".decisions tbody tr")
    page.wait_for_selector(".figure")
    return page


def figure(page: "Page", name: str) -> str:
    return page.locator(".figure", has_text=name).locator(".value").inner_text()


def test_figures_and_charts_are_those_of_the_log(browser: "Browser", url: str, made: Made) -> None:
    page = shown(open_page(browser, url))
    assert figure(page, "Requests") == "120"
    cost = sum(one.record.cost_nusd or 0 for one in made.entries) / 1e9
    assert figure(page, "Spent") == f"${cost:.3f}"
    page.locator("#share summary").click()
    calls = page.locator("#share table tbody td").all_inner_texts()
    answered = sum(one.record.served_model is not None for one in made.entries)
    assert sum(map(int, calls)) == answered
    assert page.locator(".decisions tbody tr").count() == 50
    page.get_by_role("button", name="Show older ones").click()
    expect(page.locator(".decisions tbody tr")).to_have_count(100, timeout=TIMEOUT_MS)


def test_rows_get_their_models_colours_whichever_comes_first(browser: "Browser", url: str) -> None:
    page = browser.new_page(viewport={"width": 1300, "height": 860})
    held: list[Route] = []
    page.route("**/admin/summary*", lambda route: held.append(route))
    page.goto(f"{url}/dashboard")
    page.wait_for_selector(".decisions tbody tr")
    swatches = page.locator(".decisions tbody tr .swatch rect[fill='#909090']")
    assert swatches.count() > 0  # nobody has said which colours there are
    held[0].continue_()
    page.wait_for_selector(".figure")
    expect(swatches).to_have_count(0, timeout=TIMEOUT_MS)


def test_a_mean_spend_stands_beside_what_it_is_aimed_at(
    browser: "Browser", url: str, made: Made
) -> None:
    assert shown(open_page(browser, url)).locator(".figure", has_text="Mean spend").count() == 0
    made.pacing = {"spend_usd": 0.002, "mean_usd": 0.00213, "requests": 96, "lambda": 40.0}
    page = shown(open_page(browser, url))
    assert figure(page, "Mean spend") == "$0.0021"
    below = page.locator(".figure", has_text="Mean spend").locator(".muted").inner_text()
    assert below == "aimed at $0.0020, 96 requests"


def test_a_decision_opens_by_keyboard_and_says_why(browser: "Browser", url: str) -> None:
    page = shown(open_page(browser, url))
    button = page.locator("button.open").first
    assert button.get_attribute("aria-expanded") == "false"
    button.focus()
    page.keyboard.press("Enter")
    why = page.get_by_role("article", name="Why this model")
    why.wait_for()
    assert button.get_attribute("aria-expanded") == "true"
    assert why.get_by_role("table", name="Models that were weighed").is_visible()
    assert "answered" in why.inner_text()
    assert "log_texts" in why.inner_text()
    request_id = why.locator("dd code").first.inner_text()
    assert page.url.endswith(f"/{request_id}")  # can be sent to somebody
    page.keyboard.press("Enter")
    why.wait_for(state="detached")
    page.get_by_label("Request id").fill(request_id)
    page.keyboard.press("Enter")
    why.wait_for()


LOOP = ("versions", "canary", "learning", "drift")


def test_what_is_off_is_not_shown(browser: "Browser", url: str) -> None:
    page = shown(open_page(browser, url))
    for panel in LOOP:
        assert not page.locator(f"#{panel}").is_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 1300), ("light", 390)])
def test_the_loop_shows_versions_a_canary_what_was_learned_and_drift(
    browser: "Browser", scheme: str, width: int
) -> None:
    made = Made(TRAFFIC, versions=VERSIONS, canary=CANARY, learned=LEARNED, drift=DRIFT)
    with served(made) as url:
        page = shown(open_page(browser, url, scheme=scheme, width=width))
        text = {panel: page.locator(f"#{panel}").inner_text() for panel in LOOP}
        banner = page.locator("#alarms").inner_text()
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert "0001 current" in text["versions"]
    assert "0003 canary" in text["versions"]
    assert "the interval begins at -0.041" in text["versions"]
    assert "Version 0003 is running on 10 % of the conversations beside 0001." in text["canary"]
    assert "0.94 against 1.02" in text["canary"]
    assert "490 conversations against 4,410" in text["canary"]
    assert "– against 0.73" in text["canary"]
    assert "Explored: 2.0 % of requests, $0.398 of $5.00 today" in text["learning"]
    assert "12 queries scored by graders, 9 of them for every model" in text["learning"]
    assert "21 0.81 0.86" in " ".join(text["learning"].split())
    assert "8 alarms watched, 2 on." in text["drift"]
    failing = "calls without an answer: 25 % over the last 55, 2.0 % expected"
    assert f"errors, gpt-5 alarm {failing}" in " ".join(text["drift"].split())
    assert f"Drift: errors, gpt-5, {failing}." in banner
    assert "far queries" in text["drift"]
    assert "slow" not in text["drift"]  # it is not near an alarm
    assert "Drift: long answers, gpt-5, as long as one in ten was: 38 % over the last" in banner
    assert wide <= 0


def test_a_canary_that_was_rolled_back_says_why(browser: "Browser", url: str, made: Made) -> None:
    why = "cost got worse: 1.9 of the usual cost against 1.01"
    made.canary = CANARY | {"state": "rolled back", "why": why}
    page = shown(open_page(browser, url))
    assert f"Version 0003 is rolled back: {why}." in page.locator("#canary").inner_text()
    assert f"Version 0003 was rolled back: {why}." in page.locator("#alarms").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cascade_shows_who_said_what_and_what_cascades_saved(
    browser: "Browser", url: str, scheme: str, made: Made
) -> None:
    page = shown(open_page(browser, url, scheme=scheme))
    panel = page.locator("section", has=page.locator("#cascades"))
    cascades = [one for one in TRAFFIC if one.record.cascade is not None]
    assert f"in {len(cascades)} requests" in panel.inner_text()
    assert "before two are asked" in page.locator("#collapse").inner_text()
    escalated = next(one for one in cascades if one.record.served_model == "gpt-5")
    page.get_by_label("Request id").fill(escalated.record.request_id)
    page.keyboard.press("Enter")
    why = page.get_by_role("article", name="Why this model")
    why.wait_for()
    text = why.inner_text()
    for says in ("are asked at once", "so gpt-5 was asked as well", "Final answer 41", "one more"):
        assert says in text
    made.reports.entries = [one for one in TRAFFIC if one.record.cascade is None]
    page = shown(open_page(browser, url, scheme=scheme))
    expect(page.locator("#cascades")).to_be_hidden()


def test_a_chart_is_read_by_the_arrow_keys(browser: "Browser", url: str) -> None:
    page = shown(open_page(browser, url))
    page.locator("#spend svg[role=img]").focus()
    page.keyboard.press("End")
    last = page.locator("#spend .says").inner_text()
    assert re.search(r"\d\d:\d\d–\d\d:\d\d spent \$\S+, always-strongest \$\S+, \d+ requests", last)
    page.keyboard.press("ArrowLeft")
    assert page.locator("#spend .says").inner_text() != last


def test_new_requests_appear_without_a_reload(browser: "Browser", url: str, made: Made) -> None:
    page = shown(open_page(browser, url))
    page.wait_for_selector("#live.live")
    record = replace(made_record("fresh"), started_at=time.time(), requested_model="the new one")
    made.reports.entries.append(Logged(1000, record))
    row = page.locator(".decisions tbody tr").first
    row.get_by_text("the new one").wait_for()
    page.locator(".figure .value").get_by_text("121").wait_for()
    page.get_by_role("button", name="Live").click()
    assert page.get_by_role("button", name="Paused").get_attribute("aria-pressed") == "false"
    made.reports.entries.append(Logged(1001, replace(record, request_id="later")))
    page.get_by_role("button", name="Paused").click()  # it was not shown, and is when this goes on
    expect(page.locator(".decisions tbody tr")).to_have_count(52, timeout=TIMEOUT_MS)


def test_the_alarm_is_told(browser: "Browser", url: str, made: Made) -> None:
    made.collapse = COLLAPSED
    made.breakers = {**made.breakers, "together": "open"}
    page = shown(open_page(browser, url))
    said = page.get_by_role("alert").inner_text()
    assert "Routing has collapsed for auto" in said
    assert "68 % of the last 500 requests, 18 % was expected" in said
    assert "The circuit of together is open" in said
    assert page.get_by_text("collapsed", exact=True).count() == 1
    assert page.get_by_text("as expected", exact=True).count() == 1
    assert page.get_by_text("too few to tell").count() == 1
    assert page.get_by_text("nothing to compare with").count() == 1


def test_what_clients_providers_and_settings_say_stays_text(
    browser: "Browser", url: str, made: Made
) -> None:
    evil = "<img src=x onerror='window.harmed=1'><script>window.harmed=1</script>\u202e\x00"
    plan = replace(
        made_plan(),
        candidates=(Candidate(evil, 900),),
        removed={evil: Removal("region", evil)},
        scores={evil: 0.7},
        predicted_costs_usd={evil: 2e-7},
        class_=evil,
        session=evil,
        pipeline=evil,
    )
    record = replace(
        made_record("evil"),
        started_at=time.time(),
        requested_model=evil,
        key_id=evil,
        session=evil,
        plan=plan,
        attempts=[Attempt(evil, evil, "status", 503, 40.0, evil)],
        served_model=evil,
        service_tier=evil,
        error=evil,
        prompt=evil,
        answer=evil,
    )
    made.reports.entries.append(Logged(1000, record, 0.5, evil))
    made.breakers = {evil: "open"}
    made.collapse = {evil: COLLAPSED["auto"]}
    page = shown(open_page(browser, url))
    page.locator("button.open").first.click()
    why = page.get_by_role("article", name="Why this model")
    why.get_by_text("Prompt").click()
    assert why.locator("pre").first.inner_text().replace("\x00", "") == evil.replace("\x00", "")
    assert "<img" in page.locator(".decisions .asked").first.inner_text()
    assert page.evaluate("window.harmed") is None
    assert page.locator("main img, main script").count() == 0
    # every name is there to be read: in the table, the charts, the alarm and the breakers
    assert page.locator("main").inner_text().count("<script>") >= 8


def test_the_admin_key_is_asked_for_and_kept_in_the_tab(
    browser: "Browser", url: str, made: Made
) -> None:
    made.key = "eq-admin"
    page = open_page(browser, url)
    dialog = page.get_by_role("dialog", name="Admin key")
    dialog.wait_for()
    dialog.get_by_label("Key").fill("eq-wrong")
    page.keyboard.press("Enter")
    dialog.get_by_text("That is not an admin key").wait_for()
    dialog.get_by_label("Key").fill("eq-admin")
    dialog.get_by_role("button", name="Show the dashboard").click()
    shown(page)
    assert page.evaluate("localStorage.length") == 0
    assert page.context.cookies() == []
    assert "eq-admin" not in page.content()
    page.reload()
    shown(page)


def test_a_gateway_that_is_gone_is_said_and_found_again(browser: "Browser", made: Made) -> None:
    with served(made) as address:
        page = shown(open_page(browser, address))
        page.wait_for_selector("#live.live")
    page.wait_for_selector("#live.lost")
    assert "Reconnecting" in page.locator("#live").inner_text()


@pytest.mark.parametrize("width", [390, 820, 1300])
def test_nothing_is_cut_off_or_squeezed(browser: "Browser", url: str, width: int) -> None:
    page = shown(open_page(browser, url, width=width, scheme="dark"))
    page.locator("button.open").first.click()
    page.get_by_label("Request id").fill(BUDGET)
    page.keyboard.press("Enter")
    page.get_by_text(TOO_EXPENSIVE).first.wait_for()
    page.locator("tr.detail .stack").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in page.locator(".stack").all():
        assert part.evaluate("one => one.scrollWidth <= one.parentElement.clientWidth")
    names = page.locator(".stack .name").all()
    assert len(names) == 10
    for name in names:
        box = name.bounding_box()
        assert box is not None
        assert box["height"] < 50  # two lines


CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = parse(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const pale = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    if (node.closest(".unseen, legend, dialog, noscript, .skip")) continue;
    const style = getComputedStyle(node);
    const ink = parse(node instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) pale.push(`${node.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return pale;
}"""
NAMELESS = """() => [...document.querySelectorAll(
  'button, input, summary, a[href], [tabindex="0"], [role="img"]')]
  .filter((one) => one.checkVisibility() && !(one.textContent.trim() || one.ariaLabel
    || one.labels?.length || one.getAttribute("aria-labelledby"))).map((one) => one.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_controls_have_names(
    browser: "Browser", url: str, made: Made, scheme: str
) -> None:
    made.collapse = COLLAPSED
    page = shown(open_page(browser, url, scheme=scheme))
    page.locator("button.open").first.click()
    page.get_by_role("article", name="Why this model").wait_for()
    assert page.evaluate(CONTRAST) == []  # WCAG 2.2 AA: 4.5 to 1
    assert page.evaluate(NAMELESS) == []


def test_an_empty_log_says_how_to_begin(browser: "Browser") -> None:
    with served(Made()) as address:
        page = open_page(browser, address)
        page.get_by_text("No requests yet").wait_for()
        assert f"{address}/v1" in page.locator("#decisions").inner_text()
        assert figure(page, "Requests") == "0"


def test_a_query_is_tried_without_a_call(browser: "Browser", url: str) -> None:
    plan = made_plan(removed={"small": Removal("context", "too long for small")})
    asked: list[object] = []

    def decide(route: "Route") -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(json=route_document(plan))

    page = shown(open_page(browser, url))
    page.route("**/v1/route", decide)
    page.get_by_label("Query", exact=True).fill("What is 2 + 2?")
    page.get_by_label("Move along").select_option("quality")
    page.get_by_label("Value").fill("0.98")
    page.get_by_role("button", name="Decide").click()
    tried = page.locator("#tried")
    first = plan.candidates[0]
    expect(tried.locator("p").first).to_contain_text(f"{first.model} would be asked")
    assert asked == [
        {
            "model": "equirouter/auto",
            "messages": [{"role": "user", "content": "What is 2 + 2?"}],
            "equirouter": {"quality": 0.98},
        }
    ]
    table = tried.get_by_role("table", name="Models that were weighed")
    assert "too long for small" in table.inner_text()
    for candidate in plan.candidates:
        assert candidate.model in table.inner_text()


def test_a_refused_trial_says_why(browser: "Browser", url: str) -> None:
    page = shown(open_page(browser, url))
    error = {"error": {"message": "quality is 7: at most 1"}}
    page.route("**/v1/route", lambda route: route.fulfill(status=400, json=error))
    page.get_by_label("Query", exact=True).fill("Hi")
    page.get_by_role("button", name="Decide").click()
    expect(page.locator("#tried")).to_have_text("quality is 7: at most 1")
