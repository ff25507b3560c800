"""AlpacaEval's annotations, made here after their public form."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data import load_dataset
from equirouter.data.sources.alpacaeval import AlpacaEval
from equirouter.errors import ConfigError, DataError

WEIGHTED, FIRST = "weighted_alpaca_eval_gpt4_turbo", "alpaca_eval_gpt4"


def row(text: str, preference: Any) -> dict[str, Any]:
    return {
        "instruction": text,
        "dataset": "koala",
        "output_1": "the reference",
        "output_2": "a" * 40,
        "preference": preference,
    }


def write(clone: Path, model: str, rows: list[dict[str, Any]], judge: str = WEIGHTED) -> None:
    path = clone / "results" / model / judge / "annotations.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), "utf-8")


def test_preferences_become_performance(tmp_path: Path) -> None:
    write(tmp_path, "gpt4_1106_preview", [row("one " * 20, 1.5), row("two", 2)])
    write(tmp_path, "vicuna-7b_concise", [row("two", 1.25), row("one " * 20, None)])
    write(tmp_path, "NullModel", [row("one " * 20, 2), row("two", 2)])
    table = load_dataset(f"alpacaeval:path={tmp_path}")
    assert table.name == "alpacaeval"
    assert table.models == ("gpt4_1106_preview", "vicuna-7b_concise")
    assert table.texts == ("one " * 20, "two")
    assert table.tasks == ("koala", "koala")
    np.testing.assert_array_equal(table.performance, [[0.5, np.nan], [1.0, 0.25]])
    # 80 bytes are 20 tokens, 40 bytes are 10; 10 and 30 USD, and 0.2 USD for 7B
    assert table.cost_usd[0].tolist() == pytest.approx([(20 * 10 + 10 * 30) / 1e6, 30 * 0.2 / 1e6])
    assert "left out, no price is known: NullModel" in table.notes
    assert "1 query lacks" in table.notes[-1]


def test_the_first_judge_knows_draws(tmp_path: Path) -> None:
    write(tmp_path, "claude-2", [row("one", 0), row("two", 1.5), row("three", 1)], FIRST)
    write(tmp_path, "vicuna-7b", [row("one", 1), row("two", 2), row("three", 2)], FIRST)
    table = AlpacaEval(judge="gpt4").load(tmp_path)
    assert table.name == "alpacaeval-gpt4"
    assert table.performance[:, 0].tolist() == [0.5, 0.5, 0.0]
    with pytest.raises(DataError, match=f"no MODEL/{WEIGHTED}/annotations.json"):
        AlpacaEval().load(tmp_path)
    with pytest.raises(ConfigError, match="judge is 'gpt5'"):
        AlpacaEval(judge="gpt5")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"preference": 2.5}, "row 1: preference is 2.5"),
        ({"preference": 0.5}, "row 1: preference is 0.5"),
        ({"output_2": None}, "row 1: output_2 is None, expected str"),
        ({"instruction": "two"}, "row 2: the instruction occurs twice: 'two'"),
    ],
)
def test_a_row_that_is_amiss_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    write(tmp_path, "claude-2", [row("one", 1) | change, row("two", 1)])
    with pytest.raises(DataError, match="claude-2") as caught:
        AlpacaEval().load(tmp_path)
    assert says in str(caught.value)


def test_one_model_is_no_table(tmp_path: Path) -> None:
    write(tmp_path, "claude-2", [row("one", 1)])
    with pytest.raises(DataError, match="1 model with a price among claude-2; at least two"):
        AlpacaEval().load(tmp_path)
