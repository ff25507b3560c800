"""Tables joined: by query, by model, and where they disagree."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equirouter.data.cells import TextCells
from equirouter.data.merging import Source, merge_tables
from equirouter.data.outcomes import Outcomes
from equirouter.errors import ConfigError, DataError
from tests.toys import make_answered_table, make_table

NAN = np.nan


def table(
    ids: str, models: str, performance: list[list[float]], name: str = "t", **more: Any
) -> Outcomes:
    known = np.array(performance)
    return Outcomes(
        query_ids=tuple(ids),
        texts=tuple(f"text {one}" for one in ids),
        tasks=("all",) * len(ids),
        models=tuple(models),
        performance=known,
        cost_usd=more.pop("cost_usd", np.where(np.isnan(known), NAN, 0.5)),
        name=name,
        **more,
    )


def test_tables_of_the_same_queries_and_of_the_same_models() -> None:
    a = table("pq", "s", [[1], [0]], "a")
    b = table("pq", "l", [[1], [1]], "b")
    c = table("r", "sl", [[0, 1]], "c")
    merged = merge_tables([a, b, c])
    assert (merged.table.query_ids, merged.table.models) == (("p", "q", "r"), ("s", "l"))
    assert merged.table.performance.tolist() == [[1, 1], [0, 1], [0, 1]]
    assert merged.sources == (
        Source("a", 2, 1, 2, 2, 0),
        Source("b", 2, 1, 2, 2, 0),
        Source("c", 1, 2, 2, 2, 0),
    )


def test_what_no_table_knows_stays_unknown() -> None:
    merged = merge_tables([table("p", "s", [[1]]), table("q", "l", [[1]])]).table
    np.testing.assert_array_equal(merged.performance, [[1, NAN], [NAN, 1]])


def test_equal_outcomes_are_no_conflict_and_gaps_are_filled() -> None:
    a = table("pq", "sl", [[1, NAN], [0, 1]], "a")
    b = table("qp", "ls", [[1, 0], [NAN, 1]], "b")
    c = table("p", "l", [[0.5]], "c")
    merged = merge_tables([a, b, c])
    assert merged.table.performance.tolist() == [[1, 0.5], [0, 1]]
    assert [source.n_new for source in merged.sources] == [3, 0, 1]


def test_conflicts_are_refused_by_name() -> None:
    a = table("pq", "sl", [[1, 1], [0, 1]], "a")
    b = table("pq", "sl", [[1, 0], [0.5, 1]], "b")
    with pytest.raises(DataError) as caught:
        merge_tables([a, b])
    assert str(caught.value).startswith(
        "b: 2 outcomes differ from an earlier table: model 'l' on query 'p'; model 's' on query "
        "'q'."
    )


def test_the_first_or_the_mean() -> None:
    read: Any = {"answers_by": "number@1"}
    tables = [
        table("p", "sl", [[1, 1]], "a", answers=TextCells.of([["5", "5"]]), **read),
        table(
            "p",
            "sl",
            [[0, 1]],
            "b",
            answers=TextCells.of([["6", "5"]]),
            **read,
            signals={"x": [[2, 3]]},
        ),
        table("p", "s", [[1]], "c"),
    ]
    first = merge_tables(tables, conflicts="first")
    assert first.table.performance.tolist() == [[1, 1]]
    # all that is said of a pair in conflict is the first table's, which has no signal
    np.testing.assert_array_equal(first.table.signals["x"], [[NAN, 3]])
    assert first.table.answers is not None
    assert first.table.answers.to_lists() == [["5", "5"]]
    assert first.table.answers_by == "number@1"
    mean = merge_tables(tables, conflicts="mean")
    assert mean.table.performance[0].tolist() == pytest.approx([2 / 3, 1])
    assert mean.table.answers is not None
    assert mean.table.answers.to_lists() == [[None, "5"]]
    assert [source.n_conflicts for source in mean.sources] == [0, 1, 0]


def test_two_graders_who_agree_are_no_conflict() -> None:
    a = table("p", "s", [[1]], "a", scored_by=TextCells.of([["exact@1"]]))
    b = table("p", "s", [[1]], "b", scored_by=TextCells.of([["number@1"]]))
    merged = merge_tables([a, b])
    assert merged.sources[1].n_conflicts == 0
    assert merged.table.scored_by is not None
    assert merged.table.scored_by.to_lists() == [["exact@1"]]
    with pytest.raises(DataError, match="1 outcome differs"):
        merge_tables([a, table("p", "s", [[0]], "c", scored_by=a.scored_by)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"texts": ("another",)}, "query 'p' is 'text p' in a and 'another' in b"),
        ({"tasks": ("sums",)}, "query 'p' is of task 'all' in a and 'sums' in b"),
        ({"performance_range": (0.0, 100.0)}, "bring both to one scale"),
        ({"packed": {"lexical-1": np.zeros((1, 4))}}, "numbers in place of its texts"),
        ({"model_descriptions": ("other",)}, "model 's' is described differently"),
    ],
)
def test_what_cannot_be_joined_is_named(changed: dict[str, Any], said: str) -> None:
    a = table("p", "s", [[1]], "a", model_descriptions=("small",))
    with pytest.raises(DataError, match=said):
        merge_tables([a, replace(a, name="b", **changed)])


def test_bad_calls() -> None:
    a = table("p", "s", [[1]])
    with pytest.raises(DataError, match="1 table to merge, at least two"):
        merge_tables([a])
    with pytest.raises(ConfigError, match="conflicts is 'last'"):
        merge_tables([a, a], conflicts="last")  # type: ignore[arg-type]


@given(cut=st.integers(5, 35), by_models=st.booleans())
def test_the_parts_of_a_table_are_the_table(cut: int, by_models: bool) -> None:
    whole = make_table(40)
    if by_models:
        parts = [whole.with_models(whole.models[: 1 + cut % 2]), whole]
    else:
        parts = [whole.take(range(cut)), whole.take(range(cut, 40))]
    for rule in ("refuse", "first", "mean"):
        assert merge_tables(parts, conflicts=rule).table.equals(whole)


def test_a_table_with_answers_merged_with_itself_is_itself() -> None:
    whole = make_answered_table(60)
    assert merge_tables([whole, whole, whole], conflicts="mean").table.equals(whole)
