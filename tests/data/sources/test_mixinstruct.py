"""MixInstruct's files, made here after their public schema."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.data import load_dataset, split_outcomes, write_table
from equirouter.data.sources.mixinstruct import MixInstruct
from equirouter.errors import ConfigError, DataError

NAN = float("nan")


def candidate(model: str, text: str, **scores: Any) -> dict[str, Any]:
    return {"decoding_method": "top_p_sampling", "model": model, "text": text, "scores": scores}


def row(name: str, *candidates: dict[str, Any], text: str = "a question") -> dict[str, Any]:
    return {
        "id": name,
        "instruction": text,
        "input": "",
        "output": "the reference",
        "candidates": list(candidates),
    }


def rows() -> list[dict[str, Any]]:
    return [
        row(
            "unified_chip2/69962",
            candidate("vicuna-13b-1.1", "12345678", bartscore=-1.0, bleurt=0.5, logprobs=-0.1),
            candidate("mpt-7b", "1234", bartscore=-4.0, bleurt=0.5, logprobs=-0.2),
            candidate("flan-t5-xxl", "", bartscore=-2.0, bleurt=-0.5, logprobs=-0.3),
        ),
        row(
            "dolly_15k/1",
            candidate("vicuna-13b-1.1", "x", bartscore=-2.0, bleurt=0.1),
            candidate("mpt-7b-instruct", "x", bartscore=-2.0, bleurt=0.2),
            candidate("flan-t5-xxl", "x", bartscore=-2.0, bleurt=0.3),
        ),
        row("dolly_15k/1", candidate("flan-t5-xxl", "x", bartscore=-2.0), text="another"),
    ]


def written(folder: Path, content: list[dict[str, Any]], part: str = "test") -> Path:
    path = folder / f"{part}_data_prepared.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in content), "utf-8")
    return path


def test_scores_are_scaled_within_a_query(tmp_path: Path) -> None:
    table = MixInstruct().load(written(tmp_path, rows()))
    assert table.name == "mixinstruct"
    assert table.models == ("flan-t5-xxl", "mpt-7b-instruct", "vicuna-13b-1.1")
    # bartscore -2, -4, -1: (-2 + 4) / 3, 0, 1. Then all the same. Then one score only.
    expected: list[list[float]] = [[2 / 3, 0, 1], [1, 1, 1], [NAN, NAN, NAN]]
    np.testing.assert_allclose(table.performance, np.array(expected))
    assert table.query_ids == ("unified_chip2/69962", "dolly_15k/1", "dolly_15k/1#2")
    assert table.tasks == ("unified_chip2", "dolly_15k", "dolly_15k")
    assert table.texts == ("a question", "a question", "another")
    notes = " ".join(table.notes)
    assert "on 1 query all answers score the same" in notes
    assert "1 query has fewer than two scores" in notes
    assert "1 query has the id of another" in notes


def test_raw_scores_are_left_as_they_are(tmp_path: Path) -> None:
    answers = [candidate("a-7b", "x", bertscore=0.83), candidate("b-7b", "x", bertscore=0.8)]
    path = written(tmp_path, [row("dolly_15k/1", *answers), row("dolly_15k/2", *answers[:1])])
    table = load_dataset(f"mixinstruct:metric=bertscore:raw=true:path={path}")
    assert table.name == "mixinstruct-bertscore-raw"
    np.testing.assert_array_equal(table.performance, [[0.83, 0.8], [0.83, NAN]])
    assert "performance is bertscore" in table.notes
    with pytest.raises(ConfigError, match="bartscore is not a number from 0 to 1"):
        MixInstruct(raw=True)


def test_costs_are_tokens_times_the_price_of_the_size(tmp_path: Path) -> None:
    table = MixInstruct().load(written(tmp_path, rows()))
    # "a question" has 10 bytes: 3 tokens; the answers 0, 1 and 2. Prices: 11B and 13B as WizardLM
    # 13B, 0.3 USD per million; 7B as Mistral 7B, 0.2.
    np.testing.assert_allclose(table.cost_usd[0], [0.9e-6, 0.8e-6, 1.5e-6])
    assert np.isnan(table.cost_usd[2]).tolist() == [False, True, True]


def test_another_metric_is_a_setting_on_the_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, rows()[:2])
    table = load_dataset(f"mixinstruct:metric=bleurt:path={path}")
    assert table.name == "mixinstruct-bleurt"
    # -0.5, 0.5, 0.5: two are the best. 0.3, 0.2, 0.1
    np.testing.assert_allclose(table.performance, np.array([[0, 1, 1], [1, 0.5, 0]]))
    with pytest.raises(ConfigError, match=r"metric is 'blert': did you mean 'bleurt'\? known"):
        load_dataset(f"mixinstruct:metric=blert:path={path}")


def test_parts_are_files_of_a_folder(tmp_path: Path) -> None:
    written(tmp_path, rows()[:1], "val")
    written(tmp_path, rows()[1:], "test")
    assert load_dataset(f"mixinstruct:path={tmp_path}").n_queries == 2
    both = load_dataset(f"mixinstruct:part=val+test:path={tmp_path}")
    assert (both.n_queries, both.name) == (3, "mixinstruct-val+test")
    assert [file.filename[:3] for file in MixInstruct(part="val+test").files] == ["val", "tes"]
    with pytest.raises(ConfigError, match="part is 'valid': did you mean 'val'"):
        MixInstruct(part="valid")
    with pytest.raises(DataError, match=r"train_data_prepared\.jsonl: could not be read: No such"):
        load_dataset(f"mixinstruct:part=train:path={tmp_path}")


def test_it_survives_as_an_outcomes_table(tmp_path: Path) -> None:
    table = MixInstruct().load(written(tmp_path, rows()[:2]))
    write_table(table, tmp_path / "t.csv")
    assert load_dataset(tmp_path / "t.csv").equals(table)


def test_whole_collections_are_held_out(tmp_path: Path) -> None:
    content = [
        row(
            f"{task}/{number}",
            candidate("flan-t5-xxl", "x", bartscore=-float(number)),
            candidate("mpt-7b", "y", bartscore=-2.5),
            text=f"{task} {number}",
        )
        for task in ("dolly_15k", "sharegpt", "unified_chip2")
        for number in range(10)
    ]
    table = MixInstruct().load(written(tmp_path, content))
    split = split_outcomes(table, "ood")
    parts = [{table.tasks[i] for i in part} for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [1, 1, 1]
    assert len(set.union(*parts)) == 3
    with pytest.raises(DataError, match="needs at least 3 tasks, found 2: 'dolly_15k', 'sharegpt'"):
        split_outcomes(MixInstruct().load(written(tmp_path, content[:20])), "ood")


def broken(**changed: Any) -> dict[str, Any]:
    return rows()[0] | changed


WRONG = {
    "no candidates": (
        {"id": "a"},
        "line 2: expected an object with id, instruction, input and a list",
    ),
    "a score that is text": (
        broken(candidates=[candidate("mpt-7b", "x", bartscore="high")]),
        "line 2: bartscore of model 'mpt-7b' is 'high', a number is expected",
    ),
    "a score that is no number": (
        broken(candidates=[candidate("mpt-7b", "x", bartscore=NAN)]),
        "line 2: bartscore of model 'mpt-7b' is nan",
    ),
    "a score beyond every float": (
        broken(candidates=[candidate("mpt-7b", "x", bartscore=10**400)]),
        "line 2: bartscore of model 'mpt-7b' is 1000",
    ),
    "half a character": (broken(instruction="\ud800"), "the text is not valid Unicode"),
    "no scores": (broken(candidates=[{"model": "mpt-7b", "text": "x"}]), "line 2: scores is None"),
    "a model twice": (
        broken(candidates=[candidate("mpt-7b", "x"), candidate("mpt-7b-instruct", "x")]),
        "line 2: model 'mpt-7b-instruct' has no name or two candidates",
    ),
    "a model without a size": (
        broken(candidates=[candidate("gpt-4", "x", bartscore=0)]),
        "line 2: model 'gpt-4' is not one of MixInstruct, and its name states no size",
    ),
    "no text": (broken(instruction=" "), "line 2: instruction and input are both empty"),
    "a text that is a number": (broken(input=3), "line 2: input is 3, a text is expected"),
    "a candidate that is text": (broken(candidates=["x"]), "line 2: a candidate is 'x'"),
    "no id": (broken(id=""), "line 2: the id is empty"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_in_a_row(tmp_path: Path, case: str) -> None:
    content, message = WRONG[case]
    with pytest.raises(DataError) as caught:
        MixInstruct().load(written(tmp_path, [rows()[0], content]))
    assert message in str(caught.value)


def test_what_is_wrong_in_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, [])
    with pytest.raises(DataError, match="there are no rows"):
        MixInstruct().load(path)
    path.write_text('\n{"id": \n')
    with pytest.raises(DataError, match="line 2: this is not JSON"):
        MixInstruct().load(path)
    path = written(tmp_path, rows()[:1])
    with pytest.raises(
        DataError, match=r"no candidate has the score 'rouge1'; found bartscore, bl"
    ):
        MixInstruct(metric="rouge1").load(path)
