"""A gateway that watches for drift, with all its real parts."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equirouter.pipeline import PipelineVersions, RoutingPipeline
from tests.serve import fake_upstream as fake
from tests.serve.assembled import Assembled, assembled
from tests.serve.pipelines import GatedEncoder, save_pipeline

MODELS: dict[str, Any] = {
    name: {"upstream": place, "price": {"input": price, "output": price}}
    for name, place, price in (("small", "a", 1.0), ("middle", "b", 10.0), ("large", "c", 100.0))
}


async def asked(here: Assembled, first: int, n: int, *, tokens: int, score: float) -> None:
    """Ask n things that get answers so long, and rate them."""
    usage = {"prompt_tokens": 20, "completion_tokens": tokens}
    for name in MODELS:
        here.upstream.answers(name, fake.document(fake.completion("7", usage=usage)))
    for number in range(first, first + n):
        text = f"easy task1 query {number:03}"
        body = {"model": "equirouter/auto", "messages": [{"role": "user", "content": text}]}
        answer = await here.http.post("/v1/chat/completions", json=body)
        said = {"request_id": answer.headers["x-equirouter-request-id"], "score": score}
        assert (await here.ask("POST", "/v1/feedback", json=said))[0] == 200


async def alarms(here: Assembled) -> set[str]:
    status = (await here.ask("GET", "/admin/status"))[1]
    return {one["kind"] for one in status["alarms"]}


def test_it_is_seen_in_the_log_the_status_and_the_metrics_and_ends_with_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("equirouter.serve.run.drift_watch.DriftKeeper.run.__defaults__", (0.01,))
    monkeypatch.setattr("equirouter.serve.plan.loading.follow.__kwdefaults__", {"seconds": 0.01})
    made = RoutingPipeline.load(save_pipeline(tmp_path / "made"), encoder=GatedEncoder())
    versions = PipelineVersions(tmp_path / "pipeline")
    versions.add(made, how="train")
    versions.promote("0001", over=None, how="train")

    def gateway() -> Any:
        return assembled(
            tmp_path,
            models=MODELS,
            pipeline={"path": tmp_path / "pipeline"},
            drift={"enabled": True, "usual": 50},
        )

    async def until(here: Assembled, expected: set[str]) -> None:
        while not expected <= await alarms(here):
            await asyncio.sleep(0.01)

    async def work() -> None:
        expected = {"long answers", "feedback", "calibration"}
        async with gateway() as here:
            await asked(here, 0, 130, tokens=10, score=0.9)
            assert not await alarms(here) & expected
            await asked(here, 130, 120, tokens=100, score=0.2)
            await until(here, expected)
            metrics = (await here.ask("GET", "/metrics"))[1]
            assert 'equirouter_drift_alarm{about="",kind="calibration"} 1.0' in metrics
            assert "drift, alarm: calibration" in caplog.text
        async with gateway() as here:  # the log tells it again
            await until(here, expected)
            versions.add(replace(made, quality=0.3), how="train")
            versions.promote("0002", over="0001", how="test", forced=True)
            while await alarms(here):
                await asyncio.sleep(0.01)
            metrics = (await here.ask("GET", "/metrics"))[1]
            assert 'equirouter_drift_alarm{about="",kind="calibration"} 0.0' in metrics

    asyncio.run(work())
