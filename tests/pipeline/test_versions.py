"""Versions in a folder: one is current, none is overwritten, whatever is killed."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from equirouter.errors import ConfigError, PipelineError
from equirouter.evaluation.train import train
from equirouter.pipeline import PipelineVersions, RoutingPipeline
from equirouter.pipeline.folder import read_folder, write_folder
from equirouter.pipeline.versions import current_folder
from tests.toys import HashingEncoder, make_table


class Named:
    """What is saved in place of a pipeline: a name, twice."""

    def __init__(self, name: str) -> None:
        self.name = name

    def save(self, folder: Path) -> Path:
        return write_folder(folder, {"schema": 1, "name": self.name}, self.name.encode())


def served(folder: Path) -> str:
    """The name of what is current, which is whole."""
    description, weights = read_folder(current_folder(folder))
    name: str = json.loads(description)["name"]
    assert weights == name.encode()
    return name


def added(folder: Path, *names: str) -> PipelineVersions:
    """Each of them added, and made current."""
    versions = PipelineVersions(folder)
    for name in names:
        version = versions.add(Named(name), how="test")
        versions.promote(version, over=versions.current, how="test")
    return versions


def test_a_version_is_added_and_then_made_current(tmp_path: Path) -> None:
    versions = PipelineVersions(tmp_path / "p")
    assert versions.is_empty
    assert versions.add(Named("a"), how="train") == "0001"
    with pytest.raises(PipelineError, match=r"has the versions 0001, and none is current"):
        current_folder(tmp_path / "p")
    versions.promote("0001", over=None, how="train")
    assert served(tmp_path / "p") == "a"
    assert versions.add(Named("b"), how="retrain") == "0002"
    assert served(tmp_path / "p") == "a"
    versions.note("0002", "refused", how="retrain", why="it keeps less", figures={"quality": -0.1})
    assert [(e.did, e.version, e.over, e.how) for e in versions.history] == [
        ("added", "0001", None, "train"),
        ("promoted", "0001", None, "train"),
        ("added", "0002", "0001", "retrain"),
        ("refused", "0002", "0001", "retrain"),
    ]
    assert versions.history[-1].figures == {"quality": -0.1}
    assert (versions.names, versions.current) == (["0001", "0002"], "0001")


def test_rolling_back_goes_to_what_each_version_replaced(tmp_path: Path) -> None:
    versions = added(tmp_path, "a", "b", "c")
    assert versions.roll_back(how="test") == ("0002", "0003")
    assert served(tmp_path) == "b"
    assert versions.roll_back(how="test") == ("0001", "0002")
    with pytest.raises(ConfigError, match="no version was current before 0001"):
        versions.roll_back(how="test")
    versions.promote("0003", over="0001", how="test")
    assert versions.roll_back(how="test") == ("0001", "0003")


def test_the_first_that_passed_the_gate_is_to_be_tried(tmp_path: Path) -> None:
    versions = added(tmp_path, "first", "second", "third", "fourth")
    versions.promote("0001", over=versions.current, how="test")

    def note(name: str, did: Any) -> str | None:
        versions.note(name, did, how="test", why="")
        return versions.to_be_tried()

    assert versions.to_be_tried() is None
    assert note("0002", "refused") is None
    assert note("0003", "passed") == "0003"
    assert note("0004", "passed") == "0003"  # one after the other
    assert note("0003", "tried") == "0003"
    assert note("0003", "refused") == "0004"
    versions.promote("0002", over="0001", how="test")
    assert versions.to_be_tried() is None  # it was held against another one
    assert note("0004", "passed") == "0004"


def test_a_promotion_over_a_version_that_is_not_current_any_more_is_refused(tmp_path: Path) -> None:
    versions = added(tmp_path, "a", "b")
    versions.add(Named("c"), how="test")
    with pytest.raises(ConfigError, match="meanwhile 0002 became current in place of 0001"):
        versions.promote("0003", over="0001", how="test")
    assert served(tmp_path) == "b"
    with pytest.raises(ConfigError, match="0002 is current already"):
        versions.promote("0002", over="0002", how="test")
    with pytest.raises(ConfigError, match=r"no version '0009'; there are: 0001, 0002, 0003"):
        versions.promote("0009", over="0002", how="test")


def test_a_pipeline_without_versions_becomes_the_first(tmp_path: Path) -> None:
    Named("flat").save(tmp_path)
    versions = PipelineVersions(tmp_path)
    assert not versions.is_empty
    assert (versions.names, versions.current, served(tmp_path)) == ([], None, "flat")
    assert versions.add(Named("new"), how="test") == "0002"
    assert (versions.current, served(tmp_path)) == ("0001", "flat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current.json", "versions"]


def test_the_folder_of_a_version_is_no_place_for_versions(tmp_path: Path) -> None:
    added(tmp_path, "a")
    with pytest.raises(ConfigError, match=f"stays as it is; give {tmp_path}"):
        PipelineVersions(tmp_path / "versions" / "0001")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "the document: Invalid JSON"),
        ('{"schema": 1, "current": "../../elsewhere"}', "current: String should match"),
        ('{"schema": 2, "current": "0001"}', "schema: Input should be 1"),
    ],
)
def test_a_damaged_pointer_is_one_error_that_names_it(
    content: str, says: str, tmp_path: Path
) -> None:
    added(tmp_path, "a")
    (tmp_path / "current.json").write_text(content)
    with pytest.raises(PipelineError, match=r"current\.json: " + says):
        current_folder(tmp_path)


def test_a_pipeline_is_loaded_from_its_folder_and_from_that_of_a_version(tmp_path: Path) -> None:
    made = train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2)
    versions = PipelineVersions(tmp_path)
    for _ in range(2):
        versions.add(made, how="train")
    versions.promote("0002", over=None, how="train")

    def loaded(folder: Path) -> Any:
        return RoutingPipeline.load(folder, encoder=HashingEncoder()).decide("hard task0")

    assert loaded(tmp_path) == loaded(tmp_path / "versions" / "0001") == made.decide("hard task0")
    with pytest.raises(ConfigError, match="none of them is overwritten"):
        made.save(tmp_path)


KILL = """
import os, signal, sys
from pathlib import Path
from equirouter.pipeline.versions import PipelineVersions
from tests.pipeline.test_versions import Named

CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "tempfile.mkstemp")
folder, work, step, left = Path(sys.argv[1]), sys.argv[2], 0, 0

def hook(event, _arguments):
    global left
    if event in CHANGES:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def write():
    versions = PipelineVersions(folder)
    if work == "promote":
        versions.promote(versions.names[-1], over=versions.current, how="test")
    elif work == "rollback":
        versions.roll_back(how="test")
    else:
        version = versions.add(Named("new"), how="test")
        versions.promote(version, over=versions.current, how="test")

while True:  # each time killed one step later, with what was left before
    step += 1
    child = os.fork()
    if child == 0:
        left = step
        sys.addaudithook(hook)
        write()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(step, flush=True)
    sys.stdin.readline()  # until the parent has looked
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


@pytest.mark.parametrize("work", ["add", "promote", "rollback", "adopt"])
def test_whatever_a_kill_interrupts_one_whole_version_is_served(work: str, tmp_path: Path) -> None:
    if work == "adopt":
        Named("old").save(tmp_path)
    else:
        versions = added(tmp_path, "older", "old")
        versions.add(Named("new"), how="test")
    steps, names = 0, set()
    with subprocess.Popen(
        [sys.executable, "-c", KILL, str(tmp_path), work],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        for _ in killed.stdout:
            steps += 1
            names.add(served(tmp_path))
            killed.stdin.write("\n")
            killed.stdin.flush()
    assert killed.returncode == 0
    assert steps > (3 if work in ("promote", "rollback") else 8)
    assert names <= {"old", "older" if work == "rollback" else "new"}
    assert served(tmp_path) == ("older" if work == "rollback" else "new")
    PipelineVersions(tmp_path).add(Named("last"), how="test")
    left = [path.name for path in (tmp_path / "versions").iterdir() if path.name[0] == "."]
    assert left == []  # what the killed ones had begun is cleared away


ADD = """
import sys
from pathlib import Path
from equirouter.errors import ConfigError
from equirouter.pipeline.versions import PipelineVersions
from tests.pipeline.test_versions import Named
versions = PipelineVersions(Path(sys.argv[1]))
for number in range(20):
    over = versions.current
    version = versions.add(Named(f"{sys.argv[2]}{number}"), how=sys.argv[2])
    try:
        versions.promote(version, over=over, how=sys.argv[2])
    except ConfigError as error:
        assert "meanwhile" in str(error)
"""


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    added(tmp_path, "first")
    writers = [
        subprocess.Popen([sys.executable, "-c", ADD, str(tmp_path), name]) for name in ("a", "b")
    ]
    while any(writer.poll() is None for writer in writers):
        served(tmp_path)  # whole at every moment
        os.sched_yield()
    assert [writer.returncode for writer in writers] == [0, 0]
    versions = PipelineVersions(tmp_path)
    assert len(versions.names) == 41
    assert [e.version for e in versions.history if e.did == "added"] == versions.names
    promoted = [event for event in versions.history if event.did == "promoted"]
    assert all(after.over == before.version for before, after in pairwise(promoted))
