"""The documents behind the dashboard, and the headers of its page."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from importlib.resources import files
from typing import Any, TypeAlias

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from equirouter.report.canvas import model_colours
from equirouter.serve.dashboard.documents import full, why
from equirouter.serve.dashboard.handlers import CONTENT_SECURITY_POLICY
from equirouter.serve.dashboard.view import OTHER, colours_of
from equirouter.serve.money.store.reports import Logged
from equirouter.serve.records import Attempt, Cascaded, Pair, Plan, Removal, RequestRecord
from tests.serve.dashboard_made import Made
from tests.serve.records_made import made_plan, made_record
from tests.serve.traffic_made import made_traffic

NOW = 1_790_000_000.0
Client: TypeAlias = TestClient[web.Request, web.Application]
Asking: TypeAlias = Callable[[Client], Awaitable[None]]


def with_client(made: Made, asking: Asking) -> None:
    async def scenario() -> None:
        async with TestClient(TestServer(made.app())) as client:
            await asking(client)

    asyncio.run(scenario())


async def document(answer: ClientResponse) -> dict[str, object]:
    assert answer.status == 200, await answer.text()
    found = await answer.json()
    assert isinstance(found, dict)
    return found


def test_the_summary_adds_up() -> None:
    entries = made_traffic(NOW, hours=20, n=300)

    async def asking(client: Client) -> None:
        found = await document(await client.get("/admin/summary?period=24h"))
        totals, slices = found["totals"], found["slices"]
        assert isinstance(totals, dict)
        assert isinstance(slices, list)
        assert len(slices) == 48
        assert totals["requests"] == sum(one["requests"] for one in slices) == 300
        cost = sum(one.record.cost_nusd or 0 for one in entries) / 1e9
        assert totals["cost_usd"] == pytest.approx(cost)
        assert totals["saved_usd"] == pytest.approx(totals["strongest_usd"] - cost)
        answered = sum(sum(one["calls"].values()) for one in slices)
        assert answered == sum(one.record.served_model is not None for one in entries)
        upstreams = found["upstreams"]
        assert isinstance(upstreams, list)
        assert [one["name"] for one in upstreams] == ["anthropic", "ollama", "openai", "together"]

    with_client(Made(entries, clock=lambda: NOW), asking)


def test_an_alarm_of_another_worker_is_shown() -> None:
    async def asking(client: Client) -> None:
        found = (await document(await client.get("/admin/summary")))["collapse"]
        assert isinstance(found, list)
        assert {one["class"]: (one["requests"], one["alarm"]) for one in found} == {
            "auto": (500, True),
            "budget up to 0.002": (241, False),
            "lambda up to 50": (120, False),
            "lambda up to 90": (0, True),
            "quality 0.98": (31, False),
        }

    with_client(Made(alarms=frozenset({"auto", "lambda up to 90"})), asking)


def test_a_period_that_is_not_known_is_refused() -> None:
    async def asking(client: Client) -> None:
        answer = await client.get("/admin/summary?period=2h")
        assert answer.status == 400
        assert "1h, 24h, 7d, 30d" in await answer.text()

    with_client(Made(), asking)


def test_the_table_is_read_page_by_page() -> None:
    entries = made_traffic(NOW, n=25)

    async def asking(client: Client) -> None:
        seen, before = [], ""
        while True:
            found = await document(await client.get(f"/admin/decisions?limit=10{before}"))
            page = found["decisions"]
            assert isinstance(page, list)
            seen += [one["request_id"] for one in page]
            if found["before"] is None:
                break
            before = f"&before={found['before']}"
        assert seen == [one.record.request_id for one in reversed(entries)]

    with_client(Made(entries), asking)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=-1", "limit=x", "before=1e3", "before=" + "9" * 30]
)
def test_a_wrong_page_is_refused(query: str) -> None:
    async def asking(client: Client) -> None:
        answer = await client.get(f"/admin/decisions?{query}")
        assert answer.status == 400
        assert query.partition("=")[0] in (await answer.json())["error"]["param"]

    with_client(Made(), asking)


def test_one_decision_has_every_model_that_was_weighed() -> None:
    record = made_record()
    record.plan = made_plan(removed={"large": Removal("abilities", "vision")})
    record.attempts = [Attempt("small", "west", "timeout", None, 1.0, cost_nusd=300_000)]
    record.charged_by, record.over_budget_nusd = "bound", 200_000

    async def asking(client: Client) -> None:
        found: Any = await document(await client.get("/admin/decisions/req-1"))
        models = found["models"]
        assert isinstance(models, list)
        assert [(one["model"], one["rank"], one["removed"]) for one in models] == [
            ("small", 1, None),
            ("medium", 2, None),
            ("large", None, "vision"),
        ]
        assert models[0]["served"] is True
        assert models[0]["upper_usd"] == pytest.approx(0.0003)
        assert models[2]["score"] == 0.83
        assert found["prompt"] == "a private prompt"  # as the store has it
        assert [one["cost_usd"] for one in found["attempt_list"]] == [0.0003]
        assert "cost_nusd" not in found["attempt_list"][0]
        assert (found["charged_by"], found["over_budget_usd"]) == ("bound", 0.0002)
        missing = await client.get("/admin/decisions/req-2")
        assert missing.status == 404

    with_client(Made([Logged(1, record)]), asking)


def test_new_entries_are_sent_as_events_until_the_gateway_stops() -> None:
    made = Made()

    async def asking(client: Client) -> None:
        answer = await client.get("/admin/events")
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b"event: open\ndata: {}\n\n"
        made.reports.entries.append(Logged(1, made_record("<b>new</b>")))
        made.hub.publish(made_record())
        event = await answer.content.readuntil(b"\n\n")
        assert event.startswith(b'event: decisions\ndata: [{"number":1,"request_id":"<b>new</b>"')
        await made.hub.close()
        assert await answer.content.read() == b""

    with_client(made, asking)


def test_a_page_that_was_closed_is_forgotten() -> None:
    made = Made()

    async def asking(client: Client) -> None:
        answer = await client.get("/admin/events")
        await answer.content.readuntil(b"\n\n")
        assert len(made.hub._listeners) == 1
        answer.close()
        number = 0
        while made.hub._listeners:  # noticed when the next event cannot be sent
            number += 1
            made.reports.entries.append(Logged(number, made_record()))
            made.hub.publish(made_record())
            await asyncio.sleep(0.01)

    with_client(made, asking)


def test_the_page_may_load_only_what_the_gateway_serves() -> None:
    async def asking(client: Client) -> None:
        page = await client.get("/dashboard")
        assert page.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        text = await page.text()
        linked = re.findall(r'(?:src|href)="(/[^"]+)"', text)
        assert "/dashboard/main.js" in linked
        for link in linked:
            file = await client.get(link)
            assert file.status == 200, link
            assert file.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        again = await client.get("/dashboard", headers={"If-None-Match": page.headers["ETag"]})
        assert again.status == 304
        assert (await client.get("/dashboard/../view.py")).status == 404

    with_client(Made(key="k"), asking)


def test_the_page_makes_no_elements_of_text_and_asks_nobody_else() -> None:
    folder = files("equirouter.serve.dashboard") / "static"
    for file in folder.iterdir():
        text = file.read_text("utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, file.name
        assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}


def test_colours_are_those_of_the_reports() -> None:
    for n_models in range(1, 9):
        names = [f"model {number}" for number in range(n_models)]
        assert list(colours_of(names).values()) == model_colours(n_models)
    assert OTHER not in model_colours(5)


def decided(**changes: object) -> list[str]:
    record = made_record()
    record.plan = replace(made_plan(), **changes)  # type: ignore[arg-type]
    record.attempts = [Attempt("small", "west", "ok", 200, 1.0)]
    return why(record)


def test_why_says_what_decided() -> None:
    assert decided() == [
        "small has the highest score of the models that fit a budget of 0.002 USD for the call."
    ]
    assert "the quality that the pipeline was trained for" in decided(class_="auto")[0]
    assert "which keeps quality 0.9 of the strongest" in decided(class_="quality 0.9")[0]
    assert "no router was asked" in decided(decided_by="named")[0]
    assert "stays with small" in decided(decided_by="session")[0]
    assert "on_router_failure" in decided(decided_by="router_failure")[0]
    assert "No model fits a budget of 1e-05" in decided(value=1e-5, fits=False)[0]
    assert "One USD must buy 30" in decided(setting="lambda", value=30.0)[0]


def test_why_says_what_happened() -> None:
    record = made_record()
    assert record.plan is not None
    record.plan = made_plan(chosen="medium")
    assert why(record)[1:] == [
        "medium answered with an error 503.",
        "small, a fallback within the budget, answered.",
    ]
    nobody = made_record(served=None)
    assert why(nobody)[-1] == "No model answered: the client got status 504."
    empty = Plan(
        candidates=(), decided_by="policy", removed={"small": Removal("abilities", "vision")}
    )
    nobody.plan = empty
    assert "No model may answer" in why(nobody)[0]
    assert "status 400" in why(RequestRecord("r", 0.0, "route", "x", status=400))[0]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (
            Cascaded(("small", "medium"), "agree", "accepted", 5.0, 0.94),
            "Both gave the same final answer; the answer of small was served, expected to be right "
            "with 0.94.",
        ),
        (
            Cascaded(("small", "medium"), "disagree", "escalated", 5.0),
            "Their final answers differ, so large was asked as well; the answer of small was "
            "served.",
        ),
        (
            Cascaded(("small", "medium"), "late", "kept", 5.0, blocked="large over budget"),
            "Not both replied in time, and one more was to be asked: large over budget. small was "
            "served.",
        ),
    ],
)
def test_a_cascade_says_who_was_asked_and_why_it_ended(how: Cascaded, says: str) -> None:
    pair = Pair(how.pair, 0.003, 0.25, False, "number@1")
    plan = replace(made_plan(), decided_by="cascade", pair=pair, setting="lambda", value=20.0)
    calls = [
        Attempt("small", "east", "ok", 200, 5.0, role="first", answer_id=1, answer="7"),
        Attempt("medium", "east", "ok", 200, 5.0, role="first", answer_id=2),
        Attempt("large", "east", "ok", 200, 5.0, role="escalation", answer_id=2),
    ]
    record = replace(made_record(), plan=plan, cascade=how, attempts=calls)
    assert why(record) == [
        "small and medium are asked at once, as the agreement rule says; 0.003 USD expected for "
        "all calls, a third in 25 % of cases.",
        says,
    ]
    document = full(Logged(1, record))
    assert document["cascade"] == asdict(how)
    assert document["expected_usd"] == 0.003
    attempts = document["attempt_list"]
    assert isinstance(attempts, list)
    assert [(one["role"], one["answer_id"], one["answer"]) for one in attempts] == [
        ("first", 1, "7"),
        ("first", 2, None),
        ("escalation", 2, None),
    ]
