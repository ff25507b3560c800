"""The two files of a saved pipeline: any damage is one clean error, and no mixture ever stands."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equirouter.errors import OutputError, PipelineError
from equirouter.evaluation.train import train
from equirouter.pipeline.folder import read_folder, write_folder
from equirouter.pipeline.pipeline import RoutingPipeline
from tests.pipeline.sealed import change_arrays, change_description
from tests.toys import HashingEncoder, make_table

FILES = ("pipeline.json", "weights.safetensors")
FLIPS = 200
Change = Callable[[dict[str, Any]], object]


def load(folder: Path) -> RoutingPipeline:
    return RoutingPipeline.load(folder, encoder=HashingEncoder())


@pytest.fixture(scope="module")
def made() -> RoutingPipeline:
    return train(make_table(), HashingEncoder(), router="knn:k=5", quality=0.2)


@pytest.fixture
def folder(made: RoutingPipeline, tmp_path: Path) -> Path:
    return made.save(tmp_path / "pipeline")


@pytest.mark.parametrize("name", FILES)
def test_no_flipped_byte_loads(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    rng = np.random.default_rng(14)
    places = [*rng.integers(0, len(whole), FLIPS).tolist(), 0, len(whole) - 1]
    for place, bits in zip(places, rng.integers(1, 256, len(places)).tolist(), strict=True):
        damaged = bytearray(whole)
        damaged[place] ^= bits
        (folder / name).write_bytes(damaged)
        with pytest.raises(PipelineError, match=str(folder / name)):
            load(folder)
    (folder / name).write_bytes(whole)
    load(folder)


@pytest.mark.parametrize("name", FILES)
def test_no_file_that_is_cut_or_goes_on_loads(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    for length in (0, 1, 80, len(whole) // 2, len(whole) - 1):
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(PipelineError, match=str(folder / name)):
            load(folder)
    (folder / name).write_bytes(whole + b"\n")
    with pytest.raises(PipelineError, match=str(folder / name)):
        load(folder)


def _scramble(arrays: dict[str, Any], name: str) -> None:
    arrays[name] = np.frombuffer(b"no graph", dtype=np.uint8)


FORGED: dict[str, tuple[Callable[[Path, Change], None], Change]] = {
    "no centres": (change_arrays, lambda arrays: arrays.pop("familiar.centres")),
    "no validation": (change_arrays, lambda arrays: arrays.pop("validation.performance")),
    "no amounts": (change_arrays, lambda arrays: arrays.pop("cost.mean_")),
    "a cost model of one": (change_arrays, lambda a: a.update({"cost.mean_": np.zeros(1)})),
    "numbers of no axis": (
        change_arrays,
        lambda arrays: arrays.update({"validation.performance": np.zeros(())}),
    ),
    "an array of nobody": (change_arrays, lambda arrays: arrays.update({"router.x": np.ones(1)})),
    "a digest that is a path": (
        change_description,
        lambda document: document.update(weights_sha256="../../../../etc/passwd"),
    ),
    "a strongest model of another pool": (
        change_description,
        lambda document: (
            document["baseline"].update(strongest="nobody")
            or document["policy"].update(ood="strongest")
        ),
    ),
    "a setting of no cost model": (
        change_description,
        lambda document: document["cost_model"]["settings"].update(colour=1),
    ),
    "a calibration of nothing": (
        change_description,
        lambda document: document["policy"]["calibration"].update(points="x"),
    ),
    "no operating points": (
        change_description,
        lambda document: document["policy"]["calibration"].update(points=[]),
    ),
    "centres of another width": (
        change_arrays,
        lambda arrays: arrays.update({"familiar.centres": np.ones((2, 5), np.float32)}),
    ),
    "a router of another pool": (
        change_arrays,
        lambda arrays: arrays.update({"router.performance_": np.ones((36, 1), np.float32)}),
    ),
    "embeddings of another width": (
        change_arrays,
        lambda a: a.update({"cost.weights_.out.weight": np.ones((3, 1), np.float32)}),
    ),
    "a model less": (change_description, lambda document: document["models"].pop()),
}


@pytest.mark.parametrize("case", FORGED)
def test_what_does_not_fit_together_is_one_error_that_names_the_folder(
    case: str, folder: Path
) -> None:
    how, change = FORGED[case]
    how(folder, change)
    with pytest.raises(PipelineError, match=str(folder)):
        load(folder)


def test_a_graph_that_is_none_is_one_error(folder: Path) -> None:
    change_arrays(folder, lambda arrays: _scramble(arrays, "scorer.graph"))
    with pytest.raises(PipelineError, match="the graph that decides cannot be run"):
        load(folder)


def test_the_digest_of_what_was_loaded_is_known(folder: Path, made: RoutingPipeline) -> None:
    said = json.loads((folder / "pipeline.json").read_text("utf-8"))["sha256"]
    assert load(folder).digest == said
    assert made.digest is None


class KilledError(Exception):
    """A process that ends here."""


@pytest.mark.parametrize("steps", range(6))
def test_a_save_that_is_killed_leaves_the_old_pipeline_or_the_new_one(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = ({"schema": 1, "name": name} for name in ("old", "new"))
    write_folder(tmp_path, old, b"old")
    rename, unlink, done = Path.replace, Path.unlink, 0

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if done == steps:
                raise KilledError
            done += 1
            return step(*arguments, **options)

        return stepped

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", counted(rename))
        patched.setattr(Path, "unlink", counted(unlink))
        try:
            write_folder(tmp_path, new, b"new")
            finished = True
        except KilledError:
            finished = False
    description, weights = read_folder(tmp_path)
    assert json.loads(description)["name"].encode() == weights
    assert weights == b"new" or not finished
    write_folder(tmp_path, {"schema": 1, "name": "last"}, b"last")
    assert read_folder(tmp_path)[1] == b"last"
    assert sorted(path.name for path in tmp_path.glob("*weights*")) == ["weights.safetensors"]


SAVE = """
import sys
from equirouter.pipeline.folder import write_folder
for number in range(150):
    name = f"{sys.argv[2]}-{number}"
    write_folder(sys.argv[1], {"schema": 1, "name": name}, (name * 5000).encode())
"""


def test_processes_that_save_at_once_never_leave_a_mixture(tmp_path: Path) -> None:
    folder = tmp_path / "both"
    write_folder(folder, {"schema": 1, "name": "first"}, b"first" * 5000)
    savers = [
        subprocess.Popen([sys.executable, "-c", SAVE, str(folder), name]) for name in ("a", "b")
    ]
    n_read = 0
    try:
        while any(saver.poll() is None for saver in savers):
            description, weights = read_folder(folder)  # raises PipelineError for a mixture
            assert weights == (json.loads(description)["name"] * 5000).encode()
            n_read += 1
    finally:
        for saver in savers:
            saver.wait()
    assert [saver.returncode for saver in savers] == [0, 0]
    assert n_read > 10
    last = json.loads(read_folder(folder)[0])["name"]
    assert last in {"a-149", "b-149"}
    assert sorted(path.name for path in folder.iterdir()) == list(FILES)


def test_a_folder_that_cannot_be_written_keeps_what_it_has(folder: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="no folder can be made there"):
            write_folder(tmp_path / "file" / "below", {"schema": 1}, b"")
        return
    folder.chmod(0o500)
    with pytest.raises(OutputError, match="could not be written"):
        write_folder(folder, {"schema": 1}, b"")
    folder.chmod(0o700)
    load(folder)


def test_a_copy_is_the_same_pipeline(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert load(tmp_path / "copy").digest == load(folder).digest
