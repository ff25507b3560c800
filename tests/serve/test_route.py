"""POST /v1/route over HTTP, by the gateway as it is put together for serving."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from equirouter.cost.pricing import ModelPrice
from equirouter.pipeline import RoutingPipeline
from equirouter.prices import Price
from equirouter.serve.app import make_app
from equirouter.serve.assembly import open_gateway
from tests.serve.pipelines import registered, save_pipeline
from tests.serve.planners import settings_of

__all__ = ["registered"]  # a fixture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("pipeline"))


@asynccontextmanager
async def client(folder: Path, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    settings = settings_of(folder, store={"url": f"sqlite:///{tmp_path / 'store.db'}"})
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
        return response.status, await response.json()


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
