"""Embeddings in a file: what is mapped, and every file that is refused."""

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equirouter.arrays import Float32Array
from equirouter.data import split_outcomes
from equirouter.encoders import embedding_file
from equirouter.encoders.embedding_file import open_embeddings
from equirouter.errors import DataError
from equirouter.training.fitted import fit_router
from equirouter.training.protocol import prepare
from tests.toys import HashingEncoder, make_table


def unit(n: int, d: int = 5) -> Float32Array:
    rows = np.random.default_rng(0).standard_normal((n, d))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def save(folder: Path, array: object) -> Path:
    path = folder / "embeddings.npy"
    np.save(path, array, allow_pickle=True)  # type: ignore[arg-type]
    return path


def test_the_file_is_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    rows = unit(7)
    embeddings = open_embeddings(save(tmp_path, rows), 7)
    np.testing.assert_array_equal(embeddings, rows)
    assert embeddings.dtype == np.float32
    owner: object = embeddings
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)  # the rows are in the file, not in memory
    assert np.shares_memory(embeddings, embeddings[2:5])
    with pytest.raises(ValueError, match="read-only"):
        embeddings[0, 0] = 1.0


@pytest.mark.parametrize("block_bytes", [1, 60, 10**6])
def test_every_row_is_checked_whatever_the_blocks(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_file, "_BLOCK_BYTES", block_bytes)
    for row in (0, 3, 6):
        rows = unit(7)
        rows[row, 2] = np.inf
        with pytest.raises(DataError, match=f"row {row}, column 2 is inf"):
            open_embeddings(save(tmp_path, rows), 7)
    assert len(open_embeddings(save(tmp_path, unit(7)), 7)) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.astype(np.float64), r"float64, float32 .*astype"),
        (lambda rows: rows.astype(">f4"), "byte order"),
        (lambda rows: rows[:-1], r"shape \(6, 5\), \(7, d\)"),
        (lambda rows: rows[0], r"shape \(5,\)"),
        (lambda rows: rows[:, :0], r"shape \(7, 0\)"),
        (np.asfortranarray, "ascontiguousarray"),
        (lambda rows: rows * 1.01, "row 0 has length 1.01, 1 is expected"),
        (lambda rows: rows * 0, "row 0 has length 0"),
        (lambda rows: rows * np.float32(np.nan), "row 0, column 0 is nan"),
        (lambda rows: rows.astype(object), "no embeddings can be read there"),
    ],
)
def test_what_is_not_as_promised_is_refused(
    change: Callable[[Float32Array], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        open_embeddings(save(tmp_path, change(unit(7))), 7)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npy: no embeddings can be read there"):
        open_embeddings(tmp_path / "nowhere.npy", 1)
    whole = save(tmp_path, unit(7)).read_bytes()
    for content in (b"", b"query_id,query\n", whole[:60], whole[:-4]):
        (tmp_path / "other.npy").write_bytes(content)
        with pytest.raises(DataError, match="no embeddings can be read there"):
            open_embeddings(tmp_path / "other.npy", 7)
    np.savez(tmp_path / "more.npz", a=unit(7))
    with pytest.raises(DataError, match="npz archive"):
        open_embeddings(tmp_path / "more.npz", 7)


def test_parts_are_made_from_a_file_as_from_an_array(tmp_path: Path) -> None:
    table, encoder = make_table(), HashingEncoder()
    rows = encoder.encode(table.texts)
    mapped = open_embeddings(save(tmp_path, rows), table.n_queries)
    split = split_outcomes(table)
    scores = []
    for given in (rows, mapped):
        prepared = prepare(table, given, split)
        router = fit_router("knn", prepared, seed=0).router
        scores.append(router.predict(given))
        np.testing.assert_array_equal(prepared.test.embeddings, rows[prepared.test.rows])
    assert scores[0].tobytes() == scores[1].tobytes()
