"""The same parts from a cluster, when an actor and when a node is lost."""

import os
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from equirouter.cli import bars
from equirouter.data.tables import write_table
from equirouter.errors import ConfigError, DataError
from equirouter.registry import ENCODERS
from equirouter.scale import run as run_module
from equirouter.scale.asked_rows import Asking
from equirouter.scale.fits_on_ray import each_on_ray
from equirouter.scale.output_parts import Done, Work
from equirouter.scale.pieces import Piece
from equirouter.scale.run import Summary, run_batch
from tests.cli.invoke import invoke
from tests.scale.made import parts, small_benchmark, without_times, write_lines, write_parquet
from tests.toys import make_table

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("small_pieces")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work, and two nodes of one core each, on this machine."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.fixture(autouse=True)
def on_cluster(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(run_module, "CLUSTER_FROM_SECONDS", 0.0)
    return cluster


def ran(asking: Asking, source: Path, output: Path, **options: Any) -> Summary:
    return run_batch(asking, str(source), str(output), engine="ray", workers=(1, 2), **options)


class Dying(Work):
    """Its process ends while it writes piece 2, once."""

    def __call__(self, piece: Piece) -> Done:
        marker = Path(f"{self.output.path}.died")
        if piece.number == 2 and not marker.exists():
            marker.touch()
            os._exit(1)
        return super().__call__(piece)


def test_a_cluster_writes_the_same_parts(asking: Asking, tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", 40)
    write_lines(tmp_path / "in" / "b.jsonl", 20)
    run_batch(asking, str(tmp_path / "in"), str(tmp_path / "here"))
    done = ran(asking, tmp_path / "in", tmp_path / "out")
    assert (done.engine, done.workers, done.rows) == ("ray", 2, 60)
    assert parts(tmp_path / "out") == parts(tmp_path / "here")


def test_a_benchmark_while_nodes_come_and_go_has_the_same_figures_bit_for_bit(
    on_cluster: Any, tmp_path: Path
) -> None:
    run = small_benchmark()
    made, nodes = on_cluster
    told: dict[str, list[tuple[str, int, int]]] = {"here": [], "there": []}

    def lose_a_node(*step: Any) -> None:
        told["there"].append(step)
        if step[:2] in (("fit and measure", 2), ("fit and measure", 7)):
            made.remove_node(nodes.pop(0), allow_graceful=False)
            nodes.append(made.add_node(num_cpus=1))

    here = run(out=tmp_path / "here", progress=lambda *step: told["here"].append(step))
    there = run(out=tmp_path / "there", progress=lose_a_node, workers=each_on_ray)
    assert without_times(there.to_json()) == without_times(here.to_json())
    tables = [pq.read_table(tmp_path / name / "decisions.parquet") for name in told]
    assert tables[0].equals(tables[1])
    assert told["there"] == told["here"]  # what was done twice is counted once
    assert told["there"][-1] == ("fit and measure", 16, 16)


def test_the_bar_of_a_benchmark_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS._paths, "toy", "tests.toys:HashingEncoder")
    monkeypatch.setattr(bars, "SHOW_AFTER_SECONDS", 0.0)
    write_table(make_table(), tmp_path / "table.csv", layout="wide")
    options = ["--encoder", "toy", "--routers", "knn:k=5", "--seeds", "1", "--engine", "ray"]
    ran = invoke("bench", tmp_path / "table.csv", *options, "--out", tmp_path / "out")
    assert ran.code == 0
    assert re.search(r"fit and measure .* 7/7 ", ran.err)


def test_a_task_of_a_benchmark_that_cannot_be_done_says_why() -> None:
    with pytest.raises(ConfigError, match="k is 0"):
        list(each_on_ray([partial(refuse, "k is 0")]))


def refuse(words: str) -> list[Any]:
    raise ConfigError(words)


def test_a_task_of_a_benchmark_whose_process_ends_is_done_again(tmp_path: Path) -> None:
    works = [partial(dies_at_first, str(tmp_path / str(task)), task) for task in range(4)]
    assert list(each_on_ray(works)) == [[0], [1], [2], [3]]
    assert len(list(tmp_path.iterdir())) == 2


def dies_at_first(marker: str, task: int) -> list[int]:
    """Each task of an odd number ends its process once."""
    if task % 2 and not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)
    return [task]


def test_what_lost_nodes_were_at_in_a_benchmark_is_done_again(
    on_cluster: Any, tmp_path: Path
) -> None:
    made, nodes = on_cluster
    started = [tmp_path / "0", tmp_path / "1"]

    def works() -> Iterator[partial[list[int]]]:
        for task, path in enumerate(started):
            os.mkfifo(path)
            yield partial(stays_at_first, str(path), task)
        for path in started:
            path.open("rb").close()  # once the task has opened it, too
        while len(nodes) > 0:
            made.remove_node(nodes.pop(), allow_graceful=False)
        nodes.extend(made.add_node(num_cpus=1) for _ in range(2))
        yield partial(stays_at_first, "", 2)

    assert list(each_on_ray(works())) == [[0], [1], [2]]


def stays_at_first(path: str, task: int) -> list[int]:
    """A task with a path never ends, the first time."""
    if path and not Path(f"{path}.begun").exists():
        Path(f"{path}.begun").touch()
        with Path(path).open("wb"):
            signal.pause()
    return [task]


def test_an_error_is_that_of_one_machine(asking: Asking, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", 20)
    source.write_text(source.read_text() + '{"query": ""}\n')
    with pytest.raises(DataError, match=r"in.jsonl: the line at byte \d+: the query is empty"):
        ran(asking, source, tmp_path / "out")


def test_what_a_lost_actor_and_a_lost_node_did_is_done_again(
    on_cluster: Any, asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_parquet(tmp_path / "in.parquet", 70)
    run_batch(asking, str(source), str(tmp_path / "here"))
    monkeypatch.setattr(run_module, "Work", Dying)
    made, nodes = on_cluster
    lost: list[Any] = []

    def lose_a_node(stage: str, done: int, total: int) -> None:  # noqa: ARG001
        if done == 4 and not lost:
            made.remove_node(nodes[1], allow_graceful=False)
            lost.append(nodes[1])

    done = ran(asking, source, tmp_path / "out", progress=lose_a_node)
    assert (tmp_path / "out.died").exists()
    assert lost
    assert (done.rows, done.parts) == (70, 10)
    assert parts(tmp_path / "out") == parts(tmp_path / "here")
