"""What looks wrong in a table: a table with one thing wrong has one warning, a good one none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data import Outcomes, load_dataset, read_table
from equirouter.data.table_warnings import table_warnings
from tests.toys import make_table

NAN = float("nan")
N = 100


def good() -> Outcomes:
    table = make_table(N, incomplete=0)
    rng = np.random.default_rng(1)
    tokens = rng.integers(10, 500, (N, 3)).astype(np.float64)
    return replace(table, input_tokens=tokens, output_tokens=tokens + 7)


def changed(column: str, rows: Any, model: Any, value: float) -> Outcomes:
    cells = getattr(good(), column).copy()
    cells[rows, model] = value
    return replace(good(), **{column: cells})


ALL = slice(None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (changed("cost_usd", ALL, ALL, 0.01), "cost_usd is 0.01 in every cell"),
        (changed("cost_usd", ALL, 1, 0.0), "cost_usd is 0 on all rows of model 'middle'"),
        (changed("cost_usd", slice(6), 0, 0.0), "more than 5% of the rows of model 'small'"),
        (
            changed("output_tokens", ALL, 2, 512.0),
            "output_tokens is the same number on all rows of model 'large'",
        ),
        (changed("performance", ALL, 0, 0.0), "performance is 0 on all rows of model 'small'"),
        (changed("performance", ALL, 2, 1.0), "performance is 1 on all rows of model 'large'"),
        (changed("performance", slice(9, None), 2, NAN), "100 queries: 'large' (9)"),
        (
            replace(good(), performance_range=(0.0, 100.0)),
            "models 'small', 'middle', 'large' is never above 2 on a scale from 0 to 100",
        ),
        (
            replace(good(), models=("Large ", "middle", "large")),
            "models that differ only by case, spaces or hyphens: 'Large ' and 'large'",
        ),
        (
            replace(good(), tasks=("word sums", "Word_sums") * 50),
            "tasks that differ only by case, spaces or hyphens: 'Word_sums' and 'word sums'",
        ),
        (
            replace(good(), texts=("again",) * 6 + good().texts[6:]),
            "6 of 100 queries have the text of another one (95 are different)",
        ),
    ],
)
def test_one_thing_wrong_is_one_warning(table: Outcomes, words: str) -> None:
    (warning,) = table_warnings(table)
    assert words in warning


def test_a_good_table_has_no_warning() -> None:
    assert table_warnings(good()) == ()
    assert table_warnings(load_dataset("simulated:n_queries=400")) == ()


def test_few_rows_of_one_value_are_no_surprise() -> None:
    cells = np.ones((19, 2))
    table = good().take(range(19)).with_models(["small", "large"])
    assert table_warnings(replace(table, performance=cells)) == ()


def test_a_zero_here_and_there_is_no_surprise() -> None:
    assert table_warnings(changed("cost_usd", slice(5), 0, 0.0)) == ()


def test_real_tables_have_no_warning(shared_data: Path) -> None:
    for name in ("routerbench_slice", "alpacaeval", "routellm_mmlu_gsm8k", "zeroeval"):
        assert table_warnings(read_table(shared_data / f"{name}.parquet")) == ()
