"""`pipeline`: the versions of a folder, and which of them is current."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from equirouter.data.tables import write_table
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.pipeline.evidence import Evidence
from tests.cli.conftest import trained
from tests.cli.invoke import invoke
from tests.toys import HashingEncoder, make_log, make_table


@pytest.fixture
def folder(pipeline: Path, tmp_path: Path) -> Path:
    """Two versions of a pipeline, the second one current."""
    versions = PipelineVersions(tmp_path / "p")
    made = RoutingPipeline.load(pipeline, encoder=HashingEncoder())
    for over in (None, "0001"):
        versions.promote(versions.add(made, how="train"), over=over, how="train")
    return versions.folder


def test_the_versions_are_listed(folder: Path) -> None:
    ran = invoke("pipeline", "list", folder, "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert found["current"] == "0002"
    assert [(row["version"], row["current"]) for row in found["versions"]] == [
        ("0001", False),
        ("0002", True),
    ]
    row = found["versions"][0]
    assert (row["data"], row["n_rows"], row["quality"], row["how"]) == ("toy", 120, 0.3, "train")
    lines = invoke("pipeline", "list", folder).out.splitlines()
    assert [line.split()[:2] for line in lines[1:]][1] == ["0002", "current"]


def test_a_version_is_shown_with_its_history(folder: Path) -> None:
    found = json.loads(invoke("pipeline", "show", folder, "0001", "--json").out)
    assert [(event["did"], event["version"]) for event in found["history"]] == [
        ("added", "0001"),
        ("promoted", "0001"),
        ("added", "0002"),
        ("promoted", "0002"),
    ]
    assert "promise rests on    " in invoke("pipeline", "show", folder).out


def test_a_version_is_made_current_and_the_one_before_again(folder: Path) -> None:
    ran = invoke("pipeline", "promote", folder, "0001")
    assert (ran.code, ran.out) == (0, f"{folder}: 0001 is current, it was 0002\n")
    assert PipelineVersions(folder).current == "0001"
    ran = invoke("pipeline", "rollback", folder, "--json")
    assert json.loads(ran.out) == {"pipeline": str(folder), "current": "0002", "before": "0001"}
    nothing = invoke("pipeline", "promote", folder, "0007")
    assert nothing.code == 2
    assert "there is no version '0007'; there are: 0001, 0002" in nothing.err


def test_nothing_is_rolled_back_to_a_damaged_version(folder: Path) -> None:
    weights = folder / "versions" / "0001" / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ran = invoke("pipeline", "rollback", folder)
    assert ran.code == 2
    assert str(weights) in ran.err
    assert PipelineVersions(folder).current == "0002"
    weights.write_bytes(content)
    assert invoke("pipeline", "rollback", folder).code == 0


def test_far_too_little_evidence_is_refused_unless_forced(tmp_path: Path) -> None:
    write_table(make_table(1000), tmp_path / "many.csv")
    write_table(make_table(40), tmp_path / "few.csv")
    folder = trained(tmp_path / "many.csv", tmp_path / "p", "factors").parents[1]
    options = ["--encoder", "toy", "--router", "knn:k=5", "--quality", "0.3", "--out", folder]
    assert invoke("train", tmp_path / "few.csv", *options).code == 3
    ran = invoke("pipeline", "promote", folder, "0002")
    assert ran.code == 3
    assert "rests on 4 queries, less than a tenth of the" in ran.err
    assert PipelineVersions(folder).current == "0001"
    assert invoke("pipeline", "promote", folder, "0002", "--force").code == 0
    event = PipelineVersions(folder).history[-1]
    assert (event.version, event.forced) == ("0002", True)
    assert "less than a tenth" in event.why


def test_a_version_that_the_gate_refused_is_promoted_by_force_alone(folder: Path) -> None:
    versions = PipelineVersions(folder)
    versions.note("0001", "refused", how="retrain", why="it keeps 0.812 where 0.9 is promised")
    ran = invoke("pipeline", "promote", folder, "0001")
    assert ran.code == 3
    assert "0001 is not made current: it was refused by retrain on 20" in ran.err
    assert "in favour of 0002, because it keeps 0.812 where 0.9 is promised; `equirouter" in ran.err
    assert "--force makes it current anyway" in ran.err
    assert versions.current == "0002"
    assert invoke("pipeline", "promote", folder, "0001", "--force").code == 0
    event = versions.history[-1]
    assert (event.version, event.forced) == ("0001", True)
    assert "because it keeps 0.812 where 0.9 is promised" in event.why
    assert invoke("pipeline", "rollback", folder).code == 0
    assert invoke("pipeline", "promote", folder, "0001").code == 0  # somebody stood up for it


def test_a_folder_without_versions_says_so(pipeline: Path, tmp_path: Path) -> None:
    ran = invoke("pipeline", "list", tmp_path)
    assert ran.code == 2
    assert "no versions of a pipeline there; `equirouter train" in ran.err
    assert "give " in invoke("pipeline", "list", pipeline).err
    (tmp_path / "file.csv").touch()
    for command in (
        ["route", tmp_path / "file.csv", "hello"],
        ["pipeline", "list", tmp_path / "file.csv"],
    ):
        ran = invoke(*command)
        assert (ran.code, "file.csv: no " in ran.err) == (2, True)


def evidence(n: int, kept: float, half: float) -> Evidence:
    interval = (kept - half, kept + half)
    return Evidence("t", n, n, 0.98, 0.85, 0.5, n, kept, interval, 0.5)


@pytest.mark.parametrize(
    ("n", "kept", "half", "is_far"),
    [
        (620, 0.959, 0.01, False),
        (619, 0.959, 0.01, True),  # less than a tenth of 6200
        (6000, 0.856, 0.02, True),  # 0.876 < 0.949 - 0.02
        (6000, 0.90, 0.03, False),  # 0.93 is not
    ],
)
def test_what_is_far_below(n: int, kept: float, half: float, is_far: bool) -> None:
    served = evidence(6200, 0.959, 0.01)
    assert (evidence(n, kept, half).far_below(served) is not None) is is_far


def test_a_log_without_complete_rows_is_compared_off_policy(pipeline: Path, tmp_path: Path) -> None:
    made = RoutingPipeline.load(pipeline, encoder=HashingEncoder())
    versions = PipelineVersions(tmp_path / "p")
    for one, over in ((replace(made, quality=1.0), None), (made, "0001")):
        versions.promote(versions.add(one, how="train"), over=over, how="train")
    write_table(make_log(make_table(1500, seed=9, incomplete=0), 0.3), tmp_path / "log.parquet")
    options = ["pipeline", "compare", tmp_path / "p", tmp_path / "log.parquet", "0002"]
    ran = invoke(*options, "--against", "0001")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("off-policy: few queries have the outcomes of all models")
    assert "performance, doubly robust" in ran.out
    assert "gate: it keeps" in ran.out
    found = json.loads(invoke(*options, "--against", "0001", "--json").out)
    assert found["champion"] == "0001"
    assert found["estimates"]["cost_usd"]["high"] < 0  # it calls cheaper models
    assert found["cost"]["high"] < 0
    assert found["n_effective"] < found["n_queries"] == 1490  # ten were learned from


def test_a_damaged_version_neither_hides_the_others_nor_stays_current(folder: Path) -> None:
    (folder / "versions" / "0002" / "pipeline.json").write_text("{")
    lines = invoke("pipeline", "list", folder).out.splitlines()
    assert lines[1].startswith("0001  ")
    assert lines[2].startswith("0002 current damaged  ")
    assert "is damaged, cut, or was edited" in invoke("pipeline", "show", folder).out
    found = json.loads(invoke("pipeline", "list", folder, "--json").out)["versions"]
    assert [row["damaged"] is None for row in found] == [True, False]
    assert found[1]["quality"] is None
    assert invoke("pipeline", "promote", folder, "0001").code == 0
    refused = invoke("pipeline", "promote", folder, "0002")
    assert refused.code == 2
    assert "is damaged, cut, or was edited" in refused.err
    (folder / "versions" / "0001" / "weights.safetensors").write_bytes(b"")
    PipelineVersions(folder).roll_back(how="test")
    assert "SHA-256 is" in invoke("pipeline", "promote", folder, "0001").err


def test_a_current_version_that_is_missing_is_named_with_the_way_out(folder: Path) -> None:
    (folder / "versions" / "0002").rename(folder / "away")
    for command in (["route", folder, "hello"], ["models", "list", folder]):
        ran = invoke(*command)
        assert ran.code == 2
        assert "names version 0002, which is not there; there are: 0001" in ran.err
        assert f"`equirouter pipeline promote {folder} VERSION`" in ran.err
    assert (
        "the current version is 0002, which is not there" in invoke("pipeline", "list", folder).err
    )
    assert invoke("pipeline", "promote", folder, "0001").code == 0
    assert PipelineVersions(folder).current == "0001"


def test_a_version_is_not_compared_with_itself(folder: Path, tmp_path: Path) -> None:
    write_table(make_table(60), tmp_path / "new.csv")
    ran = invoke("pipeline", "compare", folder, tmp_path / "new.csv")
    assert ran.code == 2
    assert "0002 would be compared with itself; name another version" in ran.err


def test_what_is_shown_has_no_empty_fields_and_no_python(folder: Path) -> None:
    shown = invoke("pipeline", "show", folder).out
    assert "current             yes\n" in shown
    assert not {"?", "True", "None", "("} & set(shown.partition("history")[0].split())
    assert all(len(line) <= 80 for line in invoke("pipeline", "list", folder).out.splitlines())
