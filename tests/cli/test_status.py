"""`equirouter status`: what it says of a gateway that served, was shaken, and does not run now."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equirouter.pipeline import PipelineVersions, RoutingPipeline
from tests.cli.invoke import invoke
from tests.serve import fake_upstream as fake
from tests.serve.assembled import assembled
from tests.serve.pipelines import GatedEncoder, save_pipeline

pytestmark = pytest.mark.usefixtures("registered")

TOML = """
[server]
port = 0
[pipeline]
path = "pipeline"
[explore]
share = 0.1
limit_usd_per_day = 2.0
[canary]
version = "0002"
[drift]
usual = 50
[store]
url = "sqlite:///{store}"
[upstreams.a]
base_url = "http://127.0.0.1:1/v1"
[models.small]
upstream = "a"
price = {{ input = 1.0, output = 1.0 }}
[models.middle]
upstream = "a"
price = {{ input = 10.0, output = 10.0 }}
[models.large]
upstream = "a"
price = {{ input = 100.0, output = 100.0 }}
"""
MODELS: dict[str, Any] = {
    name: {"upstream": place, "price": {"input": price, "output": price}}
    for name, place, price in (("small", "a", 1.0), ("middle", "b", 10.0), ("large", "c", 100.0))
}


async def traffic(folder: Path) -> None:
    """250 requests, the last 120 with answers ten times as long; a share is explored, and rated."""
    async with assembled(
        folder,
        models=MODELS,
        pipeline={"path": folder / "pipeline"},
        explore={"share": 0.1},
    ) as here:
        for n in range(250):
            tokens = 10 if n < 130 else 100
            usage = {"prompt_tokens": 20, "completion_tokens": tokens}
            for name in MODELS:
                here.upstream.answers(name, fake.document(fake.completion("7", usage=usage)))
            words = f"easy task1 query {n:03}"
            body = {"model": "equirouter/auto", "messages": [{"role": "user", "content": words}]}
            answer = await here.http.post("/v1/chat/completions", json=body)
            assert answer.status == 200
            if answer.headers.get("x-equirouter-explored"):
                rated = {"request_id": answer.headers["x-equirouter-request-id"], "score": 0.25}
                assert (await here.http.post("/v1/feedback", json=rated)).status < 300


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gateway")
    made = RoutingPipeline.load(save_pipeline(folder / "made"), encoder=GatedEncoder())
    versions = PipelineVersions(folder / "pipeline")
    for quality in (0.2, 0.3):
        versions.add(replace(made, quality=quality), how="train")
    versions.promote("0001", over=None, how="train")
    asyncio.run(traffic(folder))
    path = folder / "gateway.toml"
    path.write_text(TOML.format(store=folder / "gateway.db"), "utf-8")
    return path


def test_it_says_how_all_of_the_loop_stands(config: Path) -> None:
    found = json.loads(invoke("status", config, "--json").out)
    assert found["pipeline"]["current"] == "0001"
    assert found["pipeline"]["versions"] == 2
    assert found["canary"]["state"] == "not begun"
    alarms = {(one["kind"], one["about"]) for one in found["alarms"]}
    assert ("long answers", "small") in alarms
    assert found["watched"] > len(alarms)
    assert found["explore"]["limit_usd_per_day"] == 2.0
    assert 5 <= found["explore"]["requests"] <= 60
    assert found["shadow"]["requests"] == 0
    learned = found["learned"]
    assert (learned["queries"], learned["complete"]) == (0, 0)  # nobody scores
    assert sum(one["rated"] for one in learned["models"]) == found["explore"]["requests"]
    assert {one["mean"] for one in learned["models"]} == {0.25}
    assert all(0 < one["predicted"] < 1 for one in learned["models"])
    assert found["money"]["today"]["requests"] == found["money"]["30 days"]["requests"] == 250
    assert found["money"]["today"]["errors"] == 0
    assert found["retrain"] is None


def test_it_fits_into_80_columns(config: Path) -> None:
    said = invoke("status", config).out.splitlines()
    assert max(map(len, said)) <= 80
    titles = [line[:11].strip() for line in said if not line.startswith(" ")]
    assert titles == [
        *("pipeline", "version", "last", "canary", "alarms"),
        *("explore", "shadow", "learned", "today", "30 days"),
    ]
    assert "rated, 0.250 on average, 0." in " ".join(line.strip() for line in said)
    (today,) = [line for line in said if line.startswith("today")]
    assert "250 requests, 0 errors" in today
    assert invoke("status", config, "--quiet").out == ""


def test_without_a_pipeline_there_is_only_money(config: Path) -> None:
    text = config.read_text("utf-8")
    for name in ("pipeline", "explore", "canary", "drift"):
        begin = text.index(f"[{name}]")
        text = text[:begin] + text[text.index("[", begin + 1) :]
    plain = config.with_name("plain.toml")
    plain.write_text(text, "utf-8")
    said = invoke("status", plain).out
    assert "none: requests name their model" in said
    assert "alarms     none of 0" in said
    assert "explore    0.0% of requests" in said  # it is off, and has cost something today
    assert "shadow     off" in said
