"""The tokens of calls in an outcomes table: optional, beside costs, in both layouts."""

from pathlib import Path

import numpy as np
import pytest

from equirouter.data import Outcomes, read_table
from equirouter.errors import DataError

NAN = float("nan")
LONG = """query_id,query,model,performance,cost_usd,input_tokens,output_tokens
q1,one,small,1,0.1,10,5
q1,one,large,1,0.2,11,
q2,two,small,0,0.3,20,7
q2,two,large,1,0.4,21,8
"""
WIDE = """query,query_id,small,large,small|total_cost,large|total_cost,{ends}
one,q1,1,1,0.1,0.2,11,5
two,q2,0,1,0.3,0.4,21,8
""".format(ends="large|input_tokens,large|output_tokens")


def read(folder: Path, text: str) -> Outcomes:
    path = folder / "table.csv"
    path.write_text(text, "utf-8")
    return read_table(path)


def test_tokens_of_a_long_table(tmp_path: Path) -> None:
    table = read(tmp_path, LONG)
    np.testing.assert_array_equal(table.input_tokens, [[10, 11], [20, 21]])
    np.testing.assert_array_equal(table.output_tokens, [[5, NAN], [7, 8]])
    assert not [note for note in table.notes if "not used" in note]


def test_tokens_of_a_wide_table_may_be_of_some_models(tmp_path: Path) -> None:
    table = read(tmp_path, WIDE)
    np.testing.assert_array_equal(table.input_tokens, [[NAN, 11], [NAN, 21]])
    np.testing.assert_array_equal(table.output_tokens, [[NAN, 5], [NAN, 8]])


def test_a_table_without_tokens_has_none(tmp_path: Path) -> None:
    lines = [line.rsplit(",", 2)[0] for line in LONG.splitlines()]
    table = read(tmp_path, "\n".join(lines))
    assert table.input_tokens is None
    assert table.output_tokens is None
    assert table.fingerprint != read(tmp_path, LONG).fingerprint


def test_rows_and_models_are_taken_with_their_tokens(tmp_path: Path) -> None:
    table = read(tmp_path, LONG)
    np.testing.assert_array_equal(table.take([1]).input_tokens, [[20, 21]])
    turned = table.with_models(["large", "small"])
    assert turned.models == ("large", "small")
    np.testing.assert_array_equal(turned.output_tokens, [[NAN, 5], [8, 7]])
    np.testing.assert_array_equal(turned.cost_usd, [[0.2, 0.1], [0.4, 0.3]])
    assert table.with_models(["small"]).performance.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("text", "before", "after", "message"),
    [
        (LONG, ",output_tokens", ",something", "a column 'input_tokens' alone"),
        (WIDE, ",large|output_tokens", ",large|description", "'large.input_tokens' alone"),
        (WIDE, ",large|output_tokens", ",huge|output_tokens", "'huge.output_tokens' is about a"),
        (LONG, "0.1,10", "0.1,-10", r"data row 1, column 'input_tokens': found -10"),
        (LONG, "0.1,10", "0.1,ten", r"data row 1, column 'input_tokens': found 'ten'"),
        (WIDE, "0.4,21", "0.4,inf", r"data row 2, column 'large.input_tokens': found inf"),
    ],
)
def test_wrong_tokens_are_named(
    tmp_path: Path, text: str, before: str, after: str, message: str
) -> None:
    assert before in text
    with pytest.raises(DataError, match=message):
        read(tmp_path, text.replace(before, after))


@pytest.mark.parametrize(
    ("given", "said", "message"),
    [
        ([[1.0]], None, "input_tokens alone"),
        (None, [[1.0]], "output_tokens alone"),
        ([[1.0]], [[-1.0]], "output_tokens of model 'm' for query 'q' .*is -1"),
        ([[1.0, 2.0]], [[1.0, 2.0]], r"input_tokens has shape \(1, 2\), expected \(1, 1\)"),
    ],
)
def test_outcomes_check_their_tokens(
    given: list[list[float]] | None, said: list[list[float]] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Outcomes(
            query_ids=("q",),
            texts=("t",),
            tasks=("all",),
            models=("m",),
            performance=np.array([[1.0]]),
            cost_usd=np.array([[1.0]]),
            input_tokens=None if given is None else np.array(given),
            output_tokens=None if said is None else np.array(said),
        )
