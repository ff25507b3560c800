"""`export`: the decision as an ONNX file."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

from equirouter.pipeline.pipeline import RoutingPipeline
from tests.cli.invoke import invoke
from tests.toys import HashingEncoder

QUERIES = ["easy task1 query", "hard task2 query", "words never seen"]


def test_the_file_gives_the_numbers_of_the_pipeline(ranking_pipeline: Path, tmp_path: Path) -> None:
    file = tmp_path / "decision.onnx"
    ran = invoke("export", ranking_pipeline, "--out", file, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["models"] == ["small", "middle", "large"]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"embeddings": HashingEncoder().encode(QUERIES)})
    numbers = dict(zip(names, found, strict=True))
    loaded = RoutingPipeline.load(ranking_pipeline)
    for row, query in enumerate(QUERIES):
        decision = loaded.decide(query, budget_usd=1.0)
        scores, costs = decision.scores.values(), decision.predicted_costs_usd.values()
        np.testing.assert_array_equal(numbers["scores"][row], np.array(list(scores), np.float32))
        np.testing.assert_array_equal(
            numbers["predicted_cost_usd"][row], np.array(list(costs), np.float32)
        )
        scaled = loaded.decide(query, lambda_=1.0).scores.values()
        np.testing.assert_allclose(
            numbers["expected_performance"][row], list(scaled), rtol=1e-5, atol=1e-6
        )


def test_a_router_that_is_no_network_is_refused(pipeline: Path, tmp_path: Path) -> None:
    ran = invoke("export", pipeline, "--out", tmp_path / "decision.onnx")
    assert ran.code == 2
    assert "KNNRouter cannot be exported" in ran.err
    assert not list(tmp_path.iterdir())
