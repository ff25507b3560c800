"""`diagnose`: what is said about a data set and a pipeline, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from equirouter.data.tables import write_table
from tests.cli.invoke import invoke
from tests.toys import make_answered_table, make_table

FAST = ["--encoder", "toy", "--routers", "linear", "--resamples", 20, "--quiet"]
SECTIONS = (
    "Diagnosis of toy",
    "Outcomes: ties, margins, and what the oracle calls",
    "What the encoder sees",
    "The oracle with noise on its labels",
    "Where routers collapse",
    "Fitted and measured on the same queries",
    "What to do",
)


def test_a_data_set_is_diagnosed_in_text_and_files(table: Path, tmp_path: Path) -> None:
    ran = invoke("diagnose", table, *FAST, "--out", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    for title in (*SECTIONS, "Tasks: linear at the largest budget"):
        assert title in ran.out
    assert "query 7" not in ran.out  # no text of a query
    measured = ran.out.partition("Where routers collapse")[2].partition("Tasks: ")[0]
    assert max(map(len, measured.splitlines())) <= 80
    written = (tmp_path / "diagnosis.md").read_text("utf-8")
    assert "# Diagnosis of toy" in written
    assert "| `large` |" in written


def test_the_figures_of_the_json_are_those_of_the_table(table: Path, tmp_path: Path) -> None:
    ran = invoke("diagnose", table, *FAST, "--json", "--out", tmp_path)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found == json.loads((tmp_path / "diagnosis.json").read_text("utf-8"))
    outcomes = make_table()
    complete = outcomes.take(outcomes.is_complete).performance
    # three models that are right or wrong tie at the top unless exactly one is right
    assert found["table"]["margins"]["0"] == float((complete.sum(axis=1) != 1).mean())
    assert found["noise"][0]["rci"] == 0.0
    assert found["noise"][0]["performance"] == pytest.approx(complete.max(axis=1).mean())
    assert [router["name"] for router in found["routers"]] == ["linear", "mlp", "knn"]
    assert sum(task["n_queries"] for task in found["tasks"]) == found["setup"]["test_queries"]
    assert found["own"] is None


def test_the_router_that_train_makes_is_the_first_to_be_diagnosed(table: Path) -> None:
    ran = invoke("diagnose", table, "--encoder", "toy", "--resamples", 20, "--quiet", "--json")
    assert ran.code == 0, ran.err
    names = [router["name"] for router in json.loads(ran.out)["routers"]]
    assert names == ["factors", "equirouter", "mlp", "knn"]


def test_a_pipeline_is_measured_by_its_own_decisions(table: Path, pipeline: Path) -> None:
    ran = invoke("diagnose", table, "--pipeline", pipeline, "--resamples", 20, "--quiet", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["setup"]["trained_here"] is True
    saved = json.loads((pipeline / "pipeline.json").read_text("utf-8"))
    assert found["setup"]["split_hash"] == saved["split"]["hash"]
    assert found["tasks_of"] == "pipeline"
    assert found["own"]["quality"] == 0.3
    assert abs(sum(found["own"]["call_share"].values()) - 1.0) < 1e-9
    by_name = {router["name"]: router for router in found["routers"]}
    assert set(by_name) == {"pipeline", "mlp", "knn"}


def test_a_pipeline_on_another_table_says_so(pipeline: Path, tmp_path: Path) -> None:
    other = tmp_path / "toy.csv"
    write_table(make_table(seed=5), other, layout="wide")
    ran = invoke("diagnose", other, "--pipeline", pipeline, "--resamples", 0, "--quiet")
    assert ran.code == 0, ran.err
    assert "trained on another table" in ran.out


def test_a_pipeline_of_other_models_is_refused(pipeline: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    write_table(make_table(), other, layout="wide")
    renamed = other.read_text("utf-8").replace("middle", "medium-sized")
    other.write_text(renamed, "utf-8")
    ran = invoke("diagnose", other, "--pipeline", pipeline, "--quiet")
    assert ran.code == 2
    assert "the pipeline also has middle and the data set also has medium-sized" in ran.err


def test_a_pipeline_of_another_encoder_is_refused(table: Path, pipeline: Path) -> None:
    other = ["--encoder", "toy", "--encoder-option", "salt=other"]
    ran = invoke("diagnose", table, "--pipeline", pipeline, *other, "--quiet")
    assert ran.code == 2
    assert "fingerprint" in ran.err


def test_a_table_with_too_few_complete_rows_is_refused(tmp_path: Path) -> None:
    small = tmp_path / "small.csv"
    write_table(make_table(12, incomplete=0), small, layout="wide")
    ran = invoke("diagnose", small, *FAST)
    assert ran.code == 2
    assert "at least 20 are needed" in ran.err


def test_an_anchor_is_no_router_to_ask_for(table: Path) -> None:
    ran = invoke("diagnose", table, "--encoder", "toy", "--routers", "oracle", "--quiet")
    assert ran.code == 2
    assert "anchors are always measured" in ran.err


def test_a_diagnosis_of_some_models(table: Path) -> None:
    ran = invoke("diagnose", table, *FAST, "--json", "--exclude-models", "middle")
    assert ran.code == 0, ran.err
    assert [model["name"] for model in json.loads(ran.out)["models"]] == ["small", "large"]


def test_a_diagnosis_begins_with_what_looks_wrong_in_the_table(tmp_path: Path) -> None:
    models = ("small", "middle", "Small")
    write_table(replace(make_table(), models=models), tmp_path / "t.csv")
    ran = invoke("diagnose", tmp_path / "t.csv", *FAST)
    assert ran.code == 0, ran.err
    assert "Warnings about the table" in ran.out
    assert "models that differ only by case, spaces or hyphens" in " ".join(ran.out.split())


def test_whether_comparing_answers_would_pay(tmp_path: Path) -> None:
    write_table(make_answered_table(), tmp_path / "answered.parquet")
    ran = invoke("diagnose", tmp_path / "answered.parquet", *FAST, "--out", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "Would comparing two answers pay" in ran.out
    assert "Comparing the answers of two cheap models pays here" in ran.out.replace("\n", " ")
    document = json.loads((tmp_path / "diagnosis.json").read_text("utf-8"))
    assert document["check"]["pairs"][0]["models"] == ["one", "two"]
    assert {at["quality"]: at["taken"] for at in document["check"]["costs"]}[0.98] != "routing"
