"""Making ONNX graphs: each test runs what it made."""

import numpy as np
import onnxruntime

from equirouter.onnxgraph import OnnxGraph


def run(content: bytes, x: np.ndarray, *names: str) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return list(session.run(list(names), {"x": x}))


def test_a_layer_a_norm_and_rows_do_what_they_say() -> None:
    graph = OnnxGraph()
    weight, bias = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]), np.array([0.5, 0.0, -1.0])
    layer = graph.affine("layer", "x", weight, bias)
    norm = graph.layer_norm("norm", "x", np.array([2.0, 2.0]), np.array([0.0, 1.0]), 0.0)
    graph.rename(graph.rows(layer, 1), "flat")
    graph.rename(layer, "layer_out")  # it is an input of the reshaping, too
    graph.rename(norm, "norm_out")
    content = graph.serialized(
        "test",
        {"x": ["n", 2]},
        {"layer_out": ["n", 3], "flat": ["m", 1], "norm_out": ["n", 2]},
        {"made": "here"},
    )
    x = np.array([[1.0, 10.0], [5.0, 1.0]], np.float32)
    found, flat, normal = run(content, x, "layer_out", "flat", "norm_out")
    # row 0: 1 + 20 + 0.5, 3 + 40, 10 - 1; row 1: 5 + 2 + 0.5, 15 + 4, 1 - 1
    assert found.tolist() == [[21.5, 43.0, 9.0], [7.5, 19.0, 0.0]]
    assert flat.ravel().tolist() == found.ravel().tolist()
    # two numbers: the smaller is at -1, the larger at 1; times 2, plus 0 and 1
    np.testing.assert_allclose(normal, [[-2.0, 3.0], [2.0, -1.0]], rtol=1e-6)


def test_the_same_steps_give_the_same_bytes_and_a_constant_is_kept_once() -> None:
    def make() -> bytes:
        graph = OnnxGraph()
        first = graph.op("Add", "x", graph.const("one", np.float32(1)))
        graph.op("Add", first, graph.const("one", np.float32(2)), name="y")  # 1 is there already
        return graph.serialized("test", {"x": ["n"]}, {"y": ["n"]}, {"b": "2", "a": "1"})

    assert make() == make()
    assert run(make(), np.zeros(1, np.float32), "y")[0].tolist() == [2.0]
