import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import numpy_helper

from equirouter.arrays import Float32Array
from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.encoders.minilm.quantise import ActivationRanges, scale_and_zero, whole_rows
from equirouter.errors import ConfigError, DataError, PipelineError
from tests.encoders.toymodel import write_toy_model


@pytest.fixture(scope="module")
def texts(mixed_texts: list[str]) -> list[str]:
    return mixed_texts[::5]


@pytest.fixture(scope="module")
def training_texts(mixed_texts: list[str]) -> list[str]:
    return mixed_texts[1:200:7]


@pytest.fixture(scope="module")
def int8(model_folder: Path, training_texts: list[str]) -> MiniLMEncoder:
    encoder = MiniLMEncoder(window="head", weights=model_folder, precision="int8", threads=1)
    return encoder.fit(training_texts)


@pytest.fixture(scope="module")
def together(int8: MiniLMEncoder, texts: list[str]) -> Float32Array:
    return int8.encode(texts)


def test_whole_numbers_by_hand() -> None:
    rows = np.array([[1.0, -2.0, 0.25], [0.0, 0.0, 0.0]], dtype=np.float32)
    whole, scale = whole_rows(rows, 64)
    assert scale.tolist() == [2 / 64, 1.0]  # a row of zeros has a scale that can be divided by
    assert whole.tolist() == [[32, -64, 8], [0, 0, 0]]


@pytest.mark.parametrize(
    ("least", "largest", "steps", "zero"),
    [
        ([-1.0, 0.5], [1.0, 4.1], 50, 50),  # from -1 to 4.1 in 255 steps of 0.02: 0 is step 50
        ([1.0, 2.0], [2.0, 5.1], 50, 0),  # 0 is in the range, although no channel reached it
        ([-5.1, -2.0], [-2.0, -1.0], 50, 255),
        ([0.0, 0.0], [0.0, 0.0], 1, 0),
    ],
)
def test_scale_and_zero_by_hand(
    least: list[float], largest: list[float], steps: int, zero: int
) -> None:
    scale, zero_point = scale_and_zero(np.array(least, np.float32), np.array(largest, np.float32))
    assert 1 / float(scale) == pytest.approx(steps)  # steps to 1
    assert int(zero_point) == zero


@given(hnp.arrays(np.float32, (3, 5), elements=st.floats(-100, 100, width=32)))
def test_a_whole_number_is_within_half_a_step(rows: Float32Array) -> None:
    rows = np.where(np.abs(rows) < 1e-20, np.float32(0), rows)  # where 1e-40 / 64 has no digits
    whole, scale = whole_rows(rows, 64)
    assert np.abs(whole).max() <= 64
    assert (np.abs(whole * scale[:, None] - rows) <= 0.501 * scale[:, None]).all()


def test_it_is_near_to_fp32(
    head: MiniLMEncoder, together: Float32Array, texts: list[str], training_texts: list[str]
) -> None:
    assert not set(texts) <= set(training_texts)
    cosine = (together * head.encode(texts)).sum(axis=1)
    assert cosine.min() > 0.98
    assert np.median(cosine) > 0.99
    assert cosine.max() < 0.9999  # it is not fp32 after all


def test_a_vector_has_the_same_bits_in_any_company(
    int8: MiniLMEncoder, together: Float32Array, texts: list[str]
) -> None:
    np.testing.assert_array_equal(int8.encode(texts[::-1])[::-1], together)
    alone = np.concatenate([int8.encode([text]) for text in texts[:10]])
    np.testing.assert_array_equal(alone, together[:10])
    # of one length, so that they run together
    same = [f"{color} stones lie near the old river" for color in ("red", "blue", "green", "grey")]
    alone = np.concatenate([int8.encode([text]) for text in same])
    np.testing.assert_array_equal(int8.encode(same), alone)


def test_another_machine_needs_no_training_texts(
    int8: MiniLMEncoder,
    together: Float32Array,
    texts: list[str],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path))  # the graph is not there
    other = MiniLMEncoder(window="head", weights=model_folder, precision="int8", threads=2)
    other.restore(int8.state())
    assert other.fingerprint == int8.fingerprint
    np.testing.assert_array_equal(other.encode(texts), together)
    assert len(list((tmp_path / "graphs").glob("*-int8-*.onnx"))) == 1


def test_no_processor_adds_more_than_16_bits_hold(int8: MiniLMEncoder, tmp_path: Path) -> None:
    # two activations of 255 times two weights: 2 * 255 * 64 = 32,640 < 32,768
    weights = dict(int8_weights(int8, tmp_path))
    assert len(weights) == 24
    assert sum(weight.size for weight in weights.values()) == 6 * 12 * 384 * 384
    assert max(np.abs(weight.astype(int)).max() for weight in weights.values()) == 64


def int8_weights(encoder: MiniLMEncoder, cache: Path) -> list[tuple[str, np.ndarray]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIROUTER_CACHE_DIR", str(cache))
        again = MiniLMEncoder(window="head", weights=encoder.weights, precision="int8")
        again.restore(encoder.state()).encode(["made now"])
    [file] = (cache / "graphs").glob("*-int8-*.onnx")
    graph = onnx.load(file).graph
    products = {node.input[1] for node in graph.node if node.op_type == "MatMulIntegerToFloat"}
    return [(t.name, numpy_helper.to_array(t)) for t in graph.initializer if t.name in products]


def test_what_it_learned_is_in_the_fingerprint(
    int8: MiniLMEncoder, head: MiniLMEncoder, model_folder: Path
) -> None:
    other = MiniLMEncoder(window="head", weights=model_folder, precision="int8")
    assert other.learns
    assert not head.learns
    other.fit(["The ranges of one text are not those of many."])
    fingerprints = {int8.fingerprint, head.fingerprint, other.fingerprint}
    assert len(fingerprints) == 3
    before = other.encode(["why?"])
    other.restore(int8.state())
    assert other.fingerprint == int8.fingerprint
    assert np.abs(other.encode(["why?"]) - before).max() > 1e-4  # not the graph of before


def test_fitting_needs_texts_and_numbers(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be fitted on no texts"):
        MiniLMEncoder(weights=model_folder, precision="int8").fit([])
    onnx_only = MiniLMEncoder(weights=write_toy_model(tmp_path), precision="int8")
    with pytest.raises(ConfigError, match=r"model\.onnx: precision='int8' is made from model\.saf"):
        onnx_only.fit(["cat"])


def test_weights_in_a_folder_do(model_folder: Path, tmp_path: Path, int8: MiniLMEncoder) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(model_folder / name, tmp_path)
    copied = MiniLMEncoder(window="head", weights=tmp_path, precision="int8")
    assert copied.restore(int8.state()).fingerprint == int8.fingerprint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "nothing found"),
        (np.zeros((2, 16128)), "float64"),
        (np.zeros((2, 7), dtype=np.float32), r"\(2, 7\) found, float32 \(2, 16128\) expected"),
        (np.full((2, 16128), np.nan, dtype=np.float32), "not ranges"),
        (np.array([[1.0] * 16128, [0.0] * 16128], dtype=np.float32), "not ranges"),
    ],
)
def test_ranges_that_are_none_are_refused(values: np.ndarray | None, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        ActivationRanges.restore(values)
    encoder = MiniLMEncoder(precision="int8")
    with pytest.raises(PipelineError, match=message):
        encoder.restore({} if values is None else {"activation_ranges": values})
