"""The thread that decides: batches without waiting, cancelled callers, faults, a new pipeline."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.errors import DataError, PipelineError
from equirouter.pipeline.decision import Ask
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import Control
from equirouter.serve.plan.decision_thread import Decided, DecisionThread
from equirouter.serve.settings import PipelineSettings
from tests.pipeline.sealed import change_arrays, change_description
from tests.serve.pipelines import (
    LONG,
    MODELS,
    CountedMetrics,
    GatedEncoder,
    save_pipeline,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("pipeline"))


def decider(folder: Path, metrics: CountedMetrics | None = None, **settings: Any) -> DecisionThread:
    return DecisionThread(
        PipelineSettings(path=folder, **settings), MODELS, metrics or CountedMetrics()
    )


async def stopped() -> None:
    """Until the encoder stands at its gate."""
    assert await asyncio.to_thread(GatedEncoder.has_stopped.wait, 30)


@pytest.fixture
def any_time_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, decisions on texts of the measured lengths count as quick."""
    monkeypatch.setattr("equirouter.serve.plan.loading.QUICK_SECONDS", 60.0)


@pytest.mark.usefixtures("any_time_is_quick")
def test_a_quick_pipeline_decides_on_the_loop_and_a_long_query_beside_it(folder: Path) -> None:
    async def run() -> None:
        metrics = CountedMetrics()
        one = decider(folder, metrics)
        pipeline = RoutingPipeline.load(folder)
        for text in ("easy task1 query", "hard task2 query"):
            for control in (Control(), Control(lambda_=20.0), Control(budget_usd=0.002)):
                short = await one.decide(Ask(text, control=control))
                long = await one.decide(Ask(text + LONG, control=control))
                assert short.decision == pipeline.decide_each([Ask(text, control=control)])[0]
                assert long.decision == pipeline.decide_each([Ask(text + LONG, control=control)])[0]
                assert (short.loaded, short.batch) == (one.loaded, 1)
        assert metrics.batches == [1] * 6  # the long ones only, none of them waited for another
        await one.close()

    asyncio.run(run())


@pytest.mark.usefixtures("any_time_is_quick")
def test_quick_queries_of_one_turn_of_the_loop_are_decided_together(folder: Path) -> None:
    async def run() -> None:
        metrics = CountedMetrics()
        one = decider(folder, metrics, batch_size=3)
        metrics.in_flight(6)
        texts = ["easy task1 query", " ", "hard task2 query", "gone", "easy query", "hard query"]
        tasks = [asyncio.create_task(one.decide(Ask(text))) for text in texts]
        await asyncio.sleep(0)  # all ask
        tasks[3].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert metrics.batches == [3, 2]
        assert isinstance(answers[1], DataError)
        assert isinstance(answers[3], asyncio.CancelledError)
        alone = one.loaded.pipeline.decide_each
        for place in (0, 2, 4, 5):
            found = answers[place]
            assert isinstance(found, Decided)
            assert found.decision == alone([Ask(texts[place])])[0]
        await one.close()

    asyncio.run(run())


def test_a_query_that_is_not_quick_goes_beside_the_loop_where_others_are_served(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equirouter.serve.plan.loading.QUICK_SECONDS", 0.0)
    monkeypatch.setattr("equirouter.serve.plan.loading.LONE_SECONDS", 60.0)

    async def run() -> None:
        metrics = CountedMetrics()
        one = decider(folder, metrics)
        metrics.in_flight(1)
        alone = await one.decide(Ask("easy task1 query"))
        assert metrics.batches == []
        metrics.in_flight(1)
        among_others = await one.decide(Ask("easy task1 query"))
        assert metrics.batches == [1]
        assert alone.decision == among_others.decision
        await one.close()

    asyncio.run(run())


def test_what_waits_is_decided_together_and_nobody_waits_for_more(folder: Path) -> None:
    async def run() -> None:
        metrics = CountedMetrics()
        one = decider(folder, metrics, batch_size=3)
        with GatedEncoder.closed():
            tasks = [asyncio.create_task(one.decide(Ask("stop" + LONG)))]
            await stopped()
            asks = [Ask(f"easy query {n}" + LONG) for n in range(4)]
            tasks += [asyncio.create_task(one.decide(ask)) for ask in asks]
            await asyncio.sleep(0)
            assert one.waiting == 4
            GatedEncoder.gate.set()
            decided = await asyncio.gather(*tasks)
        assert [found.batch for found in decided] == [1, 3, 3, 3, 1]
        assert metrics.batches == [1, 3, 1]
        assert metrics.depths[-1] == 0
        alone = one.loaded.pipeline.decide_each
        assert [found.decision for found in decided[1:]] == [alone([ask])[0] for ask in asks]
        await one.close()

    asyncio.run(run())


def test_a_query_whose_caller_is_gone_is_never_encoded(folder: Path) -> None:
    async def run() -> None:
        one = decider(folder)
        with GatedEncoder.closed():
            first = asyncio.create_task(one.decide(Ask("stop" + LONG)))
            await stopped()
            gone = asyncio.create_task(one.decide(Ask("gone" + LONG)))
            kept = asyncio.create_task(one.decide(Ask("kept" + LONG)))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            GatedEncoder.gate.set()
            await asyncio.gather(first, kept)
            assert GatedEncoder.batches == [("stop",), ("kept",)]
        assert gone.cancelled()
        await one.close()

    asyncio.run(run())


def test_a_query_that_cannot_be_decided_fails_alone(folder: Path) -> None:
    async def run() -> None:
        one = decider(folder)
        with GatedEncoder.closed():
            first = asyncio.create_task(one.decide(Ask("stop" + LONG)))
            await stopped()
            asks = [Ask("easy" + LONG), Ask(" " * 20_000), Ask("hard" + LONG)]
            tasks = [asyncio.create_task(one.decide(ask)) for ask in asks]
            await asyncio.sleep(0)
            GatedEncoder.gate.set()
            found = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert isinstance(found[2], DataError)
        assert not any(isinstance(found[place], BaseException) for place in (0, 1, 3))
        await one.close()

    asyncio.run(run())


def test_an_image_is_read_from_its_data_url(folder: Path) -> None:
    async def run() -> None:
        one = decider(folder)
        url = "data:image/png;base64," + base64.b64encode(b"medium").decode()
        seen = await one.decide(Ask("query"), url)
        assert seen.decision.scores == one.loaded.pipeline.decide("query medium").scores
        assert seen.decision.scores != one.loaded.pipeline.decide("query").scores
        with pytest.raises(DataError, match="base64"):
            await one.decide(Ask("query"), "data:image/png;base64,%%%")
        await one.close()

    asyncio.run(run())


def test_closing_decides_what_waits(folder: Path) -> None:
    async def run() -> None:
        one = decider(folder)
        with GatedEncoder.closed():
            tasks = [asyncio.create_task(one.decide(Ask("stop" + LONG)))]
            await stopped()
            tasks += [asyncio.create_task(one.decide(Ask(f"query {n}" + LONG))) for n in range(3)]
            await asyncio.sleep(0)
            closing = asyncio.create_task(one.close())
            await asyncio.sleep(0)
            GatedEncoder.gate.set()
            await asyncio.gather(closing, *tasks)
        await one.close()  # again does no harm

    asyncio.run(run())


@pytest.mark.usefixtures("any_time_is_quick")
def test_a_new_pipeline_takes_over_while_the_old_one_decides(folder: Path, tmp_path: Path) -> None:
    async def run() -> None:
        metrics = CountedMetrics()
        one = decider(folder, metrics)
        old = one.loaded
        save_pipeline(tmp_path, router="knn:k=3")
        with GatedEncoder.closed():
            before = asyncio.create_task(one.decide(Ask("stop" + LONG)))
            await stopped()  # under way with the old pipeline
            waits = asyncio.create_task(one.decide(Ask("waits" + LONG)))
            await asyncio.sleep(0)
            new = await one.reload(tmp_path)
            behind = asyncio.create_task(one.decide(Ask("waits" + LONG)))
            await asyncio.sleep(0)
            assert one.loaded is new
            assert new.id != old.id
            after = await one.decide(Ask("easy task1"))
            GatedEncoder.gate.set()
            assert (await before).loaded is old
            # asked before and after the change, decided in one go
            assert ((await waits).loaded, (await behind).loaded) == (old, new)
            assert (await waits).decision == old.pipeline.decide("waits" + LONG)
            assert (await behind).decision == new.pipeline.decide("waits" + LONG)
            assert (await waits).decision != (await behind).decision
        assert after.loaded is new
        assert after.decision == RoutingPipeline.load(tmp_path).decide("easy task1")
        assert metrics.reloads == [True]
        await one.close()

    asyncio.run(run())


def _damaged(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")


def _other_probes(folder: Path) -> None:
    def change(described: dict[str, Any]) -> None:
        described["baseline"]["probes"][0]["scores"][0] += 1.0

    change_description(folder, change)


def _other_probe_costs(folder: Path) -> None:
    def change(described: dict[str, Any]) -> None:
        described["baseline"]["probes"][-1]["predicted_cost_usd"][0] *= 20

    change_description(folder, change)


def _flipped(folder: Path) -> None:
    description = bytearray((folder / "pipeline.json").read_bytes())
    description[len(description) // 2] ^= 4
    (folder / "pipeline.json").write_bytes(description)


def _probes_of_another_pool(folder: Path) -> None:
    def change(described: dict[str, Any]) -> None:
        described["baseline"]["probes"][0]["scores"].append(0.5)

    change_description(folder, change)


def _no_graph(folder: Path) -> None:
    graph = np.frombuffer(b"no graph", dtype=np.uint8)
    change_arrays(folder, lambda arrays: arrays.update({"scorer.graph": graph}))


def _to_another_host(folder: Path) -> None:
    settings = {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "PATH"}

    def change(described: dict[str, Any]) -> None:
        described["encoder"].update(name="openai", settings=settings)

    change_description(folder, change)


def _another_model(folder: Path) -> None:
    def change(described: dict[str, Any]) -> None:
        renamed = json.loads(json.dumps(described).replace('"large"', '"huge"'))
        described.update(renamed)

    change_description(folder, change)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_damaged, "SHA-256"),
        (_other_probes, "self-test: of the stored probes, scores now and when it was made"),
        (_other_probe_costs, "of the stored probes, predicted costs now and when it was made"),
        (_another_model, "models that the gateway does not have: huge"),
        (lambda folder: (folder / "pipeline.json").unlink(), "though weights.safetensors is"),
        (_flipped, "its last field must be the SHA-256"),
        (_probes_of_another_pool, "does not fit together"),
        (_no_graph, "the graph that decides cannot be run"),
        (_to_another_host, r"encoder\.settings\.base_url: a pipeline is data"),
    ],
)
def test_a_bad_pipeline_is_refused_and_the_old_one_goes_on(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    async def run() -> None:
        metrics = CountedMetrics()
        one = decider(folder, metrics)
        old = one.loaded
        spoil(save_pipeline(tmp_path))
        with pytest.raises(PipelineError, match=message):
            await one.reload(tmp_path)
        assert one.loaded is old
        assert metrics.reloads == [False]
        assert (await one.decide(Ask("easy task1"))).loaded is old

    asyncio.run(run())


def test_scores_that_are_not_finite_are_found_by_the_self_test(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from equirouter.pipeline.scorer import Scorer

    call = Scorer.__call__

    def broken(self: Scorer, embeddings: Any) -> Any:
        scores, costs = call(self, embeddings)
        scores[-1, 0] = float("nan")
        return scores, costs

    monkeypatch.setattr(Scorer, "__call__", broken)
    with pytest.raises(PipelineError, match="finite"):
        decider(folder)


def test_models_that_are_not_served_must_be_named(folder: Path) -> None:
    settings = PipelineSettings(path=folder)
    with pytest.raises(PipelineError, match=r"does not have: middle.*ignored_models"):
        DecisionThread(settings, ["small", "large"], CountedMetrics())
    settings = PipelineSettings(path=folder, ignored_models=frozenset({"middle"}))
    one = DecisionThread(settings, ["small", "large", "extra"], CountedMetrics())
    assert one.loaded.strongest == "large"
    assert one.loaded.expected_share("lambda", 1.0) is None  # of a pool that is not this one
    none = PipelineSettings(path=folder, ignored_models=frozenset(MODELS))
    with pytest.raises(PipelineError, match="all are ignored"):
        DecisionThread(none, ["extra"], CountedMetrics())


def test_the_strongest_of_those_served_is_found_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert decider(folder).loaded.strongest == "large"
    assert not caplog.records
    settings = PipelineSettings(path=folder, ignored_models=frozenset({"large"}))
    one = DecisionThread(settings, ["small", "middle"], CountedMetrics())
    assert one.loaded.strongest == "middle"
    assert "strongest model, large, is not served" in caplog.text


def test_the_expected_share_is_that_of_calibration(folder: Path) -> None:
    loaded = decider(folder).loaded
    baseline = loaded.pipeline.baseline
    curve = baseline.strongest_share["lambda"]
    assert loaded.expected_share("lambda", curve.points[0]) == curve.share[0]
    assert loaded.expected_share("no such setting", 1.0) is None
