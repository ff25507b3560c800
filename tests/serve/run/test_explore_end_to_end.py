"""Requests are explored, rated, exported, and tell which pipeline is better: all parts are real."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from equirouter.data.outcomes import Outcomes
from equirouter.data.tables import read_table, write_table
from equirouter.evaluation.off_policy.comparing import compare_from_log
from equirouter.evaluation.train import train
from equirouter.pipeline import RoutingPipeline
from equirouter.serve.money.log_export import export_log
from equirouter.serve.money.store.store import connected
from tests.serve import fake_upstream as fake
from tests.serve.assembled import assembled
from tests.serve.pipelines import GatedEncoder
from tests.toys import make_table

NAMES = {"small": "a", "middle": "b", "large": "c"}  # of the pipeline, and of their upstreams
REQUESTS = 300


async def served(folder: Path, store: Path, world: Outcomes) -> Outcomes:
    """The log of a gateway that is asked all queries of a world, and told how each answer was."""
    usage = {"prompt_tokens": 20, "completion_tokens": 10}
    models: dict[str, Any] = {
        name: {"upstream": place, "price": {"input": price, "output": price}}
        for (name, place), price in zip(NAMES.items(), (1.0, 10.0, 100.0), strict=True)
    }
    async with assembled(
        store,
        models=models,
        pipeline={"path": folder},
        explore={"share": 0.5},
        log={"log_texts": True},
    ) as here:
        assert here.gateway.explorer is not None
        here.gateway.explorer.draw = Random(0).random  # else one interval in twenty misses
        for name in NAMES:
            here.upstream.answers(name, fake.document(fake.completion("7", usage=usage)))
        for row, text in enumerate(world.texts):
            body = {"model": "equirouter/auto", "messages": [{"role": "user", "content": text}]}
            answer = await here.http.post("/v1/chat/completions", json=body)
            assert answer.status == 200
            column = world.models.index(answer.headers["x-equirouter-model"])
            said = {
                "request_id": answer.headers["x-equirouter-request-id"],
                "score": world.performance[row, column],
            }
            assert (await here.ask("POST", "/v1/feedback", json=said))[0] == 200
        settings = here.gateway.settings.store
    async with connected(settings) as database:
        return (await database.read(export_log)).table


def test_a_log_that_explored_tells_which_pipeline_is_better(tmp_path: Path) -> None:
    GatedEncoder.gate.set()
    made = train(make_table(), GatedEncoder(), router="knn:k=5", quality=0.3)
    world = make_table(REQUESTS, seed=9, incomplete=0)
    table = asyncio.run(served(made.save(tmp_path / "pipeline"), tmp_path, world))
    assert table.n_queries == REQUESTS
    assert table.propensity is not None
    called = np.isfinite(table.performance)
    assert called.sum() == REQUESTS
    assert {0.2, 0.3, 0.5} == set(table.propensity.ravel().round(4))
    write_table(table, tmp_path / "log.parquet")
    again = read_table(tmp_path / "log.parquet")
    found = compare_from_log(_loaded(tmp_path), replace(_loaded(tmp_path), quality=1.0), again)
    row = np.arange(REQUESTS)
    chosen = [world.models.index(str(made.decide(text).model)) for text in world.texts]
    truth = world.performance[:, 2].mean() - world.performance[row, chosen].mean()
    assert found.performance.low < truth < found.performance.high
    assert found.performance.low > 0 > -found.cost_usd.low  # better, and more expensive


def _loaded(folder: Path) -> RoutingPipeline:
    return RoutingPipeline.load(folder / "pipeline", encoder=GatedEncoder())
