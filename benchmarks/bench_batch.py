"""`equirouter batch` on a million queries: this machine, and a Ray cluster of nodes on it.

    python benchmarks/bench_batch.py PIPELINE [--queries 1000000] [--kinds here1 here2 ...]

PIPELINE: a folder from `train`. Queries are made up, of about 110 characters. Kinds: `here1` and
`here2` are one and two processes, `ray1` and `ray2` one and two actors, each on a node of one core,
beside a head that does no work; `actor` and `node` are `ray2` in which one of them is killed once a
third of the parts is there. Of each run: its seconds, those until the first part, queries per
second after it, and per second of processor time of what decided (which other work on the machine
changes less), and the peak memory of the largest process that decided. The parts of every run must
be those of the first, byte for byte: nothing is lost, nothing twice. Needs the extra `ray` for the
last four.
"""

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pages import record

from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.policy import Control, Needs
from equirouter.scale import run as run_module
from equirouter.scale.asking import Asking
from equirouter.scale.run import run_batch

KINDS = {
    "here1": "1 process",
    "here2": "2 processes",
    "ray1": "1 actor",
    "ray2": "2 actors",
    "actor": "2 actors, one killed after a third",
    "node": "2 actors, the node of one killed after a third",
}
WORDS = 16


class Watch:
    """The progress of a run, its memory, and what is killed in it."""

    def __init__(self, kind: str, nodes: list[Any], cluster: Any) -> None:  # noqa: ANN401
        self.kind, self.nodes, self.cluster = kind, nodes, cluster
        self.times: list[float] = []
        self.peak_mb = 0.0
        self.cpu_seconds: dict[int, float] = {}
        self.cpu_at_first: float | None = None
        self.killed = kind not in ("actor", "node")
        self.began = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:  # noqa: ARG002
        self.times.append(time.perf_counter())
        for process in deciding(self.kind):
            self.peak_mb = max(self.peak_mb, peak_mb(process))
            self.cpu_seconds[process] = cpu_seconds(process) or self.cpu_seconds.get(process, 0.0)
        if self.cpu_at_first is None:
            self.cpu_at_first = sum(self.cpu_seconds.values())
        if not self.killed and done >= total / 3:
            self.killed = True
            if self.kind == "actor":
                os.kill(deciding(self.kind)[0], signal.SIGKILL)
            else:
                self.cluster.remove_node(self.nodes[-1], allow_graceful=False)


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
def cluster_of(kind: str) -> Iterator[tuple[Any, list[Any]]]:
    """A head that does no work and a node of one core per actor."""
    if kind.startswith("here"):
        yield None, []
        return
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(1 if kind == "ray1" else 2)]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield made, nodes
    finally:
        ray.shutdown()
        made.shutdown()


def measure(kind: str, asking: Asking, source: Path, output: Path) -> None:
    n = 1 if kind in ("here1", "ray1") else 2
    with cluster_of(kind) as (cluster, nodes):
        watch = Watch(kind, nodes, cluster)
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
    rows_behind_first = done.rows * (done.parts - 1) / done.parts
    seconds = watch.times[-1] - watch.times[0]
    cpu = sum(watch.cpu_seconds.values()) - (watch.cpu_at_first or 0.0)
    row = (
        KINDS[kind],
        done.rows,
        f"{done.seconds:.0f}",
        f"{watch.times[0] - watch.began:.0f}",
        f"{rows_behind_first / seconds:.0f}",
        f"{rows_behind_first / cpu:.0f}",
        f"{watch.peak_mb:.0f}",
    )
    record("batch", [row], keys=(0, 1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    args = parser.parse_args()
    run_module.CLUSTER_FROM_SECONDS = 0.0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "queries.parquet"
        write_queries(source, args.queries)
        first: list[bytes] = []
        for kind in args.kinds:
            asking = Asking(RoutingPipeline.load(args.pipeline), Control(), Needs())
            output = Path(folder) / kind
            measure(kind, asking, source, output)
            parts = [path.read_bytes() for path in sorted(output.glob("part-*"))]
            if parts != (first := first or parts):
                raise SystemExit(f"{kind}: the parts are not those of {args.kinds[0]}")


if __name__ == "__main__":
    main()
