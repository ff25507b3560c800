"""Decisions over HTTP, by the gateway as it is put together for serving."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from equirouter.cost.model_price import ModelPrice
from equirouter.cost.prices import Price
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.serve.http.endpoints import make_app
from equirouter.serve.run.assembly import open_gateway
from tests.serve.fake_upstream import error, fake_upstream
from tests.serve.pipelines import save_pipeline
from tests.serve.planners import settings_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("pipeline"))


@asynccontextmanager
async def client(
    folder: Path, tmp_path: Path, upstream: str = "http://127.0.0.1:1/v1", **sections: Any
) -> AsyncIterator[aiohttp.ClientSession]:
    settings = settings_of(
        folder,
        store={"url": f"sqlite:///{tmp_path / 'store.db'}"},
        upstreams={"there": {"base_url": upstream}},
        **sections,
    )
    async with open_gateway(settings) as gateway:
        runner = web.AppRunner(make_app(gateway), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession(url) as session:
                yield session
        finally:
            await runner.cleanup()


async def asked(http: aiohttp.ClientSession, model: str, **body: Any) -> tuple[int, Any]:
    content = {"model": model, "messages": [{"role": "user", "content": "hard task3"}], **body}
    async with http.post("/v1/route", json=content) as response:
        found = await response.json()
        assert response.headers.get("x-equirouter-model") == found.get("model")
        return response.status, found


def test_it_says_who_would_answer_and_why(folder: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with client(folder, tmp_path) as http:
            status, found = await asked(http, "equirouter/budget-0.002", max_tokens=150)
            assert (status, found["object"]) == (200, "equirouter.route")
            assert found["model"] == found["ranking"][0]["model"]
            assert (found["setting"], found["value"], found["fits"]) == ("budget_usd", 0.002, True)
            assert set(found["scores"]) == set(found["predicted_costs_usd"])
            for one in found["ranking"]:
                assert one["upper_cost_usd"] <= 0.002
                assert one["score"] == found["scores"][one["model"]]
            assert {one["model"] for one in found["ranking"]} | set(found["removed"]) == {
                "small",
                "middle",
                "large",
            }
            assert found["pipeline"]
            status, found = await asked(http, "small")
            assert (found["model"], found["decided_by"], found["scores"]) == (
                "small",
                "named",
                None,
            )
            status, found = await asked(
                http, "equirouter/auto", equirouter={"exclude": ["small", "middle", "large"]}
            )
            assert (status, found["model"], found["ranking"]) == (200, None, [])
            assert found["removed"]["small"] == "excluded by the request"
            status, found = await asked(http, "equirouter/auto", equirouter={"exclude": ["no"]})
            assert (status, found["error"]["param"]) == (400, "exclude")

    asyncio.run(run())


def test_questions_count_in_the_rate_of_a_key(folder: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with client(folder, tmp_path) as http:
            limits = {"name": "k", "requests_per_minute": 2, "budget_usd": 0.000001}
            async with http.post("/admin/keys", json=limits) as made:
                http.headers["Authorization"] = f"Bearer {(await made.json())['key']}"
            found = [await asked(http, "equirouter/auto") for _ in range(3)]
            assert [status for status, _ in found] == [200, 200, 429]
            assert found[2][1]["error"]["code"] == "rate_limit_exceeded"

    asyncio.run(run())


def test_a_model_costs_what_its_pipeline_says_and_another_price_is_said(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = RoutingPipeline.load(folder)
    prices = {name: Price(1.0, 2.0) for name in pipeline.models}
    pipeline.prices = tuple(ModelPrice(name, price, price) for name, price in prices.items())
    priced = pipeline.save(tmp_path / "priced")
    store = {"url": f"sqlite:///{tmp_path / 'store.db'}"}
    models = {"small": {"price": None}, "large": {"price": {"input": 1, "output": 2}}}

    async def run() -> None:
        async with open_gateway(settings_of(priced, store=store, models=models)) as gateway:
            assert gateway.pool.routes["small"].price == prices["small"]
            assert gateway.pool.routes["middle"].price.input_usd_per_mtok == 1.0

    asyncio.run(run())
    said = [record.getMessage() for record in caplog.records if "decided at" in record.message]
    assert len(said) == 1
    assert said[0].startswith("models.middle: ")


Answered = tuple[int, str | None, str | None]


async def talk(http: aiohttp.ClientSession, *turns: tuple[str, str], **body: Any) -> Answered:
    """Status, model and number of calls of a chat completion."""
    messages = [{"role": role, "content": content} for role, content in turns]
    content = {"model": "equirouter/lambda-30", "messages": messages, **body}
    async with http.post("/v1/chat/completions", json=content) as response:
        headers = response.headers
        return (
            response.status,
            headers.get("x-equirouter-model"),
            headers.get("x-equirouter-attempts"),
        )


def test_a_virtual_model_is_answered_by_the_chosen_one_or_its_fallback(
    folder: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with (
            fake_upstream() as upstream,
            client(folder, tmp_path, upstream.url, sessions={"switch_cost": "always-stay"}) as http,
        ):
            easy, hard = ("user", "easy task1 query"), ("user", "hard task3 query")
            _, found = await asked(
                http, "equirouter/lambda-30", messages=[{"role": "user", "content": easy[1]}]
            )
            ranking = [one["model"] for one in found["ranking"]]
            assert await talk(http, easy) == (200, ranking[0], "1")
            assert (await talk(http, hard))[1] == "large"
            assert upstream.models == [ranking[0], "large"]
            # the conversation that began with the easy query stays where it was
            assert (await talk(http, easy, ("assistant", "A"), hard))[1] == ranking[0]
            # but not with a model that fails
            upstream.answers(ranking[0], error(500))
            assert (await talk(http, easy, ("assistant", "A"), hard))[::2] == (200, "2")
            assert upstream.models[-1] != ranking[0]
            kept = await talk(http, easy, ("assistant", "A"), hard)
            assert kept == (200, upstream.models[-1], "1")

    asyncio.run(run())


def test_a_mean_spend_is_paced_over_http(folder: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            fake_upstream() as upstream,
            client(folder, tmp_path, upstream.url, pipeline={"spend_usd": 0.002}) as http,
        ):
            _, found = await asked(http, "equirouter/auto")
            assert (found["setting"], found["spend_usd"]) == ("lambda", 0.002)
            _, found = await asked(http, "equirouter/lambda-30")
            assert (found["value"], found["spend_usd"]) == (30.0, None)
            costs = []
            for text in ("easy task1 query", "hard task3 query"):
                messages = [{"role": "user", "content": text}]
                content = {"model": "equirouter/auto", "messages": messages}
                async with http.post("/v1/chat/completions", json=content) as response:
                    assert response.status == 200
                    costs.append(float(response.headers["x-equirouter-cost-usd"]))
            async with http.get("/admin/status") as response:
                pacing = (await response.json())["pipeline"]["pacing"]
            assert (pacing["spend_usd"], pacing["requests"]) == (0.002, 2)
            assert pacing["mean_usd"] == pytest.approx(sum(costs) / 2)

    asyncio.run(run())


def test_another_pipeline_is_taken_on_demand_and_a_bad_one_refused(
    folder: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        mine = tmp_path / "mine"
        shutil.copytree(folder, mine)
        async with client(mine, tmp_path) as http:

            async def ids() -> tuple[Any, Any]:
                async with http.get("/admin/status") as response:
                    status = (await response.json())["pipeline"]["id"]
                return status, (await asked(http, "equirouter/auto"))[1]["pipeline"]

            old = await ids()
            save_pipeline(mine, router="knn:k=3")
            assert await ids() == old  # nobody asked for it
            async with http.post("/admin/reload") as response:
                assert response.status == 200
                new = (await response.json())["pipeline"]
            assert await ids() == (new, new)
            assert new != old[0]
            for name in ("weights.safetensors", "pipeline.json"):
                whole = (mine / name).read_bytes()
                (mine / name).write_bytes(whole[:-9] + b"x" + whole[-8:])
                async with http.post("/admin/reload") as response:
                    assert response.status == 409
                    message = (await response.json())["error"]["message"]
                assert f"{mine / name}: " in message
                assert "SHA-256" in message
                assert await ids() == (new, new)
                (mine / name).write_bytes(whole)

    asyncio.run(run())
