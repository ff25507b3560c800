import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.arrays import Float32Array
from equirouter.encoders import duplicate_share
from equirouter.errors import DataError


def unit_rows(n: int, d: int = 384) -> Float32Array:
    rows = np.random.default_rng(5).normal(size=(n, d)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def test_share_by_hand() -> None:
    # a and b look alike, so do c, d and e, of which d and e are the same text; f and f are one
    # text twice, which is no loss; g is alone: 2 + 3 of 8
    rows = unit_rows(4)
    visibility = duplicate_share(
        rows[[0, 0, 1, 1, 1, 2, 2, 3]], ["a", "b", "c", "d", "d", "f", "f", "g"]
    )
    assert (visibility.n_duplicates, visibility.n_queries) == (5, 8)
    assert visibility.share == 5 / 8
    assert visibility.warning is not None
    assert "5 of 8 queries (62%)" in visibility.warning
    assert "--window tail" in visibility.warning


def test_rows_of_two_batches_are_still_the_same() -> None:
    rows = unit_rows(300)
    noise = np.random.default_rng(6).uniform(-1e-7, 1e-7, rows.shape).astype(np.float32)
    texts = [str(i) for i in range(600)]
    assert duplicate_share(np.concatenate([rows, rows + noise]), texts).n_duplicates == 600


def test_a_difference_that_a_router_can_see_counts() -> None:
    rows = unit_rows(2)
    rows[1] = rows[0]
    rows[1, 7] += 1e-3
    assert duplicate_share(rows, ["a", "b"]).share == 0


@pytest.mark.parametrize(("n_alike", "warns"), [(5, False), (6, True)])
def test_the_warning_starts_above_five_percent(n_alike: int, warns: bool) -> None:
    rows = unit_rows(100)
    rows[:n_alike] = rows[0]
    visibility = duplicate_share(rows, [str(i) for i in range(100)])
    assert visibility.n_duplicates == n_alike
    assert (visibility.warning is not None) == warns


@given(st.lists(st.integers(0, 9), max_size=40))
def test_the_order_of_rows_does_not_matter(kinds: list[int]) -> None:
    texts = [str(i) for i in range(len(kinds))]
    visibility = duplicate_share(unit_rows(10)[kinds], texts)
    assert visibility.n_duplicates == sum(kinds.count(kind) > 1 for kind in kinds)


def test_nothing_to_see() -> None:
    visibility = duplicate_share(unit_rows(0), [])
    assert (visibility.share, visibility.n_duplicates, visibility.warning) == (0.0, 0, None)


def test_rows_and_texts_must_agree() -> None:
    with pytest.raises(DataError, match="3 embeddings for 2 texts"):
        duplicate_share(unit_rows(3), ["a", "b"])
