"""`equirouter batch` on a million queries: this machine, and a Ray cluster of nodes on it.

    equirouter train simulated --encoder lexical --out PIPELINE
    python benchmarks/bench_batch.py PIPELINE [--queries 1000000] [--kinds here1 here2 ...]

Queries are made up, of about 110 characters. Kinds: `here1` and `here2` are one and two processes;
`ray1`, `ray2` and `ray4` so many actors, each on a node of one core, beside a head that does no
work; `actor` and `node` are `ray2` in which one of them is killed once a third of the parts is
there; `apart` (needs root) is two nodes in network namespaces of their own, with all processes of
one killed after a third. Of each run: its seconds, those until the first part, queries per second
after it, as a share of one actor's on every core that is really there, and per second of processor
time of what decided (which other work on the machine changes less), the peak memory of the largest
process that decided, and the seconds that a kill cost beyond the missing core. The parts of every
run must be those of the first, byte for byte: nothing is lost, nothing twice. All but the first two
need the extra `ray`.
"""

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from namespaces import namespaces, processes_of
from pages import record

from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import Control, Needs
from equirouter.processes import usable_cores
from equirouter.scale import run as run_module
from equirouter.scale.asked_rows import Asking
from equirouter.scale.run import run_batch

KINDS = {
    "here1": "1 process",
    "here2": "2 processes",
    "ray1": "1 actor",
    "ray2": "2 actors",
    "ray4": "4 actors",
    "actor": "2 actors, one killed after a third",
    "node": "2 actors, the node of one killed after a third",
    "apart": "2 actors in two network namespaces, one killed after a third",
}
WORKERS = {"here1": 1, "ray1": 1, "ray4": 4}
KILLED_AT = 1 / 3
WORDS = 16


class Watch:
    """The progress of a run, its memory, and what is killed in it."""

    def __init__(self, kind: str, lose_node: Callable[[], object]) -> None:
        self.kind, self.lose_node = kind, lose_node
        self.times: list[float] = []
        self.peak_mb = 0.0
        self.cpu_seconds: dict[int, float] = {}
        self.cpu_at_first: float | None = None
        self.killed = kind not in ("actor", "node", "apart")
        self.began = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:  # noqa: ARG002
        self.times.append(time.perf_counter())
        for process in deciding(self.kind):
            self.peak_mb = max(self.peak_mb, peak_mb(process))
            self.cpu_seconds[process] = cpu_seconds(process) or self.cpu_seconds.get(process, 0.0)
        if self.cpu_at_first is None:
            self.cpu_at_first = sum(self.cpu_seconds.values())
        if not self.killed and done >= total * KILLED_AT:
            self.killed = True
            if self.kind == "actor":
                os.kill(deciding(self.kind)[0], signal.SIGKILL)
            else:
                self.lose_node()

    @property
    def seconds(self) -> float:
        """From the first part to the last."""
        return self.times[-1] - self.times[0]


def deciding(kind: str) -> list[int]:
    """The processes of this machine that decide."""
    if kind == "here1":
        return [os.getpid()]
    wanted = b"spawn_main" if kind == "here2" else b"ray::MapWorker"
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found or [os.getpid()]


def peak_mb(process: int) -> float:
    """The most memory that a process has held, in MB."""
    try:
        status = Path(f"/proc/{process}/status").read_text("ascii")
    except OSError:
        return 0.0
    return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) / 1024


def cpu_seconds(process: int) -> float:
    """The processor time that a process has used; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_queries(path: Path, n_queries: int) -> None:
    rng = np.random.default_rng(0)
    known = np.array(
        [
            f"{word:x}".translate(str.maketrans("0123456789", "ghijklmnop"))
            for word in rng.integers(0, 2**22, 5000)
        ]
    )
    with pq.ParquetWriter(path, pa.schema({"query_id": pa.string(), "query": pa.string()})) as to:
        for start in range(0, n_queries, 100_000):
            n = min(100_000, n_queries - start)
            texts = [" ".join(row) for row in known[rng.integers(0, len(known), (n, WORDS))]]
            ids = [f"q{start + row}" for row in range(n)]
            to.write_table(pa.table({"query_id": ids, "query": texts}))


@contextmanager
def cluster_of(kind: str) -> Iterator[Callable[[], object]]:
    """A head that does no work and a node of one core per actor; gives what loses a node."""
    if kind.startswith("here"):
        yield lambda: None
        return
    import ray
    from ray.cluster_utils import Cluster

    if kind == "apart":
        with apart() as lose_node:
            yield lose_node
        return
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(WORKERS.get(kind, 2))]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield partial(made.remove_node, nodes[-1], allow_graceful=False)
    finally:
        ray.shutdown()
        made.shutdown()


@contextmanager
def apart() -> Iterator[Callable[[], object]]:
    """A head and a node of one core each, in network namespaces; this process is with the head."""
    import ray

    with namespaces(2) as names, tempfile.TemporaryDirectory(prefix="eq") as folder:
        (head, address), (other, its_address) = names.items()
        of_head = ("--head", "--port=6379", "--include-dashboard=false", f"--temp-dir={folder}")
        try:
            with inside(head):
                start_ray(head, address, *of_head)
                wait_for(lambda: answers(address))
                start_ray(other, its_address, f"--address={address}:6379")
                ray.init(f"{address}:6379", log_to_driver=False, logging_level="ERROR")
                try:
                    wait_for(lambda: ray.cluster_resources().get("CPU") == 2)
                    yield lambda: kill_all(other)
                finally:
                    ray.shutdown()
        finally:
            kill_all(other)
            kill_all(head)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread in a network namespace."""
    enter = ctypes.CDLL(None, use_errno=True).setns
    with Path("/proc/self/ns/net").open() as own, Path(f"/run/netns/{name}").open() as there:
        if enter(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")
        try:
            yield
        finally:
            enter(own.fileno(), 0)


def start_ray(name: str, address: str, *options: str) -> None:
    start = ["ip", "netns", "exec", name, sys.executable, "-m", "ray.scripts.scripts", "start"]
    start += ["--block", "--num-cpus=1", f"--node-ip-address={address}", *options]
    subprocess.Popen([*start, f"--object-store-memory={2 * 10**8}"], stdout=subprocess.DEVNULL)


def answers(address: str) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex((address, 6379)) == 0


def kill_all(name: str) -> None:
    for process in processes_of(name):
        os.kill(process, signal.SIGKILL)


def measure(
    kind: str, asking: Asking, source: Path, output: Path, before: dict[str, float]
) -> None:
    """before: the seconds from the first part to the last of the kinds measured so far."""
    n = WORKERS.get(kind, 2)
    with cluster_of(kind) as lose_node:
        watch = Watch(kind, lose_node)
        engine: Any = "local" if kind.startswith("here") else "ray"
        done = run_batch(
            asking,
            str(source),
            str(output),
            keep=("query_id",),
            engine=engine,
            workers=(n, n),
            progress=watch,
        )
    before[kind] = watch.seconds
    rows_behind_first = done.rows * (done.parts - 1) / done.parts
    cpu = sum(watch.cpu_seconds.values()) - (watch.cpu_at_first or 0.0)
    row = (
        KINDS[kind],
        done.rows,
        f"{done.seconds:.0f}",
        f"{watch.times[0] - watch.began:.0f}",
        f"{rows_behind_first / watch.seconds:.0f}",
        of_linear(kind, n, before),
        f"{rows_behind_first / cpu:.0f}",
        f"{watch.peak_mb:.0f}",
        lost_seconds(kind, before),
    )
    record("batch", [row], keys=(0, 1))


def of_linear(kind: str, n: int, seconds: dict[str, float]) -> str:
    """The speed as a share of one actor's, times the actors or the cores, whichever are fewer."""
    if kind not in ("ray2", "ray4") or "ray1" not in seconds:
        return ""
    return f"{seconds['ray1'] / seconds[kind] / min(n, usable_cores()):.0%}".replace("%", " %")


def lost_seconds(kind: str, seconds: dict[str, float]) -> str:
    """What a kill cost beside the core that was missing from then on."""
    if kind not in ("actor", "node", "apart") or not {"ray1", "ray2"} <= seconds.keys():
        return ""
    without = seconds["ray2"]
    if kind != "actor":
        without = KILLED_AT * without + (1 - KILLED_AT) * seconds["ray1"]
    return f"{seconds[kind] - without:.0f}"


def wait_for(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise SystemExit("the cluster does not start")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--queries", type=int, default=1_000_000)
    usual = [kind for kind in KINDS if kind != "apart" or os.geteuid() == 0]
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=usual)
    args = parser.parse_args()
    run_module.CLUSTER_FROM_SECONDS = 0.0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "queries.parquet"
        write_queries(source, args.queries)
        first: list[bytes] = []
        seconds: dict[str, float] = {}
        for kind in args.kinds:
            asking = Asking(RoutingPipeline.load(args.pipeline), Control(), Needs())
            output = Path(folder) / kind
            measure(kind, asking, source, output, seconds)
            parts = [path.read_bytes() for path in sorted(output.glob("part-*"))]
            if parts != (first := first or parts):
                raise SystemExit(f"{kind}: the parts are not those of {args.kinds[0]}")


if __name__ == "__main__":
    main()
