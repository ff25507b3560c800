"""Queries that are equal, or nearly so."""

import numpy as np

from equirouter.data import Outcomes
from equirouter.data.repeats import count_repeated, equal_queries, nearly_equal_queries


def table(*texts: str, images: tuple[str | None, ...] | None = None) -> Outcomes:
    n = len(texts)
    return Outcomes(
        query_ids=tuple(f"q{i}" for i in range(n)),
        texts=texts,
        tasks=("t",) * n,
        models=("a", "b"),
        performance=np.ones((n, 2)),
        cost_usd=np.ones((n, 2)),
        image_paths=images,
    )


def test_case_and_white_space_make_no_other_query() -> None:
    rows = table("Is 2 even?", " is 2\n even?", "Is 3 even?", "Is 2 even")
    assert equal_queries(rows).tolist() == [0, 0, 1, 2]
    assert rows.describe().n_equal == 2


def test_order_and_punctuation_make_no_other_words() -> None:
    rows = table("A) red B) blue", "A: red, B: blue", "B) blue A) red", "A) red B) green", "?", "!")
    assert nearly_equal_queries(rows).tolist() == [0, 0, 0, 1, 2, 3]
    assert rows.describe().n_nearly_equal == 3


def test_words_count_as_often_as_they_occur() -> None:
    assert nearly_equal_queries(table("2 + 2", "2 + 2 + 2")).tolist() == [0, 1]


def test_another_image_is_another_query() -> None:
    rows = table("what?", "what?", "what?", images=("a.png", "b.png", "a.png"))
    assert equal_queries(rows).tolist() == nearly_equal_queries(rows).tolist() == [0, 1, 0]


def test_queries_are_counted_that_have_another_one() -> None:
    assert count_repeated(np.array([0, 1, 0, 2, 2, 2])) == 5
