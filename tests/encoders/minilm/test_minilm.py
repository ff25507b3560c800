import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from equirouter.arrays import Float32Array
from equirouter.encoders import make_encoder
from equirouter.encoders.minilm import MiniLMEncoder
from equirouter.errors import ConfigError, DataError


@pytest.fixture(scope="session")
def together(head: MiniLMEncoder, mixed_texts: list[str]) -> Float32Array:
    return head.encode(mixed_texts)


@pytest.mark.filterwarnings("ignore")  # of the library compared with, not of ours
def test_the_same_vectors_as_sentence_transformers(
    together: Float32Array,
    mixed_texts: list[str],
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("sentence_transformers")
    reference = library.SentenceTransformer(str(model_folder), device="cpu")
    reference.max_seq_length = 256
    expected = reference.encode(mixed_texts, normalize_embeddings=True, show_progress_bar=False)
    cosine = (together * expected).sum(axis=1)
    assert len(cosine) == 200
    assert cosine.min() > 0.9999
    # rounding alone: an approximate GELU differs by 1e-4
    np.testing.assert_allclose(together, expected, atol=3e-6)


def test_a_vector_does_not_depend_on_its_batch(
    head: MiniLMEncoder, together: Float32Array, mixed_texts: list[str]
) -> None:
    order = np.random.default_rng(2).permutation(200)
    shuffled = head.encode([mixed_texts[i] for i in order])
    np.testing.assert_array_equal(shuffled, together[order])
    some = range(0, 200, 5)
    alone = np.concatenate([head.encode([mixed_texts[i]]) for i in some])
    np.testing.assert_array_equal(alone, together[list(some)])


def test_the_same_list_gives_the_same_bits(head: MiniLMEncoder, mixed_texts: list[str]) -> None:
    np.testing.assert_array_equal(head.encode(mixed_texts[:40]), head.encode(mixed_texts[:40]))


def test_windows_read_their_end_of_a_long_text(model_folder: Path) -> None:
    first, last = "cats and dogs " * 90, "tax law " * 130  # both longer than a window
    text = first + last
    head = MiniLMEncoder(window="head", weights=model_folder)
    tail = MiniLMEncoder(window="tail", weights=model_folder)
    both = MiniLMEncoder(window="head+tail", weights=model_folder)
    np.testing.assert_allclose(head.encode([text]), head.encode([first]), atol=1e-6)
    np.testing.assert_allclose(tail.encode([text]), tail.encode([last]), atol=1e-6)
    halves = np.hstack([head.encode([text]), tail.encode([text])])
    np.testing.assert_allclose(both.encode([text]), halves / np.sqrt(2), atol=1e-6)
    assert (head.dimension, tail.dimension, both.dimension) == (384, 384, 768)
    assert len({head.fingerprint, tail.fingerprint, both.fingerprint}) == 3


def test_equal_windows_are_encoded_once(model_folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    both = MiniLMEncoder(window="head+tail", weights=model_folder)
    both.encode(
        ["short", "short", "Short ", "go " * 300],
        progress=lambda *call: calls.append(call),
    )
    # "short" and "Short " have the same pieces; 300 times "go" has the same head and tail
    assert calls[-1] == ("encode", 2, 2)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="no window named 'front'"):
        MiniLMEncoder(window="front")
    with pytest.raises(ConfigError, match="threads=0"):
        MiniLMEncoder(threads=0)
    with pytest.raises(ConfigError, match="no precision 'bf16': one of fp32, int8"):
        MiniLMEncoder(precision="bf16")
    with pytest.raises(ConfigError, match="no device 'gpu': one of cpu, cuda, auto"):
        MiniLMEncoder(device="gpu")
    with pytest.raises(ConfigError, match="device='cuda' computes in fp32 only"):
        make_encoder("lexical+minilm", device="cuda", precision="int8")
    with pytest.raises(ConfigError, match="has no option 'windows': it has window, weights, thr"):
        make_encoder("minilm", windows="head")


def exported_model(width: int = 384) -> bytes:
    """A model with the interface of an export: token t becomes t * (1, 2, 3, ...)."""
    ids, mask, out = "input_ids", "attention_mask", "last_hidden_state"
    scale = np.arange(1, width + 1, dtype=np.float32)
    nodes = [
        helper.make_node("Cast", [ids], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["float", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "scale"], [out]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"])
            for n in (ids, mask, "token_type_ids")
        ],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["b", "s", width])],
        [
            numpy_helper.from_array(np.array([2]), "axis"),
            numpy_helper.from_array(scale, "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_an_exported_model_in_a_folder_is_used_as_it_is(tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(exported_model())
    shutil.copy(model_folder / "tokenizer.json", tmp_path)
    encoder = MiniLMEncoder(window="head", weights=tmp_path)
    # every token vector is a positive multiple of (1, 2, ..., 384), so is their mean
    direction = np.arange(1, 385) / np.sqrt((np.arange(1, 385) ** 2).sum())
    np.testing.assert_allclose(encoder.encode(["a", "b c d"]), [direction] * 2, rtol=1e-5)
    package = MiniLMEncoder(window="head", weights=model_folder)
    assert encoder.fingerprint != package.fingerprint


def test_a_model_of_another_width_is_refused(tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(exported_model(width=12))
    shutil.copy(model_folder / "tokenizer.json", tmp_path)
    with pytest.raises(DataError, match=r"model\.onnx: inputs .* 12"):
        MiniLMEncoder(weights=tmp_path).encode(["a"])


@pytest.mark.parametrize("damage", ["cased", "not json", "another special token"])
def test_another_tokenizer_is_refused(tmp_path: Path, model_folder: Path, damage: str) -> None:
    content = json.loads((model_folder / "tokenizer.json").read_bytes())
    if damage == "cased":
        content["normalizer"]["lowercase"] = False
    if damage == "another special token":
        content["added_tokens"][0]["content"] = "<pad>"
    text = "{" if damage == "not json" else json.dumps(content)
    (tmp_path / "tokenizer.json").write_text(text, "utf-8")
    (tmp_path / "model.onnx").write_bytes(exported_model())
    with pytest.raises(DataError, match=r"tokenizer\.json: not (a|the) tokenizer"):
        MiniLMEncoder(weights=tmp_path).encode(["a"])


def test_a_text_of_200_000_characters_is_a_text_like_others(head: MiniLMEncoder) -> None:
    assert np.linalg.norm(head.encode(["why " * 50_000])) == pytest.approx(1.0, abs=1e-6)


def test_weights_that_give_no_numbers_are_refused(tmp_path: Path, model_folder: Path) -> None:
    model = onnx.load_from_string(exported_model())
    model.graph.initializer[1].CopyFrom(
        numpy_helper.from_array(np.full(384, np.nan, dtype=np.float32), "scale")
    )
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    shutil.copy(model_folder / "tokenizer.json", tmp_path)
    with pytest.raises(DataError, match="embedding of text 0 has values that are not finite"):
        MiniLMEncoder(weights=tmp_path).encode(["a"])
