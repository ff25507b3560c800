"""All parts together: keys, money, log, dashboard and metrics of a running gateway."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import ConfigError
from equirouter.serve.run.assembly import check_settings
from tests.serve import fake_upstream as fake
from tests.serve.assembled import Assembled, assembled
from tests.serve.gateways import PRICE
from tests.serve.pipelines import save_pipeline
from tests.serve.planners import settings_of

BODY = {"model": "a", "messages": [{"role": "user", "content": "Hi"}]}
COST_USD = 0.00004  # of every answer of the fake provider: see test_completions.py


async def _logged(here: Assembled, count: int, key: str | None) -> list[dict[str, Any]]:
    """The rows of the dashboard's table, when there are so many."""
    while True:
        _, found = await here.ask("GET", "/admin/decisions", key=key)
        rows: list[dict[str, Any]] = found["decisions"]
        if len(rows) >= count:
            return rows
        await asyncio.sleep(0.001)


def test_keys_are_made_needed_limited_and_revoked(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            assert (await here.chat())[0] == 200  # no keys yet, and this machine asks
            admin = await here.new_key(is_admin=True)
            limits = {"models": ["b"], "budget_usd": 1.0, "period": "day"}
            user = await here.new_key(by=admin, name="u", requests_per_minute=2, **limits)
            assert (await here.chat())[0] == 401
            assert (await here.chat(key="eq-wrong"))[0] == 401
            assert (await here.chat(key=user, model="a"))[0] == 403
            assert [(await here.chat(key=user, model="b"))[0] for _ in range(3)] == [200, 200, 429]
            assert (await here.ask("GET", "/admin/keys", key=user))[0] == 403
            status, found = await here.ask("GET", "/admin/keys", key=admin)
            shown = next(one for one in found["keys"] if one["name"] == "u")
            assert (status, shown["models"], shown["budget_usd"]) == (200, ["b"], 1.0)
            assert user not in str(found)
            assert (await here.ask("DELETE", f"/admin/keys/{shown['id']}", key=admin))[0] == 200
            assert (await here.ask("DELETE", "/admin/keys/nobody", key=admin))[0] == 404
            assert (await here.chat(key=user, model="b"))[0] == 401

    asyncio.run(run())


def test_the_first_key_closes_the_gateway_for_good_and_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            made = [
                (
                    await here.ask(
                        "POST", "/admin/keys", key=by, json={"name": "k", "is_admin": True}
                    )
                )
                for by in (None, None)
            ]
            assert made[0][1]["notice"].startswith("this is the first key: from now on all clients")
            assert made[1][0] == 401
            admin = made[0][1]["key"]
            second = (await here.ask("POST", "/admin/keys", key=admin, json={"name": "j"}))[1]
            assert "notice" not in second
            for id_ in (second["id"], made[0][1]["id"]):
                assert (await here.ask("DELETE", f"/admin/keys/{id_}", key=admin))[0] == 200
        async with assembled(tmp_path) as here:  # started again
            for key in (None, admin, second["key"]):
                assert (await here.chat(key=key))[0] == 401
                assert (await here.ask("GET", "/admin/keys", key=key))[0] == 401
            assert not here.upstream.seen

    asyncio.run(run())


@pytest.mark.parametrize("has_keys", [True, False])
def test_nothing_goes_on_into_a_store_that_is_lost(
    tmp_path: Path, has_keys: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            key = await here.new_key(is_admin=True) if has_keys else None
            assert (await here.chat(key=key))[0] == 200
            (tmp_path / "gateway.db").rename(tmp_path / "elsewhere")
            while (await here.chat(key=key))[0] == 200:
                assert not has_keys  # that there are none is believed for some seconds
                await asyncio.sleep(0.1)
            status, document = await here.chat(key=key)
            assert (status, document["error"]["code"]) == (503, "store_unavailable")
            assert (await here.ask("GET", "/readyz"))[0] == 503
            while "Calls are refused" not in caplog.text:
                await asyncio.sleep(0.01)
            assert not (tmp_path / "gateway.db").exists()
            (tmp_path / "elsewhere").rename(tmp_path / "gateway.db")
            assert (await here.chat(key=key))[0] == 200
            while (await here.ask("GET", "/readyz"))[0] == 503 or "are back" not in caplog.text:
                await asyncio.sleep(0.01)
            shown = await _logged(here, 2, key)
            assert {row["status"] for row in shown} == ({200, 503} if has_keys else {200})

    asyncio.run(run())


def test_a_store_of_this_machine_that_cannot_be_written_makes_it_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.serve.money.writer.BUSY_SECONDS", 0.01)

    async def run() -> None:
        async with assembled(tmp_path) as here:
            other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            try:
                assert (await here.chat())[0] == 200  # its entry of the log waits
                while (await here.ask("GET", "/readyz"))[0] == 200:
                    await asyncio.sleep(0.001)
            finally:
                other.close()
            while (await here.ask("GET", "/readyz"))[0] == 503:
                await asyncio.sleep(0.001)
            assert len(await _logged(here, 1, None)) == 1

    asyncio.run(run())


def test_a_store_with_keys_that_was_deleted_is_not_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            key = await here.new_key(is_admin=True)
            (tmp_path / "gateway.db").unlink()
            assert (await here.chat(key=key))[0] == 503
            (tmp_path / "gateway.db").touch()  # another file is as good as none
            assert (await here.chat(key=key))[0] == 503
            (tmp_path / "gateway.db").unlink()
        assert "what it had not yet is lost" in caplog.text
        with pytest.raises(ConfigError, match=r"is not there, and gateway\.db\.had-keys beside it"):
            async with assembled(tmp_path):
                pass
        settings = settings_of(None, store={"url": f"sqlite:///{tmp_path}/gateway.db"})
        with pytest.raises(ConfigError, match="put the store back"):
            await asyncio.to_thread(check_settings, settings)
        (tmp_path / "gateway.db.had-keys").unlink()  # said so
        async with assembled(tmp_path) as here:
            assert (await here.chat())[0] == 200

    asyncio.run(run())


def test_no_decision_is_made_for_a_key_that_has_no_room_in_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            user = await here.new_key(requests_per_minute=1)
            planned = []
            plan = here.gateway.planner.plan

            async def counted(*asked: Any) -> Any:
                planned.append(asked)
                return await plan(*asked)

            monkeypatch.setattr(here.gateway.planner, "plan", counted)
            assert [(await here.chat(key=user))[0] for _ in range(5)] == [200, *[429] * 4]
            assert len(planned) == 2  # the one that was answered, and the first that was not

    asyncio.run(run())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"colour": 1},
        {"is_admin": "yes"},
        {"models": ["nobody"]},
        {"models": "a"},
        {"budget_usd": 0},
        {"budget_usd": True},
        {"requests_per_minute": 1.5},
        {"tokens_per_minute": -1},
        {"period": "year"},
        {"period": 7},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            status, _ = await here.ask("POST", "/admin/keys", json={"name": "k", **wrong})
            assert status == 400
            assert (await here.ask("POST", "/admin/keys", json=[]))[0] == 400
            assert (await here.ask("GET", "/admin/keys"))[1] == {"keys": []}

    asyncio.run(run())


def test_a_provider_that_reports_nonsense_is_charged_by_an_estimate(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            key = await here.new_key(is_admin=True)
            usage = {"prompt_tokens": 10**18, "completion_tokens": 1, "total_tokens": 10**18 + 1}
            here.upstream.answers(
                "a-theirs", fake.document(fake.completion(usage=usage)), fake.ok()
            )
            sent = {"Authorization": f"Bearer {key}"}
            for _ in range(2):  # the second is logged and charged as if the first had not been
                one = await here.http.post("/v1/chat/completions", json=BODY, headers=sent)
                said = {"request_id": one.headers["x-equirouter-request-id"], "thumbs": "up"}
                assert (await here.ask("POST", "/v1/feedback", key=key, json=said))[0] == 200
            (found,) = (await here.ask("GET", "/admin/keys", key=key))[1]["keys"]
            shown = (await here.ask("GET", "/admin/decisions", key=key))[1]["decisions"]
            assert [one["cost_usd"] is not None for one in shown] == [True, True]
            assert 40e-6 < found["spent_usd"] < 1e-3
            assert found["reserved_usd"] == 0

    asyncio.run(run())


def test_the_log_and_the_money_agree(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            admin = await here.new_key(is_admin=True)
            here.upstream.answers("b-theirs", fake.error(400))
            for model in ("a", "a", "b"):
                await here.chat(key=admin, model=model)
            await here.chat(key=admin, stream=True)
            rows = await _logged(here, 4, admin)
            assert sum(one["cost_usd"] or 0.0 for one in rows) == pytest.approx(3 * COST_USD)
            while True:
                _, found = await here.ask("GET", "/admin/keys", key=admin)
                if found["keys"][0]["reserved_usd"] == 0:
                    break
            assert found["keys"][0]["spent_usd"] == pytest.approx(3 * COST_USD)
            _, one = await here.ask("GET", f"/admin/decisions/{rows[0]['request_id']}", key=admin)
            assert one["attempt_list"][0]["model"] == "a"
            assert (await here.ask("GET", "/admin/decisions/nobody", key=admin))[0] == 404

    asyncio.run(run())


def test_a_budget_holds_many_requests_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            # each may cost the prompt and 1,000 tokens of 2,000 nano-USD, some 0.002 USD
            key = await here.new_key(budget_usd=0.0205)
            go = asyncio.Event()
            here.upstream.answers("a-theirs", fake.silent(go))
            asked = [asyncio.ensure_future(here.chat(key=key, max_tokens=1000)) for _ in range(60)]
            while sum(one.done() for one in asked) < 50:
                await asyncio.sleep(0.001)
            go.set()
            statuses = [(await one)[0] for one in asked]
            assert statuses.count(200) == len(here.upstream.seen) == 10
            assert statuses.count(429) == 50

    asyncio.run(run())


def test_each_database_answers_what_administrators_ask(tmp_path: Path, store_url: str) -> None:
    async def run() -> None:
        async with assembled(tmp_path, store={"url": store_url}) as here:
            admin = await here.new_key(is_admin=True)
            assert (await here.chat(key=admin))[0] == 200
            await _logged(here, 1, admin)
            for period in ("1h", "24h", "7d", "30d"):
                status, found = await here.ask("GET", f"/admin/summary?period={period}", key=admin)
                assert (status, found["slices"][-1]["calls"]) == (200, {"a": 1})
            # a NUL is a character of JSON and of addresses, and not of PostgreSQL
            named = await here.ask("POST", "/admin/keys", key=admin, json={"name": "a\0b"})
            said = {"request_id": "a\0b", "thumbs": "up"}
            assert named[0] == 201
            assert (await here.ask("POST", "/v1/feedback", key=admin, json=said))[0] == 404
            assert (await here.ask("GET", "/admin/decisions/a%00b", key=admin))[0] == 404

    asyncio.run(run())


def test_who_has_no_key_is_not_told_the_models_of_the_pool(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(
            tmp_path, models={"secret-7b": {"upstream": "a", "price": PRICE}}
        ) as here:
            key = await here.new_key(is_admin=True)
            for sent, told in ((key, True), (None, False), ("eq-wrong", False)):
                status, document = await here.ask("GET", "/openapi.json", key=sent)
                assert (status, "secret-7b" in str(document)) == (200, told)

    asyncio.run(run())


def test_feedback_is_kept_and_counted(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            response = await here.http.post("/v1/chat/completions", json=BODY)
            said = {"request_id": response.headers["x-equirouter-request-id"], "thumbs": "up"}
            assert await here.ask("POST", "/v1/feedback", json=said) == (
                200,
                {"request_id": said["request_id"], "model": "a", "score": 1.0},
            )
            unknown = {"request_id": "nobody", "score": 0.5}
            assert (await here.ask("POST", "/v1/feedback", json=unknown))[0] == 404
            assert (await here.ask("POST", "/v1/feedback", json={"score": 2}))[0] == 400
            _, text = await here.ask("GET", "/metrics")
            assert 'equirouter_feedback_score_sum{model="a"} 1.0' in text

    asyncio.run(run())


def test_dashboard_status_and_metrics_are_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            await here.chat()
            status, page = await here.ask("GET", "/dashboard")
            assert status == 200
            assert "<html" in page
            assert (await here.ask("GET", "/admin/summary"))[0] == 200
            status, found = await here.ask("GET", "/admin/status")
            assert found["log_dropped"] == 0
            assert found["refused_parameters"] == {}
            assert (await here.ask("POST", "/admin/reload"))[0] == 409
            status, text = await here.ask("GET", "/metrics")
            line = 'equirouter_requests_total{decided_by="named",endpoint="chat.completions",'
            assert f'{line}model="a",status="200"}} 1.0' in text
            assert "equirouter_in_flight 0.0" in text
            assert 'equirouter_breaker_state{upstream="a"} 0.0' in text

    asyncio.run(run())


@pytest.mark.parametrize("is_open", [False, True])
def test_metrics_are_for_this_machine_and_administrators_unless_they_are_open(
    tmp_path: Path, is_open: bool
) -> None:
    async def run() -> None:
        async with assembled(tmp_path, telemetry={"metrics_open": is_open}) as here:
            admin = await here.new_key(is_admin=True)
            user = await here.new_key(by=admin)
            assert (await here.ask("GET", "/metrics"))[0] == 200
            elsewhere = {"X-Forwarded-For": "203.0.113.7"}
            for key, status in ((None, 401), (user, 403), (admin, 200)):
                answer = await here.ask("GET", "/metrics", key=key, headers=elsewhere)
                assert answer[0] == (200 if is_open else status)
                assert admin not in answer[1]

    asyncio.run(run())


def test_nothing_that_clients_choose_makes_a_new_series_of_metrics(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:

            async def asked(n: int) -> set[str]:
                """The series after requests with names and values that nobody had before."""
                name = f"mine-{n}"
                headers = {"x-equirouter-session": name, "x-request-id": name, "User-Agent": name}
                body = {"user": name, "metadata": {name: name}, "service_tier": name, name: n}
                content = {"model": "a", "messages": [{"role": "user", "content": name}], **body}
                await here.ask("POST", "/v1/chat/completions", headers=headers, json=content)
                await here.chat(model=name)
                await here.chat(model=f"equirouter/{name}")
                await here.chat(model=f"equirouter/budget-{n}.5")
                await here.chat(equirouter={"exclude": [name]})
                await here.ask("GET", f"/{name}")
                await here.ask(f"M{n}", "/v1/models")
                await here.ask("POST", "/v1/feedback", json={"request_id": name, "score": 1})
                text = (await here.ask("GET", "/metrics"))[1]
                return {line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"}

            known = await asked(1)
            assert not any("mine" in series for series in known)
            for n in range(2, 6):
                assert await asked(n) == known

    asyncio.run(run())


@pytest.mark.parametrize(
    "path", ["/v1/models", "/admin/status", "/admin/summary", "/metrics", "/admin/keys"]
)
def test_what_a_proxy_passes_on_is_not_from_this_machine(tmp_path: Path, path: str) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            assert (await here.ask("GET", path))[0] == 200
            for header in ("X-Forwarded-For", "x-forwarded-host", "Forwarded", "X-Real-IP", "Via"):
                passed_on = {header: "for=203.0.113.7"}
                assert (await here.ask("GET", path, headers=passed_on))[0] == 403, header
            assert (await here.ask("GET", path, headers={"Host": "rebound.example"}))[0] == 403
            assert (await here.ask("GET", path, headers={"Origin": "https://evil.example"}))[0] in (
                200 if path == "/metrics" else 403,
            )

    asyncio.run(run())


def test_the_live_feed_ends_when_the_gateway_stops(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here, here.http.get("/admin/events") as feed:
            assert await feed.content.readline() == b"event: open\n"
            stopping = asyncio.ensure_future(here.runner.cleanup())
            await asyncio.wait_for(feed.content.read(), 10)
            await stopping

    asyncio.run(run())


def test_the_pipeline_that_would_decide_is_named(tmp_path: Path) -> None:
    store = {"url": f"sqlite:///{tmp_path}/gateway.db"}
    folder = save_pipeline(tmp_path / "pipeline")
    assert check_settings(settings_of(folder, store=store)).pipeline == str(folder)
    assert check_settings(settings_of(None, store=store)).pipeline is None


def test_what_cascades_do_is_said_at_the_start_and_by_the_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = {"url": f"sqlite:///{tmp_path}/gateway.db"}
    folder = save_pipeline(tmp_path / "pipeline")
    on = settings_of(folder, store=store, cascade={"enabled": True})
    said = check_settings(on).cascade
    assert said is not None
    assert "the pipeline has no plans" in said
    assert said in [entry.getMessage() for entry in caplog.records]
    assert check_settings(settings_of(folder, store=store)).cascade is None
    with pytest.raises(ValueError, match=r"cascade\.enabled needs a pipeline"):
        settings_of(None, store=store, cascade={"enabled": True})
