"""Scores and costs at serving: what the routers predict, and the same bits in any batch."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equirouter import __version__
from equirouter.cost import CostModel
from equirouter.errors import ConfigError, DataError
from equirouter.pipeline.scorer import LARGE_POOL, Scorer, decision_graph, export_decision
from equirouter.routers import Router, make_router
from equirouter.routers.base import DescriptionRouter
from equirouter.routers.scale import LogisticScale
from equirouter.testing import make_toy

MANY = 70  # models: more than one matrix per model is made for, with the widths below
NETWORKS = {
    **{
        f"equirouter:loss={loss}:joint_feature={joint}": 3
        for loss in ("ranking", "mse")
        for joint in ("true", "false")
    },
    "equirouter:trunk=[13,7]:head_width=5:model_width=3": 3,  # no width is a multiple of 8
    "equirouter:trunk=[64]:head_width=64": MANY,
    "mlp:hidden=20": 3,
    "linear": 3,
    "svm": 3,
    "embedllm": MANY,
    "embedllm:original": 3,
    "routerdc": 3,
    "routerdc:original": MANY,
    "avengerspro:n_clusters=9": 3,
    "avengerspro:original": 3,
    "knn:k=5": 3,
    "mirt": 3,
    "mirt:original": 3,
    "nirt": 3,
    "graphrouter": 3,
    "causal": 3,
}
OUTPUTS = ["scores", "predicted_cost_usd"]


def fitted(spec: str, n_models: int = 3, width: int = 6) -> tuple[Router, CostModel]:
    toy = make_toy(n=120, k=n_models, d=width)
    router = make_router(spec)
    if "epochs" in router.settings:
        router.epochs = 2  # type: ignore[attr-defined]
    if isinstance(router, DescriptionRouter):
        rows = np.random.default_rng(1).standard_normal((n_models, width), dtype=np.float32)
        router.fit(*toy, descriptions=rows, rng=np.random.default_rng(0))
    else:
        router.fit(*toy, rng=np.random.default_rng(0))
    cost_model = CostModel(hidden=24, epochs=2)
    return router, cost_model.fit(toy.embeddings, toy.cost_usd, rng=np.random.default_rng(0))


@pytest.fixture(scope="module", params=NETWORKS)
def parts(request: pytest.FixtureRequest) -> tuple[Router, CostModel]:
    return fitted(request.param, NETWORKS[request.param])


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return make_toy(n=3000, seed=5).embeddings


def test_the_numbers_are_those_of_predict(
    parts: tuple[Router, CostModel], queries: np.ndarray
) -> None:
    router, cost_model = parts
    scores, costs = Scorer.of(router, cost_model)(queries)
    assert scores.dtype == costs.dtype == np.float32
    expected, expected_costs = router.predict(queries), cost_model.predict(queries)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    atol = 1e-6 * expected_costs.max()
    np.testing.assert_allclose(costs, expected_costs, rtol=1e-5, atol=atol)


def test_a_query_has_the_same_bits_alone_and_in_any_batch_with_any_number_of_threads(
    parts: tuple[Router, CostModel], queries: np.ndarray
) -> None:
    one, two = (Scorer.of(*parts, threads=threads) for threads in (1, 2))
    scores, costs = one(queries)
    assert all(np.array_equal(*pair) for pair in zip(two(queries), (scores, costs), strict=True))
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 256, 257, 939):
        for start in (0, 1, 6, len(queries) - size):
            rows = slice(start, start + size)
            some_scores, some_costs = two(queries[rows])
            np.testing.assert_array_equal(some_scores, scores[rows])
            np.testing.assert_array_equal(some_costs, costs[rows])


def test_no_bit_changes_at_the_widths_of_real_embeddings() -> None:
    parts = fitted("equirouter", n_models=11, width=384)
    some = make_toy(n=700, d=384, seed=5).embeddings
    scores, costs = Scorer.of(*parts, threads=2)(some)
    for size in (1, 2, 3, 5, 8, 13, 100, 256, 257):
        found = Scorer.of(*parts, threads=1)(some[-size:])
        np.testing.assert_array_equal(found[0], scores[-size:])
        np.testing.assert_array_equal(found[1], costs[-size:])


@given(st.integers(1, 400), st.integers(0, 2600), st.sampled_from([1, 2, 3]))
@settings(max_examples=40)
def test_no_batch_changes_a_bit(size: int, start: int, threads: int) -> None:
    router, cost_model = SMALL
    some = QUERIES[start : start + size]
    scores, costs = Scorer(GRAPH, router, cost_model, threads=threads)(some)
    np.testing.assert_array_equal(scores, WHOLE[0][start : start + size])
    np.testing.assert_array_equal(costs, WHOLE[1][start : start + size])


SMALL = fitted("equirouter")
GRAPH = decision_graph(*SMALL)
QUERIES = make_toy(n=3000, seed=5).embeddings
WHOLE = Scorer(GRAPH, *SMALL, threads=1)(QUERIES)


def test_threads_of_a_large_pool_work_on_one_query_and_change_no_bit(queries: np.ndarray) -> None:
    parts = fitted("equirouter:trunk=[33]:head_width=17", LARGE_POOL)
    found = [Scorer.of(*parts, threads=threads)(queries[:40]) for threads in (1, 2)]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    alone = np.concatenate(
        [Scorer.of(*parts, threads=2)(queries[row : row + 1])[0] for row in (3, 7)]
    )
    np.testing.assert_array_equal(alone, found[0][0][[3, 7]])


def test_a_router_without_a_graph_is_asked_itself(queries: np.ndarray) -> None:
    router, cost_model = fitted("knn:k=5")
    scores, costs = Scorer.of(router, cost_model)(queries)
    np.testing.assert_allclose(scores, router.predict(queries), atol=1e-6)
    np.testing.assert_allclose(costs, cost_model.predict(queries), rtol=1e-5)


def test_what_is_restored_gives_the_same_bits(queries: np.ndarray) -> None:
    router, cost_model = SMALL
    state = Scorer.of(router, cost_model).state()
    assert [array.dtype for array in state.values()] == [np.uint8]
    again = Scorer.restore(state, router, cost_model)
    np.testing.assert_array_equal(again(queries)[0], WHOLE[0])
    np.testing.assert_array_equal(again(queries)[1], WHOLE[1])


def test_without_a_graph_both_models_predict(queries: np.ndarray) -> None:
    router, cost_model = SMALL
    scorer = Scorer.restore({}, router, cost_model)
    assert scorer.state() == {}
    scores, costs = scorer(queries[:50])
    np.testing.assert_array_equal(scores, router.predict(queries[:50]))
    np.testing.assert_array_equal(costs, cost_model.predict(queries[:50]).astype(np.float32))


def test_equal_models_have_the_same_graph_and_others_another() -> None:
    assert decision_graph(*fitted("equirouter")) == GRAPH
    assert decision_graph(*fitted("equirouter:head_width=48")) != GRAPH


def test_a_decision_is_a_short_graph_with_all_that_is_known_of_the_models_in_it() -> None:
    shape = "equirouter:trunk=[16,8]:head_width=4:model_width=3"
    graph = onnx.load_from_string(decision_graph(*fitted(shape))).graph
    # trunk 2 x (product, GELU, norm); gamma * z is 2, the larger one 1; two products and the rows
    # of both are 4; GELU, norm, product and rows; cost: product, ReLU, product, floor
    assert len(graph.node) == 6 + 3 + 4 + 4 + 4
    constants = {array.name: tuple(array.dims) for array in graph.initializer}
    assert constants["head.weight"] == (8, 3 * 4)  # a matrix (8, 4) for each of 3 models
    assert not any("psi" in name or "phi" in name or name == "models" for name in constants)


def test_each_visits_every_row_once_and_reads_from_a_memory_map(tmp_path: Path) -> None:
    rows = np.tile(QUERIES, (5, 1))  # 15,000 rows of 3 models: more than one task
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    visits = np.zeros(len(rows), dtype=int)
    scores = np.empty((len(rows), 3), np.float32)

    def use(block: slice, of_rows: np.ndarray, costs_usd: np.ndarray) -> None:
        assert of_rows.shape == costs_usd.shape == (block.stop - block.start, 3)
        visits[block] += 1
        scores[block] = of_rows

    Scorer(GRAPH, *SMALL, threads=2).each(mapped, use)
    assert (visits == 1).all()
    np.testing.assert_array_equal(scores, np.tile(WHOLE[0], (5, 1)))


def test_an_error_in_a_thread_is_the_callers() -> None:
    def use(rows: slice, scores: np.ndarray, costs: np.ndarray) -> None:
        raise DataError(f"refused {rows.start}, {scores.shape}, {costs.shape}")

    with pytest.raises(DataError, match="refused 0"):
        Scorer(GRAPH, *SMALL, threads=2).each(np.tile(QUERIES, (6, 1)), use)


def test_other_embeddings_and_rows_in_any_layout() -> None:
    scorer = Scorer(GRAPH, *SMALL)
    as_columns = np.asfortranarray(QUERIES[:10])
    np.testing.assert_array_equal(scorer(as_columns)[0], WHOLE[0][:10])
    empty = scorer(QUERIES[:0])
    assert [array.shape for array in empty] == [(0, 3), (0, 3)]
    for wrong in (QUERIES[:, :4], QUERIES[:0, :4], QUERIES[0]):
        with pytest.raises(DataError, match=r"expected \(n_queries, 6\)"):
            scorer(wrong)
    with pytest.raises(ConfigError, match="threads=0"):
        Scorer(GRAPH, *SMALL, threads=0)


@pytest.mark.parametrize(
    "scale",
    [
        LogisticScale((0.5, 0.0, -0.2), (1.0, 0.0, 0.3), centred=True, lowest=-1.0, highest=2.0),
        LogisticScale((0.5, 0.0, -0.2), (1.0, 0.0, 0.3), centred=False, lowest=0.0, highest=1.0),
    ],
)
def test_an_exported_decision_says_what_it_is_and_runs_elsewhere(
    queries: np.ndarray, scale: LogisticScale
) -> None:
    router, cost_model = fitted("equirouter")
    names = ["small", "middle", "large é"]
    content = export_decision(
        router, cost_model, models=names, encoder_fingerprint="toy-1", scale=scale
    )
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("embeddings", ["n_queries", 6])]
    assert {o.name: o.shape[1] for o in session.get_outputs()} == dict.fromkeys(
        [*OUTPUTS, "expected_performance"], 3
    )
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["models"]) == names
    assert metadata["encoder_fingerprint"] == "toy-1"
    assert metadata["equirouter_version"] == __version__
    assert metadata["scores_are"] == "ranking"
    scores, costs, performance = session.run(
        [*OUTPUTS, "expected_performance"], {"embeddings": queries}
    )
    expected = router.predict(queries)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(costs, cost_model.predict(queries), rtol=1e-5)
    estimate = scale.apply(expected.astype(np.float64))
    np.testing.assert_allclose(np.asarray(performance), estimate, rtol=1e-5, atol=1e-5)


def test_a_router_without_a_graph_is_not_exported() -> None:
    router, cost_model = fitted("knn:k=5")
    with pytest.raises(ConfigError, match="KNNRouter cannot be exported"):
        export_decision(router, cost_model, models=list("abc"), encoder_fingerprint="toy-1")


def test_a_cost_is_never_below_the_lowest_seen_and_a_constant_cost_is_exact() -> None:
    toy = make_toy(n=80)
    cost_usd = np.where(np.isnan(toy.cost_usd), np.nan, 0.002)
    model = CostModel(hidden=8, epochs=1).fit(
        toy.embeddings, cost_usd, rng=np.random.default_rng(0)
    )
    costs = Scorer.of(SMALL[0], model)(QUERIES)[1]
    assert (costs == np.float32(0.002)).all()
    far = Scorer(GRAPH, *SMALL)(100 * QUERIES)[1]
    assert (far >= SMALL[1].lowest_.astype(np.float32)).all()
