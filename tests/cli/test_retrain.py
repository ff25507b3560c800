"""`retrain`, and the gate of `train`: a version is current only where it is shown to be as good."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from equirouter.data.outcomes import Outcomes
from equirouter.data.tables import write_table
from equirouter.evaluation.promotion.retrain import with_log
from equirouter.pipeline import PipelineVersions
from equirouter.pipeline.versions import retraining
from equirouter.serve.records import RequestRecord
from tests.cli.invoke import Ran, invoke, invoke_process
from tests.cli.test_log import CONFIG, keep, simulated
from tests.toys import make_table

TRAIN = ("--encoder", "toy", "--router", "knn:k=5", "--quality", "0.9")


def others(n: int, seed: int = 1) -> Outcomes:
    table = make_table(n, seed=seed, incomplete=0)
    return replace(table, texts=tuple(f"new {text}" for text in table.texts))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline in `p` and its table, which tests copy."""
    made = tmp_path_factory.mktemp("trained")
    write_table(make_table(300), made / "base.parquet")
    ran = invoke("train", made / "base.parquet", *TRAIN, "--out", made / "p")
    assert ran.code == 0, ran.err
    return made


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "p"


@pytest.fixture
def config(folder: Path) -> Path:
    path = folder.parent / "gateway.toml"
    section = '[retrain]\ntable = "base.parquet"\nminimum_rows = 200\nmargin = 0.1\n'
    path.write_text(f'[pipeline]\npath = "p"\n{section}{CONFIG}')
    return path


def of_keys(table: Outcomes, names: Sequence[str]) -> Iterator[tuple[RequestRecord, float | None]]:
    """The known cells of a table as requests that keys rated by turns."""
    for place, (one, score) in enumerate(simulated(table)):
        name = names[place % len(names)]
        yield replace(one, request_id=f"{name}-{place}", key_id=name), score


def retrained(config: Path, *options: str) -> Ran:
    """In a process of its own: it limits its own threads and memory."""
    return invoke_process("retrain", str(config), *options)


def test_a_challenger_as_good_becomes_current(config: Path, folder: Path) -> None:
    keep(config, simulated(others(500)))
    ran = retrained(config, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["current"] == PipelineVersions(folder).current == "0002"
    assert found["comparison"]["n_queries"] == 250
    event = PipelineVersions(folder).history[-1]
    assert (event.did, event.version, event.over, event.how) == (
        "promoted",
        "0002",
        "0001",
        "retrain",
    )
    assert event.figures == found["comparison"]
    described = json.loads((folder / "versions/0002/pipeline.json").read_text("utf-8"))
    assert described["data"]["n_queries"] == 350  # 300 and 50: 250 are judged, 200 give points


def test_what_is_kept_beyond_the_promise_is_not_asked_of_a_cheaper_challenger(
    tmp_path: Path,
) -> None:
    write_table(make_table(60), tmp_path / "base.parquet")
    options = ("--encoder", "toy", "--quality", "0.9", "--out", tmp_path / "p")
    assert invoke("train", tmp_path / "base.parquet", *options).code == 0
    config = tmp_path / "gateway.toml"
    config.write_text(f'[pipeline]\npath = "p"\n[retrain]\ntable = "base.parquet"\n{CONFIG}')
    keep(config, simulated(others(1500)))
    ran = retrained(config, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["comparison"]
    assert found["quality"]["high"] < -0.02  # surely lower than the champion, which kept 1.0
    assert found["kept"][1]["low"] > 0.9 - 0.02
    assert found["cost"]["high"] < 0


def test_one_that_passes_is_tried_first_where_the_gateway_has_a_canary(
    config: Path, folder: Path
) -> None:
    config.write_text(f'[canary]\nversion = "latest"\n{config.read_text()}')
    keep(config, simulated(others(500)))
    ran = retrained(config)
    assert ran.code == 0, ran.err
    assert "0002 is tried as a canary beside 0001" in ran.err
    versions = PipelineVersions(folder)
    assert (versions.current, versions.to_be_tried()) == ("0001", "0002")
    assert versions.history[-1].figures is not None


def test_too_little_is_refused_and_nothing_changes(config: Path, folder: Path) -> None:
    keep(config, simulated(others(60)))
    before = (folder / "current.json").read_bytes()
    ran = retrained(config)
    assert ran.code == 3
    assert "60 queries with an outcome of every model are new to the current" in ran.err
    assert (folder / "current.json").read_bytes() == before
    assert PipelineVersions(folder).names == ["0001"]


def test_a_malicious_key_that_sends_most_ratings_does_not_have_most_of_the_say(
    config: Path,
) -> None:
    table = others(60)
    lies = replace(table, performance=1 - table.performance).take(range(20, 60))
    keep(config, of_keys(lies, ["malicious"]))
    keep(config, of_keys(table.take(range(20)), [f"k{n}" for n in range(10)]))
    said = "note: the latest 20 of 120 ratings of key 'malicious' count"
    ran = retrained(config)  # 20 queries of the others, and 6 of its have ratings of all models
    assert (ran.code, said in ran.err, "error: 26 queries" in ran.err) == (3, True, True), ran.err
    config.write_text(config.read_text().replace("[retrain]", "[retrain]\nkey_share = 1"))
    ran = retrained(config)
    assert (ran.code, "note: " in ran.err, "error: 60 queries" in ran.err) == (3, False, True)


def test_a_worse_challenger_is_kept_and_not_current(config: Path, folder: Path) -> None:
    table = others(500)
    lies = table.performance.copy()
    lies[:250] = 1 - lies[:250]
    keep(config, simulated(replace(table, performance=lies)))
    base = make_table(300)
    write_table(replace(base, performance=1 - base.performance), folder.parent / "base.parquet")
    ran = retrained(config, "--json")
    assert ran.code == 3
    found = json.loads(ran.out)
    assert (found["current"], found["challenger"]) == ("0001", "0002")
    assert "0001 is still served, 0002 is not: it keeps 0." in ran.err
    assert found["objections"]
    versions = PipelineVersions(folder)
    assert (versions.current, versions.names) == ("0001", ["0001", "0002"])
    assert versions.history[-1].did == "refused"


def test_a_table_with_new_rows_needs_no_log(config: Path, folder: Path) -> None:
    write_table(with_log(make_table(300), others(500)), folder.parent / "base.parquet")
    ran = retrained(config)
    assert ran.code == 0, ran.err
    assert "base.parquet alone is learned from: no request was answered" in ran.err
    assert PipelineVersions(folder).current == "0002"


def test_too_little_memory_changes_nothing(config: Path, folder: Path) -> None:
    keep(config, simulated(others(500)))
    text = config.read_text("utf-8").replace("[retrain]", "[retrain]\nmemory_gb = 0.2")
    config.write_text(text.replace("minimum_rows = 200", "minimum_rows = 30"))
    large = make_table(60_000, incomplete=0)
    write_table(with_log(large, others(500)), folder.parent / "base.parquet")
    ran = retrained(config)
    assert ran.code == 2, ran.err
    assert "retrain.memory_gb is 0.2, and the training needs more" in ran.err
    assert PipelineVersions(folder).names == ["0001"]


LIMITED = """
import os, resource, sys
from pathlib import Path
from equirouter.cli.gateway.retrain import limit_process
from equirouter.serve.settings_file import read_settings

limit_process(read_settings(Path(sys.argv[1])).retrain)
assert not {"numpy", "torch"} & set(sys.modules)  # they read the number of threads when loaded
import numpy
print(len(os.listdir("/proc/self/task")), os.nice(0), resource.getrlimit(resource.RLIMIT_DATA)[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_threads_memory_and_priority_are_limited(config: Path) -> None:
    config.write_text(config.read_text().replace("[retrain]", "[retrain]\nmemory_gb = 2"))
    before = os.nice(0)
    many = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", LIMITED, str(config)]
    ran = subprocess.run(command, env=many, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout.split() == ["1", str(min(before + 10, 19)), str(2 * 2**30)]


def test_two_at_once(config: Path, folder: Path) -> None:
    with retraining(folder):
        ran = retrained(config)
    assert ran.code == 2
    assert "another process is retraining this pipeline" in ran.err


def test_train_asks_the_gate_too(folder: Path, tmp_path: Path) -> None:
    write_table(with_log(make_table(300), others(1200)), tmp_path / "more.parquet")
    ran = invoke("train", tmp_path / "more.parquet", *TRAIN, "--out", folder)
    event = PipelineVersions(folder).history[-1]
    assert event.figures is not None
    assert event.figures["n_queries"] == 600
    assert ran.code == (0 if event.did == "promoted" else 3)
    same = invoke("train", tmp_path / "base.parquet", *TRAIN, "--out", folder)
    assert same.code == 3
    assert "0 complete queries are new to the current version, and 200 are needed" in same.err


def test_two_versions_are_compared_on_what_is_new_to_both(folder: Path, tmp_path: Path) -> None:
    write_table(others(200, seed=3), tmp_path / "recent.parquet")
    options = [*TRAIN[:-1], "0.5", "--promote", "--out", folder]
    assert invoke("train", tmp_path / "base.parquet", *options).code == 0
    ran = invoke("pipeline", "compare", folder, tmp_path / "recent.parquet", "0001", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert (found["champion"], found["challenger"], found["n_queries"]) == ("0002", "0001", 200)
    assert found["quality"]["low"] <= found["quality"]["difference"] <= found["quality"]["high"]
    shown = invoke("pipeline", "compare", folder, tmp_path / "recent.parquet", "0001").out
    assert "200 queries that are new to both" in shown
    assert shown.splitlines()[-1].startswith("gate: ")
    seen = invoke("pipeline", "compare", folder, tmp_path / "base.parquet", "0001")
    assert seen.code == 2
    assert "no query that is new to both versions" in seen.err
