"""The gateway and versions: it follows the pointer, and refuses what rests on far too little."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from equirouter.errors import PipelineError
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.plan.loading import follow
from equirouter.serve.settings import PipelineSettings
from tests.serve.pipelines import MODELS, CountedMetrics, save_pipeline


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RoutingPipeline:
    return RoutingPipeline.load(save_pipeline(tmp_path_factory.mktemp("pipeline")))


def on(pipeline: RoutingPipeline, n_queries: int) -> RoutingPipeline:
    """The same, as if its operating points were found on so many queries."""
    return replace(pipeline, calibration=replace(pipeline.calibration, n_queries=n_queries))


def added(versions: PipelineVersions, pipeline: RoutingPipeline, **how: object) -> str:
    name = versions.add(pipeline, how="test")
    versions.promote(name, over=versions.current, how="test", **how)  # type: ignore[arg-type]
    return name


def decider(folder: Path, metrics: CountedMetrics) -> DecisionThread:
    return DecisionThread(PipelineSettings(path=folder), MODELS, metrics)


def test_the_version_that_becomes_current_is_taken(made: RoutingPipeline, tmp_path: Path) -> None:
    async def run() -> None:
        versions = PipelineVersions(tmp_path)
        added(versions, made)
        one = decider(tmp_path, CountedMetrics())
        assert one.loaded.version == "0001"
        taken: asyncio.Queue[str | None] = asyncio.Queue()

        async def reload() -> None:
            await taken.put((await one.reload()).version)

        following = asyncio.create_task(follow(tmp_path, reload, seconds=0.01))
        await asyncio.sleep(0.05)  # it has looked, and nothing has changed
        assert taken.empty()
        added(versions, on(made, 400))
        assert await asyncio.wait_for(taken.get(), 30) == "0002"
        versions.roll_back(how="test")
        assert await asyncio.wait_for(taken.get(), 30) == "0001"
        following.cancel()
        await one.close()

    asyncio.run(run())


def test_far_too_little_evidence_is_refused(made: RoutingPipeline, tmp_path: Path) -> None:
    async def run() -> None:
        versions = PipelineVersions(tmp_path)
        added(versions, on(made, 6200))
        metrics = CountedMetrics()
        one = decider(tmp_path, metrics)
        added(versions, on(made, 3))
        with pytest.raises(PipelineError, match="rests on 3 queries, less than a tenth"):
            await one.reload()
        assert one.loaded.version == "0001"
        assert one.refused is not None
        assert metrics.reloads == [False]
        assert (await one.reload(force=True)).version == "0002"
        assert one.refused is None
        await one.close()

    asyncio.run(run())


@pytest.mark.parametrize("how", [{"forced": True}, {"figures": {"n_queries": 250}}])
def test_what_was_forced_or_passed_the_gate_needs_no_evidence(
    how: dict[str, object], made: RoutingPipeline, tmp_path: Path
) -> None:
    async def run() -> None:
        versions = PipelineVersions(tmp_path)
        added(versions, on(made, 6200))
        one = decider(tmp_path, CountedMetrics())
        added(versions, on(made, 3), **how)
        assert (await one.reload()).version == "0002"
        await one.close()

    asyncio.run(run())
