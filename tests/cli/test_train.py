"""`train`: what is saved, and what is said about it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.cli import train as command
from equirouter.data.tables import write_table
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.pipeline.stored import SCHEMA
from tests.cli.invoke import REPOSITORY, invoke
from tests.toys import HashingEncoder, make_answered_table, make_table

FILES = ["pipeline.json", "weights.safetensors"]


def test_a_pipeline_is_two_files_that_say_where_it_comes_from(pipeline: Path) -> None:
    assert sorted(path.name for path in pipeline.iterdir()) == FILES
    description = json.loads((pipeline / "pipeline.json").read_text("utf-8"))
    assert description["schema"] == SCHEMA
    assert [model["name"] for model in description["models"]] == ["small", "middle", "large"]
    assert description["encoder"]["fingerprint"] == "toy--32"
    assert description["router"]["name"] == "knn"
    assert description["router"]["settings"]["k"] == 5
    assert description["policy"]["name"] == "utility"  # knn estimates performance
    assert description["data"]["n_queries"] == 120
    assert description["split"]["seed"] == 42
    assert 0 <= description["test_metrics"]["nauc"]["mean"] <= 1


def test_a_router_that_ranks_is_calibrated_in_budgets(ranking_pipeline: Path) -> None:
    policy = json.loads((ranking_pipeline / "pipeline.json").read_text("utf-8"))["policy"]
    assert (policy["name"], policy["calibration"]["setting"]) == ("budget", "budget_usd")


def test_training_twice_gives_the_same_files(table: Path, pipeline: Path, tmp_path: Path) -> None:
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3", "--json", "--quiet"]
    ran = invoke("train", table, *options, "--out", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    for name in FILES:
        assert (tmp_path / "versions/0001" / name).read_bytes() == (pipeline / name).read_bytes()
    document = json.loads(ran.out)
    assert document["pipeline"] == str(tmp_path)
    assert document["policy"] == "utility"
    assert document["lambda"] >= 0
    assert document["validation"]["relative_performance"] >= 0.3
    assert document["test_metrics"]["rci"]["per_seed"][0] == document["test_metrics"]["rci"]["mean"]


def test_the_operating_point_and_the_test_figures_are_printed(table: Path, tmp_path: Path) -> None:
    options = ["--encoder", "toy", "--router", "knn", "--quality", "0.3", "--policy", "budget"]
    ran = invoke("train", table, *options, "--out", tmp_path)
    assert ran.code == 0
    for words in (str(tmp_path), "budget_usd", "each as if it were new", "nAUC"):
        assert words in ran.out
    description = json.loads((tmp_path / "versions/0001/pipeline.json").read_text("utf-8"))
    kept = description["test_metrics"]["at_quality"]
    low, high = kept["interval"]
    assert (
        f"test part, {kept['n_queries']} queries, before the pipeline learned from them: "
        f"quality {kept['performance']:.3f} "
        f"[{low:.3f}, {high:.3f}] at {kept['cost']:.1%} of its cost; nAUC"
    ) in ran.out


# a router that has hardly moved scores at random, and calibrates on the validation part
AT_RANDOM = ["--encoder", "toy", "--router", "mlp:epochs=1:learning_rate=1e-9", "--quality", "1"]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.csv"
    write_table(make_table(1000), path)
    return path


def test_a_default_that_gave_way_to_the_point_estimate_says_so(many: Path, tmp_path: Path) -> None:
    options = [*AT_RANDOM, "--seed", "3"]
    ran = invoke("train", many, *options, "--out", tmp_path / "a")
    assert "with confidence 0.5" in ran.out
    assert "note: 100 queries promise this quality as a point estimate only" in ran.err
    named = invoke("train", many, *options, "--confidence", "0.5", "--out", tmp_path / "b")
    assert (named.code, "point estimate" in named.err) == (0, False)


def test_too_few_complete_rows_are_explained_and_nothing_is_saved(tmp_path: Path) -> None:
    write_table(make_table(40), tmp_path / "few.csv")
    ran = invoke("train", tmp_path / "few.csv", "--encoder", "toy", "--out", tmp_path / "p")
    assert ran.code == 2
    assert "cannot be promised from 36 queries with the outcome of every model: 95" in ran.err
    assert not (tmp_path / "p").exists()


def test_embeddings_made_before_are_taken_from_a_file(table: Path, tmp_path: Path) -> None:
    texts = make_table().texts
    np.save(tmp_path / "e.npy", HashingEncoder().encode(texts))
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3"]
    given = ["--embeddings", tmp_path / "e.npy"]
    assert invoke("train", table, *options, "--out", tmp_path / "a").code == 0
    ran = invoke("train", table, *options, *given, "--out", tmp_path / "b")
    assert ran.code == 0, ran.err
    for name in FILES:
        made, given_made = (tmp_path / out / "versions/0001" / name for out in "ab")
        assert made.read_bytes() == given_made.read_bytes()

    np.save(tmp_path / "narrow.npy", HashingEncoder().encode(texts)[:, :1] * 0 + 1)
    narrow = ["--embeddings", tmp_path / "narrow.npy"]
    ran = invoke("bench", table, "--encoder", "toy", *narrow, "--out", tmp_path / "c")
    assert ran.code == 2
    assert "embeddings of 1 numbers, but the encoder toy makes 32" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--encoder-option", "salt"], "'salt': expected KEY=VALUE"),
        (["--encoder-option", "colour=red"], "encoder 'toy' has no option 'colour'"),
        (["--router", "oracle"], "oracle does not read the query"),
        (["--quality", "98"], "quality is 98.0: expected a share of the strongest"),
        (["--confidence", "0.3"], "confidence is 0.3: expected 0.5 to below 1"),
        (["--quality", "nan"], "quality is nan"),
        (["--when-nothing-fits", "panic"], "'panic' is not one of 'cheapest', 'refuse'"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_what_makes_no_sense_is_said_before_the_training(
    options: list[str], words: str, table: Path, tmp_path: Path
) -> None:
    ran = invoke("train", table, "--encoder", "toy", *options, "--out", tmp_path)
    assert ran.code == 2
    assert words in ran.err
    assert not list(tmp_path.iterdir())


def test_a_quality_out_of_reach_of_the_router_goes_to_the_strongest_with_a_warning(
    many: Path, tmp_path: Path
) -> None:
    ran = invoke("train", many, *AT_RANDOM, "--seed", "0", "--out", tmp_path / "out")
    assert ran.code == 0
    assert "warning: no operating point below the cost of large keeps quality 1" in ran.err
    decided = invoke("route", tmp_path / "out", "easy task1 query", "--json")
    assert json.loads(decided.out)["model"] == "large"


def test_a_model_that_is_strongest_and_free_leaves_nothing_to_save(tmp_path: Path) -> None:
    table = tmp_path / "free.csv"
    lines = [f"q{i},query {i} x{i % 3},1,{i % 2},0,0.01" for i in range(60)]
    table.write_text(
        "\n".join(["query_id,query,free,paid,free|total_cost,paid|total_cost", *lines])
    )
    options = ["--encoder", "toy", "--router", "knn", "--quality", "0.5"]
    ran = invoke("train", table, *options, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "the calls of the strongest model cost nothing on the 6 validation queries" in ran.err


def test_tokens_that_explain_no_cost_are_remarked_on(tmp_path: Path) -> None:
    made = make_table(incomplete=0)
    tokens = np.ones_like(made.cost_usd) * [[10.0, 20.0, 30.0]]
    path = tmp_path / "tokens.csv"
    write_table(replace(made, input_tokens=tokens, output_tokens=tokens), path)
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3"]
    ran = invoke("train", path, *options, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "note: tokens are not used: no price explains what the calls of 'small' cost" in ran.err
    described = json.loads((tmp_path / "out" / "versions/0001/pipeline.json").read_text("utf-8"))
    assert described["cost_model"]["predicts"] == "cost_usd"


def test_a_router_in_a_file_is_refused_with_the_way_out(table: Path, tmp_path: Path) -> None:
    own = f"{REPOSITORY / 'examples' / 'my_router.py'}:MyRouter"
    options = ["--encoder", "toy", "--router", own, "--out", tmp_path / "pipeline"]
    ran = invoke("train", table, *options)
    assert ran.code == 2
    assert "a saved pipeline could not load a router from a file; register the class" in ran.err
    assert not (tmp_path / "pipeline").exists()


def test_embeddings_of_a_file_go_with_the_queries_of_the_chosen_models(tmp_path: Path) -> None:
    outcomes = make_table()
    cells = outcomes.cost_usd.copy()
    cells[:20, :2] = np.nan  # the first queries are known of the model large alone
    performance = np.where(np.isnan(cells), np.nan, outcomes.performance)
    write_table(replace(outcomes, performance=performance, cost_usd=cells), tmp_path / "t.csv")
    np.save(tmp_path / "e.npy", HashingEncoder().encode(outcomes.texts))
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3"]
    options += ["--models", "middle,small"]
    for folder, more in (("a", []), ("b", ["--embeddings", tmp_path / "e.npy"])):
        ran = invoke("train", tmp_path / "t.csv", *options, "--out", tmp_path / folder, *more)
        assert ran.code == 0, ran.err
        assert "note: 2 of 3 models were chosen; 20 queries without an outcome" in ran.err
    pipelines = [
        json.loads((tmp_path / f / "versions/0001/pipeline.json").read_text("utf-8")) for f in "ab"
    ]
    assert [model["name"] for model in pipelines[0]["models"]] == ["middle", "small"]
    assert pipelines[0]["data"]["n_queries"] == 100
    assert pipelines[0]["weights_sha256"] == pipelines[1]["weights_sha256"]


def test_what_looks_wrong_in_the_table_is_said_and_kept(tmp_path: Path) -> None:
    models = ("small", "middle", "Small")
    write_table(replace(make_table(), models=models), tmp_path / "t.csv")
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3"]
    ran = invoke("train", tmp_path / "t.csv", *options, "--out", tmp_path / "p")
    assert ran.code == 0, ran.err
    assert ran.err.count("models that differ only by case") == 1
    notes = json.loads((tmp_path / "p" / "versions/0001/pipeline.json").read_text("utf-8"))["data"][
        "notes"
    ]
    assert [note[:18] for note in notes] == ["models that differ", "116 of 120 queries"]


def test_a_table_whose_texts_say_nothing_is_warned_of(tmp_path: Path) -> None:
    whole = make_table()
    shuffled = np.random.default_rng(1).permutation(whole.n_queries)
    texts = tuple(f"{whole.texts[row]} {number}" for number, row in enumerate(shuffled.tolist()))
    path = tmp_path / "t.csv"
    write_table(replace(whole, texts=texts, tasks=("all",) * whole.n_queries), path)
    ran = invoke("train", path, "--encoder", "toy", "--quality", "0.9", "--out", tmp_path / "p")
    assert ran.code == 0, ran.err
    assert "warning: on the test part reading the queries is not shown to pay: at 90%" in ran.err


@pytest.mark.parametrize("given", [[], ["--answers-by", "exact"]])
def test_what_comparing_answers_saves_is_printed(tmp_path: Path, given: list[str]) -> None:
    kept = "label@1" if given else "exact@1"  # in the table; what is given counts more
    write_table(replace(make_answered_table(), answers_by=kept), tmp_path / "answered.parquet")
    options = ["--encoder", "toy", *given, "--out", tmp_path / "out"]
    ran = invoke("train", tmp_path / "answered.parquet", *options)
    assert ran.code == 0, ran.err
    assert "quality       one model  agreement rule   learned plans   taken" in ran.out
    assert "asked at once: one and two" in ran.out
    assert "taken is one model, unless another gains more" in ran.out
    assert 'next: set pipeline.path = "' in ran.err
    assert "wrongly accepted" in ran.out
    description = json.loads((tmp_path / "out" / "versions/0001/pipeline.json").read_text("utf-8"))
    assert description["plans"]["extractor"] == "exact@1"


def test_training_again_adds_a_version_and_replaces_none(table: Path, tmp_path: Path) -> None:
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3", "--out", tmp_path]
    assert invoke("train", table, *options).code == 0
    again = invoke("train", table, *options, "--json", "--quiet")
    assert again.code == 3
    assert "version 0002 is saved and not made current: 0 complete queries are new" in again.err
    refused = json.loads(again.out)
    assert (refused["version"], refused["current"]) == ("0002", False)
    assert "200 are needed" in refused["refused"]
    versions = PipelineVersions(tmp_path)
    assert (versions.names, versions.current) == (["0001", "0002"], "0001")
    forced = invoke("train", table, *options, "--promote", "--json", "--quiet")
    assert forced.code == 0
    assert json.loads(forced.out)["current"] is True
    assert versions.current == "0003"
    assert versions.history[-1].forced


def test_of_two_trainings_into_a_new_folder_the_second_does_not_pass_unasked(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, fit = PipelineVersions(tmp_path / "new"), command.fitted

    def overtaken(*arguments: Any) -> RoutingPipeline:  # those of fitted
        made = fit(*arguments)
        versions.promote(versions.add(made, how="the other"), over=None, how="the other")
        return made

    monkeypatch.setattr(command, "fitted", overtaken)
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3"]
    ran = invoke("train", table, *options, "--out", versions.folder)
    assert ran.code == 2
    assert "meanwhile 0001 became current; 0002 is there, and not current" in ran.err
    assert versions.current == "0001"


def test_a_damaged_pipeline_can_be_replaced_by_a_new_training(
    table: Path, pipeline: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(pipeline.parents[1], tmp_path / "p")
    (folder / "versions" / "0001" / "weights.safetensors").write_bytes(b"")
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3", "--out", folder]
    ran = invoke("train", table, *options)
    assert ran.code == 2
    assert "SHA-256 is" in ran.err
    assert f"`equirouter pipeline rollback {folder}` makes the version before it" in ran.err
    assert invoke("train", table, *options, "--promote").code == 0
    assert PipelineVersions(folder).current == "0002"


def test_a_table_without_the_models_of_the_pipeline_there_names_the_ways_out(
    table: Path, tmp_path: Path
) -> None:
    options = ["--encoder", "toy", "--router", "knn", "--quality", "0.3", "--quiet"]
    assert invoke("train", table, *options, "--out", tmp_path / "p").code == 0
    options += ["--models", "small,middle"]
    refused = invoke("train", table, *options, "--out", tmp_path / "p")
    assert refused.code == 2
    assert "chooses between small, middle, large" in refused.err
    assert "no outcomes of large" in refused.err
    assert "(--out)" in refused.err
    assert PipelineVersions(tmp_path / "p").current == "0001"
    assert invoke("train", table, *options, "--promote", "--out", tmp_path / "p").code == 0
    assert PipelineVersions(tmp_path / "p").current == "0002"
