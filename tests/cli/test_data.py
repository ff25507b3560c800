"""`data`: list, fetch, convert, describe."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from equirouter.data.tables import read_table, write_table
from equirouter.errors import MissingExtraError
from equirouter.registry import DATASETS
from tests.cli.invoke import invoke
from tests.toys import HashingEncoder, make_table


def test_list_has_every_data_set() -> None:
    lines = invoke("data", "list").out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    listed = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert listed == DATASETS.names()
    documents = json.loads(invoke("data", "list", "--json").out)
    assert [document["name"] for document in documents] == listed
    assert all(document["description"] for document in documents)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_convert_keeps_every_bit(suffix: str, layout: str, table: Path, tmp_path: Path) -> None:
    target = tmp_path / f"toy{suffix}"
    ran = invoke("data", "convert", table, target, "--layout", layout)
    assert ran.code == 0, ran.err
    assert ran.out == f"{target}: 120 queries, 3 models\n"
    assert read_table(target).equals(read_table(table))


def test_convert_says_what_it_wrote_in_json(table: Path, tmp_path: Path) -> None:
    target = tmp_path / "toy.parquet"
    ran = invoke("data", "convert", table, target, "--json")
    assert json.loads(ran.out) == {"written": str(target), "layout": "long"}
    assert invoke("data", "convert", table, target, "--quiet") == (0, "", "")


def test_convert_reads_answers_out_of_responses(tmp_path: Path) -> None:
    source, target = tmp_path / "raw.csv", tmp_path / "read.parquet"
    source.write_text(
        "query,model,score,cost,model_response\nsix?,m,1,0.1,It is 6.0.\nhm?,m,0,0.1,I pass\n"
    )
    ran = invoke("data", "convert", source, target, "--answers-by", "number")
    assert ran.code == 0, ran.err
    answers = read_table(target).answers
    assert answers is not None
    assert answers.to_lists() == [["6"], [""]]
    assert "answers: 2 known, 1 of them empty" in invoke("data", "describe", target).out
    refused = invoke("data", "convert", source, target, "--answers-by", "guess")
    assert refused.code == 2
    assert "'guess' is not an answer extractor" in refused.err


def test_describe_names_the_models_that_equal_the_strongest(tmp_path: Path) -> None:
    rows = [f"q{n} words,{model},{int(n < right)},0.1" for n in range(40) for model, right in
            (("a", 36), ("b", 35), ("c", 10))]  # fmt: skip
    source = tmp_path / "close.csv"
    source.write_text("\n".join(["query,model,score,cost", *rows]))
    # b lacks 1 of 40: 0.025 with an error of 0.025; c lacks 26
    assert (
        "strongest: a (as strong within noise: b); cheapest"
        in invoke("data", "describe", source).out
    )


def test_a_description_in_python_reads_as_the_command_prints_it(table: Path) -> None:
    ran = invoke("data", "describe", table, "--quiet")
    assert ran.out == f"{read_table(table).describe()}\n"
    assert ran.out.startswith("toy: 120 queries, 3 models, ")


def test_describe_has_the_figures_of_the_table(table: Path) -> None:
    document = json.loads(invoke("data", "describe", table, "--json").out)
    described = read_table(table).describe()
    assert document["n_complete"] == 116
    assert document["missing_cost"] == 4
    assert document["strongest"] == described.strongest == "large"
    assert document["mean_performance"] == list(described.mean_performance)
    shown = invoke("data", "describe", table)
    for words in ("120 queries, 3 models, 4 tasks", "0 performance, 4 cost", "strongest: large"):
        assert words in shown.out


def test_notes_of_the_reader_are_on_stderr(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("query_id,query,a,b,a|total_cost,b|total_cost\nq,text,1,0,1,2\n")
    assert "note: there is no column 'task'" in invoke("data", "describe", table).err
    assert invoke("data", "describe", table, "--quiet").err == ""


def test_another_scale_of_performance_is_stated(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("query_id,query,a,b,a|total_cost,b|total_cost\nq,text,7,9,1,2\n")
    assert invoke("data", "describe", table).code == 2
    ran = invoke("data", "describe", table, "--performance-range", "1", "10", "--json")
    assert json.loads(ran.out)["oracle_performance"] == 9.0


def test_fetch_describes_a_data_set_that_needs_no_file() -> None:
    ran = invoke("data", "fetch", "simulated", "--json", "--quiet")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["n_queries"] >= 6000


def test_fetch_of_an_unknown_name_suggests_one() -> None:
    ran = invoke("data", "fetch", "routerbench-5shots")
    assert ran.code == 2
    assert "did you mean 'routerbench-5shot'?" in ran.err


def test_fetch_without_a_network_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    ran = invoke("data", "fetch", "routerbench-0shot", "--quiet")
    assert ran.code == 2
    assert "could not be downloaded: http://127.0.0.1:9 cannot be reached" in ran.err
    assert "download it elsewhere" in ran.err


def test_describe_of_some_models(table: Path) -> None:
    ran = invoke("data", "describe", table, "--models", "small,large", "--json")
    assert json.loads(ran.out)["models"] == ["small", "large"]
    ran = invoke("data", "describe", table, "--exclude-models", "small")
    assert "120 queries, 2 models" in ran.out
    assert "note: 2 of 3 models were chosen" in ran.err
    ran = invoke("data", "describe", table, "--models", "smal,large")
    assert ran.code == 2
    assert "there is no model 'smal'; did you mean 'small'?" in ran.err


def test_describe_says_what_looks_wrong(tmp_path: Path) -> None:
    outcomes = make_table()
    write_table(replace(outcomes, models=("Large", "middle", "large")), tmp_path / "t.parquet")
    ran = invoke("data", "describe", tmp_path / "t.parquet")
    assert "warning: models that differ only by case, spaces or hyphens" in ran.err
    document = json.loads(invoke("data", "describe", tmp_path / "t.parquet", "--json").out)
    assert [warning[:18] for warning in document["warnings"]] == ["models that differ"]
    assert invoke("data", "describe", tmp_path / "t.parquet", "--quiet").err == ""


def test_describe_says_which_texts_the_encoder_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = make_table()
    texts = ("ทำไม", *outcomes.texts[1:])
    write_table(replace(outcomes, texts=texts), tmp_path / "t.parquet")
    monkeypatch.setattr(HashingEncoder, "unknown_share", lambda *_: 1.0)
    ran = invoke("data", "describe", tmp_path / "t.parquet", "--encoder", "toy")
    assert ran.err == ""  # one of 120 texts is less than one in a hundred
    texts = ("ทำไม", "น้ำแข็ง", *texts[2:])
    write_table(replace(outcomes, texts=texts), tmp_path / "t.parquet")
    ran = invoke("data", "describe", tmp_path / "t.parquet", "--encoder", "toy")
    assert "warning: of 2 of 120 queries (the first is 'q0') the encoder toy" in ran.err


def test_describe_says_that_it_could_not_check_the_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> float:
        raise MissingExtraError("no weights")

    outcomes = make_table()
    write_table(replace(outcomes, texts=("ทำไม", *outcomes.texts[1:])), tmp_path / "t.parquet")
    monkeypatch.setattr(HashingEncoder, "unknown_share", missing)
    ran = invoke("data", "describe", tmp_path / "t.parquet", "--encoder", "toy")
    assert ran.code == 0
    assert "encoder toy may not read, not checked: no weights" in ran.err


def test_a_pool_that_is_offered_can_be_given(shared_cases: Path) -> None:
    table = shared_cases / "names_by_case.csv"
    ran = invoke("data", "describe", table)
    assert ran.code == 2
    assert "2 models with 20 queries: --exclude-models 'Large '" in ran.err
    ran = invoke("data", "describe", table, "--exclude-models", "Large ")
    assert "complete queries: 20" in ran.out
    ran = invoke("data", "describe", table, "--models", "small, large")
    assert "40 queries, 2 models" in ran.out


def test_tables_are_merged_and_it_is_said_what_came_from_where(tmp_path: Path) -> None:
    whole = make_table(40)
    a, b, out = (tmp_path / name for name in ("a.parquet", "b.csv", "c.parquet"))
    write_table(whole.take(range(30)), a)
    write_table(whole.take(range(20, 40)), b)
    ran = invoke("data", "merge", a, b, "--out", out)
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"{a}: 30 queries, 3 models; 90 outcomes, 90 new, 0 in conflict",
        f"{b}: 20 queries, 3 models; 60 outcomes, 30 new, 0 in conflict",
        f"{out}: 40 queries, 3 models; complete queries: 36",
    ]
    assert read_table(out).equals(whole)
    changed = whole.performance.copy()
    changed[25, 1] = 1 - changed[25, 1]
    write_table(replace(whole, performance=changed), b)
    refused = invoke("data", "merge", a, b, "--out", out)
    assert refused.code == 2
    assert "1 outcome differs from an earlier table: model 'middle' on query 'q25'" in refused.err
    ran = invoke("data", "merge", a, b, "--out", out, "--conflicts", "first", "--json")
    assert json.loads(ran.out)["sources"][1]["n_conflicts"] == 1
    assert read_table(out).equals(whole)
