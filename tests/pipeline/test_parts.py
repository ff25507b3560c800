"""The validation queries that a pipeline keeps."""

import numpy as np
import pytest

from equirouter.errors import PipelineError
from equirouter.pipeline.parts import MOST_CELLS, MOST_QUERIES, ValidationRecord, kept_rows


def test_all_queries_are_kept_up_to_a_limit() -> None:
    assert kept_rows(7, 3).tolist() == list(range(7))
    many = kept_rows(3 * MOST_QUERIES, 3)
    assert len(many) == MOST_QUERIES
    assert (many[0], many[-1]) == (0, 3 * MOST_QUERIES - 1)
    assert (np.diff(many) >= 2).all()  # evenly spaced, none twice
    assert len(kept_rows(5000, 8500)) == MOST_CELLS // 8500


def record(**changes: np.ndarray) -> dict[str, np.ndarray]:
    made = ValidationRecord(
        vectors=np.ones((4, 8), np.float32),
        scores=np.zeros((4, 3), np.float32),
        amounts=np.zeros((4, 6)),
        performance=np.zeros((4, 3)),
        cost_usd=np.zeros((4, 3)),
        tokens=(np.ones((4, 3)), np.ones((4, 3))),
        estimated=np.array([False, False, True]),
    )
    return made.arrays() | changes


def test_a_record_is_restored() -> None:
    found = ValidationRecord.restore(record())
    assert found is not None
    assert found.arrays().keys() == record().keys()
    assert found.estimated.tolist() == [False, False, True]


def test_a_restored_record_holds_what_is_saved_and_gives_what_routers_read() -> None:
    found = ValidationRecord.restore(record())
    assert found.vectors.dtype == np.float16  # nothing is converted before it is asked for
    assert found.embeddings.dtype == np.float32
    assert found.embeddings.tolist() == found.vectors.tolist()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cost_usd", (4, 2)),
        ("input_tokens", (3, 3)),
        ("embeddings", (5, 8)),
        ("scores", (4, 2)),
        ("amounts", (3, 6)),
        ("estimated", (2,)),
    ],
)
def test_arrays_that_do_not_agree(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(PipelineError, match="do not agree"):
        ValidationRecord.restore(record(**{name: np.ones(shape)}))


@pytest.mark.parametrize("name", ["performance", "embeddings", "output_tokens"])
def test_an_array_that_is_not_there(name: str) -> None:
    arrays = record()
    del arrays[name]
    with pytest.raises(PipelineError, match=name):
        ValidationRecord.restore(arrays)
