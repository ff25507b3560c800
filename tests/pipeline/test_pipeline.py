"""A pipeline in memory, saved, and loaded again: the same decisions, bit for bit."""

import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.arrays import Float32Array
from equirouter.errors import ConfigError, DataError, PipelineError
from equirouter.evaluation.train import train
from equirouter.pipeline.decision import Ask
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.registry import ENCODERS
from tests.toys import HashingEncoder, LearningEncoder, make_table

QUERIES = ("easy task1 query", "medium task2 query", "hard task3 query", "words never seen")
CONTROLS: tuple[dict[str, Any], ...] = (
    {},
    {"budget_usd": 0.002},
    {"budget_usd": 1e-9},
    {"quality": 0.2},
    {"lambda_": 50.0},
)


@pytest.fixture(scope="module", params=["equirouter:epochs=2", "mlp:epochs=2", "knn:k=5"])
def made(request: pytest.FixtureRequest) -> RoutingPipeline:
    return train(make_table(), HashingEncoder(), router=request.param, quality=0.2)


@pytest.fixture(scope="module")
def folder(made: RoutingPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.save(tmp_path_factory.mktemp("pipeline"))


def test_loaded_decisions_are_the_same_bit_for_bit(made: RoutingPipeline, folder: Path) -> None:
    loaded = RoutingPipeline.load(folder, encoder=HashingEncoder())
    for control in CONTROLS:
        assert loaded.decide_many(QUERIES, **control) == made.decide_many(QUERIES, **control)
    embeddings = HashingEncoder().encode(make_table().texts)
    np.testing.assert_array_equal(
        loaded.stage.router.predict(embeddings), made.stage.router.predict(embeddings)
    )
    assert (loaded.models, loaded.quality, loaded.policy) == (made.models, 0.2, made.policy)
    assert loaded.calibration == made.calibration
    assert loaded.provenance.test_metrics == json.loads(
        json.dumps(made.provenance.test_metrics, allow_nan=False)
    )


def test_a_pickled_pipeline_decides_the_same_bit_for_bit(
    made: RoutingPipeline, folder: Path
) -> None:
    loaded = RoutingPipeline.load(folder, encoder=HashingEncoder())
    before = pickle.loads(pickle.dumps(loaded))  # noqa: S301
    decisions = loaded.decide_many(QUERIES)
    after = pickle.loads(pickle.dumps(loaded))  # noqa: S301
    assert before.decide_many(QUERIES) == after.decide_many(QUERIES) == decisions
    assert pickle.loads(pickle.dumps(decisions)) == decisions  # noqa: S301
    assert before.digest == after.digest == loaded.digest
    assert pickle.loads(pickle.dumps(made)).decide_many(QUERIES) == decisions  # noqa: S301


def test_a_stream_of_any_length_is_decided_a_block_at_a_time(made: RoutingPipeline) -> None:
    queries = [f"{QUERIES[row % 4]} {row}" for row in range(600)]
    asked: list[str] = []

    def endless() -> Iterator[Ask]:
        for row in count():
            asked.append(queries[row % 600])
            yield Ask(asked[-1])

    decided = made.decide_stream(endless())
    assert [next(decided) for _ in queries] == made.decide_many(queries)
    assert len(asked) < 1000


def test_a_confidence_is_kept_and_buys_a_more_expensive_operating_point(tmp_path: Path) -> None:
    plain = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2)
    sure = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2, confidence=0.99)
    loaded = RoutingPipeline.load(sure.save(tmp_path), encoder=HashingEncoder())
    assert (plain.confidence, loaded.confidence) == (None, 0.99)
    decision = loaded.decide(QUERIES[0], quality=0.6)
    assert decision.value == sure.calibration.operating_point(0.6, 0.99).value
    assert decision.value < plain.decide(QUERIES[0], quality=0.6).value  # less lambda costs more


def test_saving_what_was_loaded_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    again = RoutingPipeline.load(folder, encoder=HashingEncoder()).save(tmp_path)
    for name in ("pipeline.json", "weights.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_what_it_did_when_it_was_made_is_kept(made: RoutingPipeline, folder: Path) -> None:
    baseline = RoutingPipeline.load(folder, encoder=HashingEncoder()).baseline
    assert baseline == made.baseline
    assert baseline.strongest == "large"
    assert set(baseline.strongest_share) == {"budget_usd", "lambda"}
    # without a limit the most expensive, best model is chosen most; a tiny budget never buys it
    assert baseline.expected_share("budget_usd", 1.0) == pytest.approx(
        max(baseline.strongest_share["budget_usd"].share)
    )
    assert baseline.expected_share("budget_usd", 1e-9) == 0.0
    for probe in baseline.probes:
        said = made.decide(probe.query, budget_usd=1.0)  # a budget reads the scores as they are
        assert tuple(said.scores.values()) == probe.scores
        assert tuple(said.predicted_costs_usd.values()) == probe.predicted_cost_usd
    assert len(baseline.probes) == len({probe.query for probe in baseline.probes}) > 3


def test_a_pipeline_whose_encoder_cannot_be_asked_has_no_probes() -> None:
    class Closed(HashingEncoder):
        def embed(self, *_: object) -> Float32Array:
            raise DataError("the endpoint is down")

    table = make_table()
    made = train(
        table,
        Closed(),
        router="knn:k=5",
        quality=0.2,
        embeddings=HashingEncoder().encode(table.texts),
    )
    assert made.baseline.probes == ()
    assert any("endpoint is down" in note for note in made.provenance.data["notes"])


def test_the_validation_queries_are_kept(made: RoutingPipeline, folder: Path) -> None:
    record = RoutingPipeline.load(folder, encoder=HashingEncoder()).record
    assert made.calibration.n_queries == len(record.performance)
    assert record.performance.mean(axis=0)[2] == made.calibration.strongest_performance
    assert record.cost_usd.tobytes() == made.record.cost_usd.tobytes()
    assert record.embeddings.shape == (len(record.performance), 32)
    assert record.tokens is None


DECIDE = """
import sys
from equirouter.registry import ENCODERS
ENCODERS._paths["toy"] = "tests.toys:HashingEncoder"
from equirouter.pipeline.pipeline import RoutingPipeline
decision = RoutingPipeline.load(sys.argv[1]).decide(sys.argv[2])
unwanted = {"torch", "sklearn", "pandas", "onnx", "pyarrow", "equirouter.evaluation"}
print(decision.model, sorted(unwanted & set(sys.modules)))
"""


def test_deciding_in_a_new_process_loads_no_torch(made: RoutingPipeline, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DECIDE, str(folder), QUERIES[2]],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{made.decide(QUERIES[2]).model} []\n"


def test_fallbacks_and_fit_follow_from_scores_and_costs(made: RoutingPipeline) -> None:
    decision = made.decide(QUERIES[1], budget_usd=0.002)
    costs, scores = decision.predicted_costs_usd, decision.scores
    affordable = [model for model in made.models if costs[model] <= 0.002]
    by_score = sorted(affordable, key=lambda model: (-scores[model], costs[model]))
    assert [decision.model, *decision.fallbacks] == by_score
    assert decision.fits
    over = made.decide(QUERIES[1], budget_usd=1e-9)
    assert (over.model, over.fits, over.fallbacks) == (min(costs, key=costs.__getitem__), False, ())


def test_a_share_of_nothing_is_not_promised() -> None:
    table = make_table()
    free = np.array(table.cost_usd)
    free[:, 2] = 0.0
    nothing = dataclasses.replace(table, performance=np.zeros(free.shape))
    for wrong, words in (
        (dataclasses.replace(table, cost_usd=free), "strongest model cost nothing on the 12"),
        (nothing, "mean performance of 0 on the 12"),
    ):
        with pytest.raises(DataError, match=words):
            train(wrong, HashingEncoder(), router="linear", quality=0.2, resamples=0)


def test_no_query_gives_no_decision(made: RoutingPipeline) -> None:
    assert made.decide_many([]) == []


def test_a_calibrated_budget_of_zero_takes_what_costs_nothing() -> None:
    table = make_table(incomplete=0)
    costs = np.array(table.cost_usd)
    costs *= np.array([0.0, 0.01, 1.0])  # the grid of budgets has one point below 0.00001 USD: 0
    free = dataclasses.replace(table, cost_usd=costs)
    made = train(free, HashingEncoder(), router="knn:k=5", policy="budget", quality=0.01)
    decision = made.decide("easy task1 query")
    assert (decision.model, decision.fits) == ("small", True)
    assert decision.value < 1e-12


@pytest.mark.parametrize("query", ["", " \n", "\ud800"])
def test_a_query_without_text_is_refused(query: str, made: RoutingPipeline) -> None:
    with pytest.raises(DataError, match="text 0 is"):
        made.decide(query)


def test_one_control_at_a_time(made: RoutingPipeline) -> None:
    with pytest.raises(ConfigError, match="budget_usd and lambda exclude each other"):
        made.decide("x", budget_usd=1.0, lambda_=1.0)


def test_another_encoder_is_refused(folder: Path) -> None:
    with pytest.raises(PipelineError, match="has fingerprint toy-other-32"):
        RoutingPipeline.load(folder, encoder=HashingEncoder(salt="other"))


def test_an_encoder_of_another_name_is_refused_by_its_name(folder: Path) -> None:
    class Named(HashingEncoder):
        name = "named"

    with pytest.raises(PipelineError, match="with encoder toy, and named was given"):
        RoutingPipeline.load(folder, encoder=Named())


def test_many_embeddings_are_decided_as_each_query_alone(made: RoutingPipeline) -> None:
    texts = [f"{text} {number}" for number in range(300) for text in QUERIES]
    embeddings = HashingEncoder().encode(texts)
    for control in CONTROLS:
        choices = made.decide_many(embeddings=embeddings, **control)
        for row in range(0, len(texts), 97):
            decision = made.decide(texts[row], **control)
            assert choices.models[choices.chosen[row]] == decision.model
            assert float(choices.predicted_cost_usd[row]) == decision.predicted_cost_usd
            assert (bool(choices.fits[row]), choices.value) == (decision.fits, decision.value)
        again = made.decide_many(embeddings=embeddings[:5], **control)
        np.testing.assert_array_equal(again.chosen, choices.chosen[:5])
        np.testing.assert_array_equal(again.predicted_cost_usd, choices.predicted_cost_usd[:5])


def test_many_texts_are_encoded_block_by_block(
    made: RoutingPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [f"easy task{number % 3} query {number}" for number in range(25)]
    whole = made.decide_many(queries, budget_usd=0.001)
    monkeypatch.setattr("equirouter.pipeline.pipeline.TEXTS_AT_ONCE", 10)
    sizes: list[int] = []
    encode = made.stage.encoder.encode

    def counted(texts: list[str], images: None = None) -> Float32Array:
        sizes.append(len(texts))
        return encode(texts, images)

    monkeypatch.setattr(made.stage.encoder, "encode", counted)
    assert made.decide_many(queries, budget_usd=0.001) == whole
    assert sizes == [10, 10, 5]


def test_embeddings_are_refused_where_nothing_fits_and_that_is_asked() -> None:
    made = train(
        make_table(),
        HashingEncoder(),
        router="mlp:epochs=2",
        quality=0.2,
        when_nothing_fits="refuse",
    )
    choices = made.decide_many(embeddings=HashingEncoder().encode(QUERIES), budget_usd=1e-9)
    assert choices.chosen.tolist() == [-1] * len(QUERIES)
    assert np.isnan(choices.predicted_cost_usd).all()
    assert not choices.fits.any()


def test_embeddings_of_another_width_are_refused(made: RoutingPipeline) -> None:
    with pytest.raises(DataError, match=r"shape \(2, 3\): expected \(n_queries, 32\)"):
        made.decide_many(embeddings=np.zeros((2, 3), np.float32))


def test_decide_many_takes_one_of_the_two(made: RoutingPipeline) -> None:
    with pytest.raises(ConfigError, match="either queries or embeddings"):
        made.decide_many()  # type: ignore[call-overload]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy encoders by name, as those of another package would be."""
    paths = {"toy": "tests.toys:HashingEncoder", "learning": "tests.toys:LearningEncoder"}
    monkeypatch.setattr(ENCODERS, "_paths", ENCODERS._paths | paths)


@pytest.mark.usefixtures("known")
def test_what_an_encoder_learned_is_saved_with_the_pipeline(tmp_path: Path) -> None:
    encoder = LearningEncoder()
    made = train(make_table(incomplete=0), encoder, router="knn:k=5", quality=0.2)
    assert len(encoder.seen) == round(0.3 * 120)  # the training part and nothing else
    loaded = RoutingPipeline.load(made.save(tmp_path))
    assert loaded.stage.encoder.fingerprint == encoder.fingerprint
    assert loaded.decide_many(QUERIES) == made.decide_many(QUERIES)
