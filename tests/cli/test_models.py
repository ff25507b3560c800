"""The commands that change the pool of a pipeline."""

import json
import shutil
from pathlib import Path

import pytest

from equirouter.cli.trained import PipelinePlace
from equirouter.data.tables import write_table
from equirouter.errors import ConfigError
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from tests.cli.invoke import invoke
from tests.toys import HashingEncoder, make_table


@pytest.fixture
def folder(pipeline: Path, tmp_path: Path) -> Path:
    """A copy of a trained pipeline, to be changed."""
    return Path(shutil.copytree(pipeline, tmp_path / "pipeline"))


def test_the_models_are_listed(pipeline: Path) -> None:
    ran = invoke("models", "list", pipeline, "--json")
    assert (ran.code, ran.err) == (0, "")
    rows = json.loads(ran.out)
    assert [row["model"] for row in rows] == ["small", "middle", "large"]
    assert [row["strongest"] for row in rows] == [False, False, True]
    assert [row["cheapest"] for row in rows] == [True, False, False]
    assert rows[2]["cost_usd"] == pytest.approx(0.01, rel=0.2)
    assert rows[0]["price"] is None
    shown = invoke("models", "list", pipeline).out.splitlines()
    assert shown[0].split() == ["model", "performance", "cost", "USD", "input", "output"]
    assert shown[3].startswith("large")
    assert shown[4:] == ["strongest: large", "cheapest: small"]


def test_a_price_changes_costs_and_operating_points(folder: Path) -> None:
    before = json.loads(invoke("route", folder, "a query", "--lambda", "1", "--json").out)
    options = ["--name", "large", "--input", "1", "--output", "3"]
    was = ["--was-input", "10", "--was-output", "30"]
    ran = invoke("models", "price", folder, *options, *was, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["pipeline"] == str(folder)
    assert found["models"] == [{"model": "large", "factor": 0.1, "low": 0.1, "high": 0.1}]
    assert found["after"]["lambda"] != found["before"]["lambda"]
    after = json.loads(invoke("route", folder, "a query", "--lambda", "1", "--json").out)
    costs = [decision["predicted_costs_usd"]["large"] for decision in (before, after)]
    assert costs[1] == pytest.approx(0.1 * costs[0])
    listed = json.loads(invoke("models", "list", folder, "--json").out)[2]
    assert listed["price"] == {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 3.0}
    assert listed["trained_price"] == {"input_usd_per_mtok": 10.0, "output_usd_per_mtok": 30.0}
    assert "price changed: large" in invoke("models", "list", folder).out


def test_prices_from_a_table(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(
        "[models.large]\ninput_usd_per_mtok = 5\noutput_usd_per_mtok = 5\n"
        "[models.unknown]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n"
    )
    was = ["--was-input", "10", "--was-output", "10"]
    other = tmp_path / "other"
    ran = invoke("models", "price", folder, "--table", table, *was, "--out", other)
    assert ran.code == 0, ran.err
    assert "large: calls cost 0.5 of what they cost in training" in ran.out
    assert "quality 0.3 of the strongest model: lambda" in ran.out
    assert json.loads(invoke("models", "list", folder, "--json").out)[2]["price"] is None
    assert json.loads(invoke("models", "list", other, "--json").out)[2]["price"] is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "large"], "give the new price in one way"),
        (["--name", "large", "--input", "1", "--output", "1", "--shipped"], "in one way"),
        (["--input", "1", "--output", "1"], "--name says whose price it is"),
        (["--name", "huge", "--input", "1", "--output", "1"], "no model 'huge'"),
        (["--name", "large", "--input", "1"], "output_usd_per_mtok is missing"),
        (["--name", "large", "--input", "1", "--output", "1"], "--was-input"),
        (
            ["--name", "large", "--input", "1", "--output", "1", "--was-input", "1"],
            "are given together",
        ),
        (["--shipped"], "has none of the models small, middle, large"),
        (["--shipped", "--name", "large"], "no price of 'large'"),
        (["--table", "none.toml"], "none.toml: cannot be read"),
    ],
)
def test_a_price_that_cannot_be_is_refused(folder: Path, options: list[str], message: str) -> None:
    before = (folder / "pipeline.json").read_bytes()
    ran = invoke("models", "price", folder, *options)
    assert ran.code == 2
    assert message in ran.err
    assert (folder / "pipeline.json").read_bytes() == before


def test_a_pipeline_that_came_meanwhile_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    place = PipelinePlace(tmp_path / "out")
    made = RoutingPipeline.load(folder, encoder=HashingEncoder())
    versions = PipelineVersions(tmp_path / "out")
    versions.promote(versions.add(made, how="train"), over=None, how="train")
    with pytest.raises(ConfigError, match="meanwhile 0001 became current; 0002 is there"):
        place.save(made, "models price")


def test_a_model_is_taken_out(folder: Path) -> None:
    ran = invoke("models", "remove", folder, "--name", "large")
    assert ran.code == 0, ran.err
    assert "large was the strongest model" in ran.err
    assert "without large: 2 models left" in ran.out
    assert f"saved to {folder} as version 0002, which is current" in ran.out
    decision = json.loads(invoke("route", folder, "a query", "--json").out)
    assert decision["model"] in ("small", "middle")
    assert set(decision["scores"]) == {"small", "middle"}
    ran = invoke("models", "remove", folder, "--name", "large", "--json")
    assert ran.code == 2
    assert "no model 'large'" in json.loads(ran.out)["error"]["message"]
    assert invoke("models", "remove", folder, "--name", "small").code == 2


@pytest.fixture
def two(folder: Path) -> Path:
    """A pipeline without the model `middle`."""
    assert invoke("models", "remove", folder, "--name", "middle").code == 0
    return folder


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    """Outcomes of three models on 60 other queries."""
    path = tmp_path / "labelled.csv"
    write_table(make_table(60, seed=7, incomplete=0), path)
    return path


def test_a_model_is_added_and_current_once_it_is_promoted(two: Path, outcomes: Path) -> None:
    ran = invoke("models", "add", two, "--name", "middle", "--outcomes", outcomes)
    assert ran.code == 3  # the pipeline learned from 72 queries
    assert "added middle from 60 labelled queries; expected performance 0." in ran.out
    assert "most like: " in ran.out
    assert "train again once it has outcomes on many queries" in ran.err
    assert "version 0003 is saved and not made current: 72 queries that are new" in ran.err
    versions = PipelineVersions(two)
    assert (versions.current, versions.history[-1].did) == ("0002", "refused")
    assert f"promote {two} 0003 --force` makes it current" in ran.err
    assert invoke("pipeline", "promote", two, "0003").code == 3
    assert invoke("pipeline", "promote", two, "0003", "--force").code == 0
    listed = json.loads(invoke("models", "list", two, "--json").out)
    history = PipelineVersions(two).history
    assert [(event.version, event.how) for event in history if event.did == "promoted"] == [
        ("0001", "it was here already"),
        ("0002", "models remove"),
        ("0003", "pipeline promote"),
    ]
    assert [row["model"] for row in listed] == ["small", "large", "middle"]
    assert [row["estimated"] for row in listed] == [False, False, True]
    assert listed[2]["cost_usd"] == pytest.approx(1e-3, rel=0.3)
    assert "\nestimated: " in invoke("models", "list", two).out
    decision = json.loads(
        invoke("route", two, "medium task1 query", "--lambda", "100", "--json").out
    )
    assert set(decision["scores"]) == {"small", "large", "middle"}


def test_a_model_becomes_current_where_its_labels_show_that_it_pays(tmp_path: Path) -> None:
    write_table(make_table(900, incomplete=0).with_models(["small", "large"]), tmp_path / "t.csv")
    trained = ("--encoder", "toy", "--quality", "0.9", "--out", tmp_path / "p")
    assert invoke("train", tmp_path / "t.csv", *trained).code == 0
    write_table(make_table(400, seed=7, incomplete=0), tmp_path / "labelled.csv")
    options = ("--name", "middle", "--outcomes", tmp_path / "labelled.csv", "--json")
    ran = invoke("models", "add", tmp_path / "p", *options)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["current"], found["refused"], found["n_labels"]) == (True, None, 400)
    event = PipelineVersions(tmp_path / "p").history[-1]
    assert (event.did, event.over, event.how) == ("promoted", "0001", "models add")
    assert event.figures is not None
    assert event.figures["n_queries"] == 1300  # 900 with two models' outcomes, 400 with one's
    assert event.figures["cost"]["high"] < 0
    # 20 labels tell too little of a model that most queries would go to
    write_table(make_table(20, seed=8, incomplete=0), tmp_path / "few.csv")
    assert invoke("pipeline", "rollback", tmp_path / "p").code == 0
    few = invoke("models", "add", tmp_path / "p", *options[:3], tmp_path / "few.csv", "--json")
    assert few.code == 3
    assert json.loads(few.out)["current"] is False
    assert PipelineVersions(tmp_path / "p").current == "0001"


def test_what_was_added_as_json(two: Path, outcomes: Path, tmp_path: Path) -> None:
    options = ["--name", "middle", "--outcomes", outcomes, "--input", "1", "--output", "2"]
    ran = invoke("models", "add", two, *options, "--out", tmp_path / "three", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert (found["n_labels"], found["version"]) == (60, "0001")
    assert found["models"] == ["small", "large", "middle"]
    assert set(found["follows"]) == {"small", "large"}
    listed = json.loads(invoke("models", "list", tmp_path / "three", "--json").out)
    assert listed[2]["price"] == {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    assert len(json.loads(invoke("models", "list", two, "--json").out)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "large"], "has 'large' already"),
        (["--name", "huge"], "has no model 'huge'"),
        (["--name", "middle", "--input", "1"], "are given together"),
        (["--name", "middle", "--shipped"], "no price of 'middle'"),
        (
            ["--name", "middle", "--input", "1", "--output", "1", "--shipped"],
            "give the price in one way",
        ),
    ],
)
def test_a_model_that_cannot_join_is_refused(
    two: Path, outcomes: Path, options: list[str], message: str
) -> None:
    before = (two / "current.json").read_bytes()
    ran = invoke("models", "add", two, *options, "--outcomes", outcomes)
    assert ran.code == 2
    assert message in ran.err
    assert (two / "current.json").read_bytes() == before
