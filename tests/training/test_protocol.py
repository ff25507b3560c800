"""Descriptions on their way from the table to a router: bench, fit, a pipeline."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.arrays import Float32Array
from equirouter.data.split import split_outcomes
from equirouter.evaluation.benchmark import benchmark
from equirouter.evaluation.results import Results
from equirouter.evaluation.sweeps import sweep_router
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import BudgetPolicy, UtilityPolicy
from equirouter.progress import Progress
from equirouter.routers.networks.irt import MIRTRouter
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import (
    description_notes,
    embedded_descriptions,
    prepare,
    prepare_in_sample,
)
from tests.toys import HashingEncoder, LearningEncoder, make_table

pytest.importorskip("torch", reason="the extra train is not installed")

SPECS = ["graphrouter:epochs=1", "mirt:epochs=1", "nirt:epochs=1"]
TABLE = replace(make_table(), model_descriptions=("a small one", "one between", None))


class Remembering(HashingEncoder):
    """Keeps the texts that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(
        self, texts: tuple[str, ...], images: tuple[str | None, ...], progress: Progress
    ) -> Float32Array:
        self.texts += texts
        return super().embed(texts, images, progress)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Float32Array]:
    """The descriptions that each fit of mirt was given."""
    given: list[Float32Array] = []
    fit = MIRTRouter.fit

    def spy(self: MIRTRouter, *arrays: Any, descriptions: Float32Array, **rest: Any) -> MIRTRouter:
        given.append(descriptions)
        return fit(self, *arrays, descriptions=descriptions, **rest)

    monkeypatch.setattr(MIRTRouter, "fit", spy)
    return given


def bench(routers: Sequence[str], encoder: HashingEncoder, **more: Any) -> Results:
    return benchmark(TABLE, encoder, routers=routers, n_seeds=2, resamples=0, **more)


def test_bench_reads_each_description_once_and_says_what_is_missing() -> None:
    encoder = Remembering()
    results = bench(SPECS, encoder)
    assert set(results.routers) == set(SPECS)
    read = ("a small one", "one between", "large")
    assert [encoder.texts.count(text) for text in read] == [1, 1, 1]
    assert any(note.startswith("no description of 'large'") for note in results.outcomes.notes)


def test_others_read_no_description_and_nothing_is_said() -> None:
    encoder = Remembering()
    results = bench(["knn"], encoder)
    assert "a small one" not in encoder.texts
    assert results.outcomes.notes == ()
    assert embedded_descriptions(encoder, TABLE, ["knn"]) is None
    assert description_notes(TABLE, ["knn"]) == ()


def test_they_are_encoded_with_what_the_encoder_learned_on_each_split(
    told: list[Float32Array],
) -> None:
    encoder = LearningEncoder()
    bench(["mirt:epochs=1"], encoder)
    assert len(told) == 2
    np.testing.assert_array_equal(told[1], encoder.encode(["a small one", "one between", "large"]))


def test_they_are_made_beside_embeddings_that_were_given(told: list[Float32Array]) -> None:
    encoder = Remembering()
    embeddings = HashingEncoder().encode(TABLE.texts)
    bench(["mirt:epochs=1"], encoder, embeddings=embeddings)
    assert encoder.texts == ["a small one", "one between", "large"]
    np.testing.assert_array_equal(told[0], HashingEncoder().encode(encoder.texts))


@pytest.mark.parametrize("name", ["graphrouter", "mirt", "nirt", "mirt:original"])
def test_a_saved_pipeline_decides_and_reads_no_description(name: str, tmp_path: Path) -> None:
    encoder = Remembering()
    made = train(TABLE, encoder, router=f"{name}:epochs=2", quality=0.5)
    assert made.provenance.data["notes"][0].startswith("no description of 'large'")
    made.save(tmp_path)
    encoder.texts.clear()
    again = RoutingPipeline.load(tmp_path, encoder=encoder)
    queries = list(TABLE.texts[:5])
    decided = [again.decide(query, budget_usd=0.002) for query in queries]
    assert decided == [made.decide(query, budget_usd=0.002) for query in queries]
    assert set(encoder.texts) <= set(queries)


pytest.importorskip("torch")


def test_every_complete_query_is_trained_on_and_measured() -> None:
    table = make_table(60, incomplete=3)
    embeddings = HashingEncoder().encode(table.texts)
    found = prepare_in_sample(table, embeddings, device="cpu")
    assert found.train.rows.tolist() == list(range(60))
    assert found.test.rows.tolist() == list(range(3, 60))
    assert found.validation.rows.tolist() == found.test.rows.tolist()
    assert found.n_incomplete_test == 3


def test_a_router_that_remembers_is_perfect_on_what_it_saw() -> None:
    # the one nearest neighbour of a query is itself, so its scores are the outcomes
    table = make_table(60, incomplete=0)
    embeddings = np.eye(60, dtype=np.float32)
    prepared = prepare_in_sample(table, embeddings, device="cpu")
    router = fit_router("knn:k=1", prepared, seed=1, device="cpu")
    swept = sweep_router(router, prepared, BudgetPolicy(), seed=1, cost_usd=table.cost_usd)
    assert swept.metric("rci") == 0.0
    assert swept.metric("peak_score") == pytest.approx(table.performance.max(axis=1).mean())


def test_a_sweep_takes_the_costs_that_it_is_given() -> None:
    table = make_table(60, incomplete=0)
    prepared = prepare_in_sample(table, HashingEncoder().encode(table.texts), device="cpu")
    router = fit_router("strongest", prepared, seed=1)
    # costs of 1, 2 and 3 USD: only the first model fits a budget of 1, and all fit one of 3
    costs = np.tile([1.0, 2.0, 3.0], (60, 1))
    swept = sweep_router(
        router, prepared, BudgetPolicy(), seed=1, cost_usd=costs, n_points=2, resamples=5
    )
    assert swept.points.tolist() == [1.0, 3.0]
    assert swept.share_of(0)[0] == 1.0
    assert swept.share_of(prepared.strongest)[1] == 1.0
    draws = swept.measurement.drawn("nauc")
    assert draws is not None
    assert draws.shape == (5,)
    assert sweep_router(router, prepared, UtilityPolicy(), seed=1).measurement.drawn("nauc") is None


def test_training_and_validation_part_are_views_of_one_copy_of_their_embeddings() -> None:
    embeddings = HashingEncoder().encode(TABLE.texts)
    split = split_outcomes(TABLE)
    prepared = prepare(TABLE, embeddings, split)
    for part in (prepared.train, prepared.validation, prepared.learnable):
        assert np.shares_memory(part.embeddings, prepared.both.embeddings)
    np.testing.assert_array_equal(prepared.train.embeddings, embeddings[split.train])
    assert [*prepared.learnable.rows] == [*prepared.train.rows, *prepared.validation.rows]


def test_a_query_of_both_parts_is_learned_from_once() -> None:
    prepared = prepare_in_sample(TABLE, HashingEncoder().encode(TABLE.texts))
    assert len(prepared.both.rows) > TABLE.n_queries
    assert [*prepared.learnable.rows] == [*range(TABLE.n_queries)]
