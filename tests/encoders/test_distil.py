from pathlib import Path

import numpy as np
import pytest

import equirouter.encoders.distil as module
from equirouter.encoders.distil import distil, kept_table, piece_weights, quantised
from equirouter.encoders.minilm.weights import find_weights
from tests.encoders.toymodel import PIECES, id_of, toy_vectors, write_toy_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "model").mkdir()
    return write_toy_model(tmp_path / "model")


def test_weights_by_hand() -> None:
    # two pieces: 1/2 and 1/3 are in a ratio of 3 to 2, so p = 0.6 and 0.4: far below the bound
    assert piece_weights(2).tolist() == [0.1, 0.1]
    many = piece_weights(30_000)
    harmonic = sum(1 / i for i in range(2, 30_002))
    assert many[-1] == pytest.approx(1e-4 / (1e-4 + 1 / 30_001 / harmonic))
    assert many[0] == 0.1
    assert (np.diff(many) >= 0).all()


def test_quantised_by_hand() -> None:
    whole, scale = quantised(np.array([[1.0, -2.0, 0.0], [0.25, 1.0, 0.0]]))
    # 0.25 * 127 = 31.75; 1.0 * 127 / 2 = 63.5, to the even neighbour
    assert whole.tolist() == [[127, -127, 0], [32, 64, 0]]
    assert scale[:2] == pytest.approx([1 / 127, 2 / 127])


def test_the_table_keeps_the_geometry_of_the_model(folder: Path) -> None:
    # 29 pieces, centred, span 28 axes: so nothing is lost but by rounding to whole numbers
    table = distil(find_weights(folder), 28)
    vectors = toy_vectors().astype(np.float64)
    ends = vectors[id_of("[CLS]")] + vectors[id_of("[SEP]")]
    embedded = vectors + ends  # three tokens: the mean but for a factor
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    used = [i for i, piece in enumerate(PIECES) if piece != "[unused0]"]
    expected = embedded[used] - embedded[used].mean(axis=0)
    from_table = (table.rows * table.scale)[used]
    np.testing.assert_allclose(from_table @ from_table.T, expected @ expected.T, atol=0.01)
    variance = (from_table**2).sum(axis=0)
    assert (np.diff(variance) < 1e-3).all()  # the largest first
    assert table.rows[id_of("[unused0]")].tolist() == [0] * 28
    assert table.weights[id_of("[unused0]")] == 0
    assert table.tokenizer.tobytes() == (folder / "tokenizer.json").read_bytes()


def test_fewer_axes_are_the_first_ones(folder: Path) -> None:
    weights = find_weights(folder)
    np.testing.assert_array_equal(distil(weights, 5).rows, distil(weights, 28).rows[:, :5])


def test_progress_counts_pieces(folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    distil(find_weights(folder), 4, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("distil", len(PIECES) - 1, len(PIECES) - 1)


def test_it_is_made_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = find_weights(folder)
    first = kept_table(weights, 4)
    with monkeypatch.context() as patch:
        patch.setattr(module, "distil", lambda *_, **__: pytest.fail("made again"))
        assert kept_table(weights, 4).digest == first.digest
    assert kept_table(weights, 5).rows.shape == (len(PIECES), 5)


def test_a_damaged_table_is_made_again(folder: Path) -> None:
    first = kept_table(find_weights(folder), 4)
    (kept,) = (folder.parent / "cache").rglob("static/*.safetensors")
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    assert kept_table(find_weights(folder), 4).digest == first.digest
    kept.unlink()
    assert kept_table(find_weights(folder), 4).digest == first.digest
