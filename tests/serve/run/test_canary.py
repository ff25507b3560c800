"""A version is tried beside the current one by a gateway with all its real parts."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import ConfigError
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.serve.money.store.canaries import end_trial, find_trial, latest_trial
from equirouter.serve.money.store.store import connected
from equirouter.serve.run.assembly import check_settings
from tests.serve import fake_upstream as fake
from tests.serve.assembled import Assembled, assembled
from tests.serve.pipelines import GatedEncoder, save_pipeline

NAMES = {"small": "a", "middle": "b", "large": "c"}  # of the pipeline, and of their upstreams
USAGE = {"prompt_tokens": 20, "completion_tokens": 10}
MODELS: dict[str, Any] = {
    name: {"upstream": place, "price": {"input": price, "output": price}}
    for (name, place), price in zip(NAMES.items(), (1.0, 10.0, 100.0), strict=True)
}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway looks at once."""
    monkeypatch.setattr("equirouter.serve.run.canary.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("equirouter.serve.run.canary.CanaryKeeper.run.__defaults__", (0.01,))
    monkeypatch.setattr("equirouter.serve.plan.loading.follow.__kwdefaults__", {"seconds": 0.01})


@pytest.fixture
def versions(tmp_path: Path) -> PipelineVersions:
    """0001, current, is cheap; 0002 keeps all of the quality, 0003 decides as 0001 does."""
    first = RoutingPipeline.load(save_pipeline(tmp_path / "made"), encoder=GatedEncoder())
    versions = PipelineVersions(tmp_path / "pipeline")
    same = replace(first, calibration=replace(first.calibration, n_queries=77))
    for one in (first, replace(first, quality=1.0), same):
        versions.add(one, how="train")
    versions.promote("0001", over=None, how="train")
    return versions


def gateway(folder: Path, version: str, **canary: Any) -> Any:
    return assembled(
        folder,
        models=MODELS,
        pipeline={"path": folder / "pipeline"},
        canary={"version": version, "share": 0.5, **canary},
    )


async def asked(here: Assembled, n: int, *, first: int = 0) -> list[str | None]:
    """Ask n different things; the versions that decided."""
    for name in NAMES:
        here.upstream.answers(name, fake.document(fake.completion("7", usage=USAGE)))
    said = []
    for number in range(first, first + n):
        text = f"easy task1 query {number}"
        body = {"model": "equirouter/auto", "messages": [{"role": "user", "content": text}]}
        answer = await here.http.post("/v1/chat/completions", json=body)
        assert answer.status == 200
        said.append(answer.headers.get("x-equirouter-version"))
    return said


async def state(here: Assembled) -> dict[str, Any]:
    found: dict[str, Any] = (await here.ask("GET", "/admin/status"))[1]["canary"]
    return found


async def until(here: Assembled, *states: str) -> dict[str, Any]:
    while (found := await state(here))["state"] not in states:
        await asyncio.sleep(0.005)
    return found


async def begun(here: Assembled) -> None:
    """The trial runs: enough was asked before to know what is usual."""
    assert set(await asked(here, 100)) == {"0001"}
    await until(here, "running")


async def ended(here: Assembled, *states: str) -> tuple[dict[str, Any], list[str | None]]:
    """Ask until the trial is over."""
    said: list[str | None] = []
    while (found := await state(here))["state"] not in states:
        said += await asked(here, 10, first=1000 + len(said))
        assert len(said) < 3000, found
    return found, said


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]  # a coroutine


def test_one_that_costs_more_is_rolled_back(versions: PipelineVersions, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path, "0002") as here:
            assert (await until(here, "waiting"))["why"].startswith("0 of 100 requests that 0001")
            await begun(here)
            found, said = await ended(here, "rolled back")
            assert set(said) == {"0001", "0002"}
            assert found["why"].startswith("cost got worse: ")
            assert set(await asked(here, 30, first=9000)) == {"0001"}
            metrics = (await here.ask("GET", "/metrics"))[1]
            assert 'equirouter_canaries_total{verdict="rolled back"} 1.0' in metrics
            assert "equirouter_canary 0.0" in metrics
            assert 'equirouter_canary_evidence{measure="cost",of="worse"} 1.0' in metrics
        async with gateway(tmp_path, "0002") as here:  # a restart: it is not tried again
            assert (await until(here, "rolled back"))["why"] == found["why"]
            assert set(await asked(here, 30, first=10_000)) == {"0001"}

    run(work)
    assert versions.current == "0001"
    tried, refused = [event for event in versions.history if event.how == "canary"]
    assert (tried.did, refused.did, refused.version) == ("tried", "refused", "0002")
    assert refused.why.startswith("cost got worse: ")


def test_one_that_is_as_good_becomes_current(versions: PipelineVersions, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(tmp_path, "0003", enough=40) as here:
            await begun(here)
            assert versions.is_tried("0003")
            found, said = await ended(here, "promoted", "current")
            assert set(said) == {"0001", "0003"}
            await until(here, "current")
            assert set(await asked(here, 30, first=9000)) == {"0003"}
            assert found["evidence"]["cost"]["n"][1] >= 40

    run(work)
    assert versions.current == "0003"
    last = versions.history[-1]
    assert (last.did, last.over, last.how) == ("promoted", "0001", "canary")
    units = re.match(r"nothing got worse in (\d+) units", last.why)
    assert units is not None
    assert int(units[1]) >= 40
    assert last.figures is not None  # so that the gateway takes it


def broken(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that is tried can decide nothing."""

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    pipeline = here.gateway.planner._canary.served.loaded.pipeline
    monkeypatch.setattr(pipeline, "decide_each", fail)
    monkeypatch.setattr(pipeline.stage.encoder, "embed", fail)


def test_those_that_pass_the_gate_are_tried_one_after_the_other(
    versions: PipelineVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with gateway(tmp_path, "latest", enough=40) as here:
            waits = await until(here, "waiting")
            assert (waits["version"], waits["why"]) == ("latest", "no version has passed the gate")
            versions.note("0003", "passed", how="retrain", why="")
            versions.note("0002", "passed", how="retrain", why="")  # held against 0001, as 0003 was
            await begun(here)
            await ended(here, "current")
            assert set(await asked(here, 100, first=9000)) == {"0003"}
            versions.note("0002", "passed", how="retrain", why="")
            assert (await until(here, "running"))["version"] == "0002"
            broken(here, monkeypatch)
            found, said = await ended(here, "rolled back")
            assert (found["version"], set(said)) == ("0002", {"0002", "0003"})
            assert set(await asked(here, 30, first=20_000)) == {"0003"}
            store = here.gateway.settings.store
        async with connected(store) as database:
            latest = await database.read(latest_trial, "latest")  # for `equirouter status`
            assert latest is not None
            assert (latest.version, latest.verdict) == ("0002", "rolled back")

    run(work)
    dids = [(event.version, event.did) for event in versions.history if event.how == "canary"]
    assert dids == [
        ("0003", "tried"),
        ("0003", "promoted"),
        ("0002", "tried"),
        ("0002", "refused"),
    ]


def test_one_that_cannot_decide_is_rolled_back_and_clients_are_answered(
    versions: PipelineVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with gateway(tmp_path, "0003") as here:
            await begun(here)
            broken(here, monkeypatch)
            found, _ = await ended(here, "rolled back")
            assert "got worse" in found["why"]

    run(work)
    assert versions.current == "0001"


def test_a_conversation_stays_with_its_version_in_all_workers_and_after_a_restart(
    versions: PipelineVersions, tmp_path: Path
) -> None:
    async def work() -> None:
        async with gateway(tmp_path, "0003") as here:
            await begun(here)
            first = await asked(here, 60)
            assert await asked(here, 60) == first
            async with gateway(tmp_path, "0003") as other:
                await until(other, "running")
                assert await asked(other, 60) == first
        async with gateway(tmp_path, "0003") as here:
            found = await until(here, "running")
            assert await asked(here, 60) == first
            assert 15 <= first.count("0003") <= 45
            # each conversation counts once, however often it was asked and by whom it is counted
            assert sum(found["evidence"]["cost"]["n"]) == 60

    run(work)
    assert [event.did for event in versions.history if event.how == "canary"] == ["tried"]


def test_another_version_that_becomes_current_meanwhile_begins_it_anew(
    versions: PipelineVersions, tmp_path: Path
) -> None:
    async def work() -> None:
        async with gateway(tmp_path, "0003") as here:
            await begun(here)
            versions.promote("0002", over="0001", how="pipeline promote", forced=True)
            found = await until(here, "waiting")
            assert found["why"].startswith("0 of 100 requests that 0002 decided")
            assert set(await asked(here, 100, first=5000)) == {"0002"}
            assert (await until(here, "running"))["over"] == "0002"

    run(work)
    dids = [event.did for event in versions.history if event.how == "canary"]
    assert dids == ["tried", "withdrawn", "tried"]


def test_what_a_killed_worker_did_not_write_is_made_up_for(
    versions: PipelineVersions, tmp_path: Path
) -> None:
    """It had entered the verdict, and was killed before the version became current."""

    async def work() -> None:
        async with gateway(tmp_path, "0003") as here:
            await begun(here)
            store = here.gateway.settings.store
        async with connected(store) as database:
            trial = await database.read(latest_trial, "0003")
            assert trial is not None
            assert await database.write(end_trial, trial.id, "promoted", "by hand", 1)
            assert not await database.write(end_trial, trial.id, "rolled back", "too late", 2)
            again = await database.read(find_trial, trial.pipeline, trial.over)
            assert again is not None
            assert again.why == "by hand"
        assert versions.current == "0001"
        async with gateway(tmp_path, "0003") as here:
            await until(here, "promoted")
            while await asked(here, 1) != ["0003"]:
                await asyncio.sleep(0.01)

    run(work)
    assert versions.history[-1].why == "by hand"
    versions.roll_back(how="pipeline rollback")  # by somebody who does not want it

    async def served_on() -> None:
        async with gateway(tmp_path, "0003") as here:
            await until(here, "promoted")
            await asyncio.sleep(0.1)
            assert set(await asked(here, 5)) == {"0001"}

    run(served_on)
    assert versions.current == "0001"


def test_one_that_is_the_current_one_by_another_name_is_not_tried(
    versions: PipelineVersions, tmp_path: Path
) -> None:
    made = RoutingPipeline.load(versions.path("0001"), encoder=GatedEncoder())
    versions.add(made, how="train")

    async def work() -> None:
        async with gateway(tmp_path, "0004") as here:
            assert (await until(here, "failed"))["why"] == "it is the same pipeline as 0001"

    run(work)


def test_a_version_that_is_not_there_is_named_before_anything_is_served(
    versions: PipelineVersions, tmp_path: Path
) -> None:
    del versions

    async def work() -> None:
        async with gateway(tmp_path, "0009") as here:
            check_settings(here.gateway.settings)

    with pytest.raises(ConfigError, match="no version '0009'; there are: 0001, 0002, 0003"):
        run(work)
