from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from equirouter.encoders.static.token_table import TokenTable
from equirouter.errors import PipelineError


def table(**changed: NDArray[Any]) -> TokenTable:
    arrays: dict[str, NDArray[Any]] = {
        "rows": np.array([[3, 0], [0, 2], [-3, 0]], dtype=np.int8),
        "weights": np.array([255, 255, 85], dtype=np.uint8),
        "scale": np.array([0.5, 1.0], dtype=np.float32),
        "tokenizer": np.frombuffer(b"{}", dtype=np.uint8),
    }
    return TokenTable.of_state({**arrays, **changed}, 2)


def test_the_mean_by_hand() -> None:
    # twice piece 0: 2 * (3, 0) * 255; piece 1: (0, 2) * 255; with the scale (3, 2) * 255
    mean = table().mean([[0, 1], [0]])
    assert mean == pytest.approx(np.array([3, 2]) / np.sqrt(13))
    # piece 2 counts a third: (3 - 1) * 0.5 = 1 beside 2 * 1
    assert table().mean([[0, 1, 2]]) == pytest.approx(np.array([1, 2]) / np.sqrt(5))


def test_no_direction_is_none() -> None:
    assert table().mean([]) is None
    assert table().mean([[]]) is None
    assert table().mean([[0, 2, 2, 2]]) is None  # 3 * 255 - 3 * 3 * 85 = 0


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
    whole = big.mean([ids])
    assert whole is not None
    np.testing.assert_array_equal(big.mean([ids[:cut], ids[cut:]]), whole)
    np.testing.assert_array_equal(big.mean([shuffled]), whole)
    exact = (big.weights.astype(np.int64)[ids, None] * big.rows.astype(np.int64)[ids]).sum(axis=0)
    expected = exact * big.scale.astype(np.float64)
    np.testing.assert_allclose(whole, expected / np.linalg.norm(expected), rtol=1e-14, atol=1e-15)


def test_sums_stay_exact_at_the_limit() -> None:
    # the largest terms there are: 5,000 * 127 * 255 is far beyond what float32 can count to
    rows = np.array([[127, 127], [127, 126]], dtype=np.int8)
    most = table(
        rows=rows,
        weights=np.array([255, 255], dtype=np.uint8),
        scale=np.ones(2, dtype=np.float32),
    ).mean([[0] * 4999 + [1]])
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
