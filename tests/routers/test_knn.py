"""KNNRouter on points that can be counted by hand, and the laws of its search."""

import builtins
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from equirouter.arrays import Float32Array
from equirouter.errors import DataError, MissingExtraError, PipelineError
from equirouter.routers import Router, knn, make_router, neighbours

NAN = float("nan")
EAST, NORTH, NORTH_EAST = [1.0, 0.0], [0.0, 1.0], [0.8, 0.6]
TRAIN = np.array([EAST, NORTH_EAST, NORTH], dtype=np.float32)
PERFORMANCE = np.array([[1.0, 0.0], [0.5, NAN], [0.0, 1.0]])
COST = np.ones((3, 2))

needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="needs the extra index")
INDEXES = ["exact", pytest.param("faiss", marks=needs_faiss)]


def fitted(rows: Float32Array, **options: Any) -> Router:
    """A router whose score of model j is the share of neighbours in row block j."""
    n_models = options.pop("n_models", 5)
    performance = np.eye(n_models)[np.arange(len(rows)) * n_models // len(rows)]
    performance[::7, 0] = NAN
    performance[-1] = 0.5
    router = make_router("knn", **options)
    return router.fit(rows, performance, performance, rng=np.random.default_rng(0))


def directions(n: int, d: int, n_topics: int = 12, seed: int = 0) -> Float32Array:
    rng = np.random.default_rng(seed)
    topics = rng.standard_normal((n_topics, d))
    rows = topics[rng.integers(n_topics, size=n)] + 0.4 * rng.standard_normal((n, d))
    return np.asarray(rows, dtype=np.float32)


def predict(k: int, query: list[float]) -> list[float]:
    router = make_router("knn", k=k)
    router.fit(TRAIN, PERFORMANCE, COST, rng=np.random.default_rng(0))
    return [float(x) for x in router.predict(np.array([query], dtype=np.float32))[0]]


def test_the_mean_is_over_the_nearest_by_cosine() -> None:
    # cosines with (2, 0.2), length ignored: EAST 0.995, NORTH_EAST 0.856, NORTH 0.0995
    assert predict(1, [2.0, 0.2]) == [1.0, 0.0]
    assert predict(2, [2.0, 0.2]) == [0.75, 0.0]  # (1 + 0.5) / 2; model 1 is known once: 0


def test_a_model_unknown_among_the_neighbours_gets_its_training_mean() -> None:
    assert predict(1, NORTH_EAST) == [0.5, 0.5]  # model 1: (0 + 1) / 2 over the training part


def test_more_neighbours_than_queries_is_everybody() -> None:
    assert predict(50, EAST) == [0.5, 0.5]


@pytest.mark.parametrize("index", INDEXES)
def test_of_equal_neighbours_the_first_rows_count(index: str) -> None:
    # 30 equal rows of 3 blocks of models, 10 rows each: the 12 nearest are rows 0 to 11
    rows = np.repeat(np.array([[0.3, -0.5, 0.1]], dtype=np.float32), 30, axis=0)
    performance = np.eye(3)[np.arange(30) // 10]
    router = make_router("knn", k=12, index=index)
    router.fit(rows, performance, performance, rng=np.random.default_rng(0))
    assert router.predict(rows[:1])[0] == pytest.approx([10 / 12, 2 / 12, 0])


@pytest.mark.parametrize("index", INDEXES)
@settings(max_examples=40)
@given(
    n=st.integers(1, 120),
    d=st.integers(1, 40),
    k=st.integers(1, 60),
    n_models=st.integers(1, 6),
    copies=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_a_query_alone_gets_the_very_scores_that_it_gets_among_others(
    index: str, n: int, d: int, k: int, n_models: int, copies: int, seed: int
) -> None:
    rows = np.tile(directions(n, d, seed=seed), (copies, 1))  # equal rows tie exactly
    router = fitted(rows, k=k, index=index, n_models=n_models)
    queries = np.concatenate([rows[:40], directions(17, d, seed=seed + 1)])
    together = router.predict(queries)
    alone = np.concatenate([router.predict(queries[i : i + 1]) for i in range(len(queries))])
    assert alone.tobytes() == together.tobytes()
    backwards = router.predict(queries[::-1])[::-1]
    assert backwards.tobytes() == together.tobytes()


@pytest.mark.parametrize("index", INDEXES)
def test_the_size_of_a_block_changes_nothing(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = directions(700, 48)
    router = fitted(rows, index=index)
    whole = router.predict(rows)
    monkeypatch.setattr(knn, "BLOCK_BYTES", 200_000)
    monkeypatch.setattr(neighbours, "_SUM_ROWS", 100)
    assert router.predict(rows).tobytes() == whole.tobytes()


@settings(max_examples=40)
@given(n=st.integers(1, 200), d=st.integers(1, 30), k=st.integers(1, 50), seed=st.integers(0, 9))
def test_exact_neighbours_are_those_of_a_full_sort(n: int, d: int, k: int, seed: int) -> None:
    points = neighbours.unit_rows(directions(n, d, seed=seed))
    queries = neighbours.unit_rows(directions(5, d, seed=seed + 1))
    found = neighbours.nearest(queries, points, min(k, n))
    similarity = queries.astype(np.float64) @ points.astype(np.float64).T
    got = np.take_along_axis(similarity, found, axis=1)
    best = -np.sort(-similarity, axis=1)[:, : min(k, n)]
    np.testing.assert_allclose(got, best, atol=3e-6)
    assert all(len(set(row)) == len(row) for row in found.tolist())


@needs_faiss
def test_an_index_finds_nearly_all_that_the_exact_search_finds() -> None:
    rows, queries = directions(4000, 32, n_topics=40), directions(300, 32, n_topics=40)
    exact, index = fitted(rows, index="exact"), fitted(rows, index="faiss")
    starts, probes = index.state()["index_.starts"], index.state()["index_.probes"]
    assert len(starts) == 64  # round(sqrt(4000)) groups and one more
    assert probes < 64  # not all are looked at
    assert np.abs(exact.predict(queries) - index.predict(queries)).mean() < 0.01


@needs_faiss
def test_rows_without_groups_are_all_looked_at() -> None:
    # Directions at random have no near neighbours to group: recall is kept, speed is not.
    rows = np.random.default_rng(0).standard_normal((900, 64)).astype(np.float32)
    exact, index = fitted(rows, index="exact"), fitted(rows, index="faiss")
    assert index.state()["index_.probes"] == 30  # all groups
    assert np.abs(exact.predict(rows) - index.predict(rows)).mean() < 0.005


@needs_faiss
def test_auto_is_exact_up_to_a_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "EXACT_UP_TO", 100)
    assert "index_.centres" not in fitted(directions(100, 8)).state()
    router = fitted(directions(101, 8))
    assert "index_.centres" in router.state()
    few = directions(60, 8)
    outcomes = np.ones((60, 5))
    router.fit(few, outcomes, outcomes, rng=np.random.default_rng(0))
    assert "index_.centres" not in router.state()  # nothing of the first fit is left


@needs_faiss
def test_a_saved_index_is_searched_without_faiss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = directions(500, 16)
    router = fitted(rows, index="faiss", k=20)
    save_file(router.state(), tmp_path / "state")
    hide_faiss(monkeypatch)
    again = make_router("knn", index="faiss", k=20).restore(load_file(tmp_path / "state"))
    assert again.predict(rows).tobytes() == router.predict(rows).tobytes()


@needs_faiss
@pytest.mark.parametrize("name", ["index_.starts", "index_.numbers", "index_.probes"])
def test_an_index_of_other_rows_is_refused(name: str) -> None:
    state = fitted(directions(200, 8), index="faiss").state()
    with pytest.raises(PipelineError, match="damaged"):
        make_router("knn").restore(state | {name: state[name] + 1000})
    del state[name]
    with pytest.raises(PipelineError, match="other arrays"):
        make_router("knn").restore(state)


def test_an_index_without_faiss_is_an_error_that_says_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide_faiss(monkeypatch)
    with pytest.raises(MissingExtraError, match=r"(?s)index=exact.*equirouter\[train\]"):
        fitted(directions(50, 4), index="faiss")


def test_queries_of_another_form_are_refused() -> None:
    router = fitted(directions(50, 4))
    with pytest.raises(DataError, match="query 1 is not finite"):
        router.predict(np.array([[1, 0, 0, 0], [1, NAN, 0, 0]], dtype=np.float32))
    with pytest.raises(DataError, match=r"fitted on \(N, 4\)"):
        router.predict(np.ones((2, 5), dtype=np.float32))


def hide_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_faiss(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "faiss":
            raise ModuleNotFoundError("no faiss", name="faiss")
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_faiss)
    monkeypatch.setattr("equirouter.extras.import_module", no_faiss)
