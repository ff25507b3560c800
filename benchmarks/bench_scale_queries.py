"""Time and memory of every step by the number of queries: python benchmarks/bench_scale_queries.py

A made-up table of N queries and 11 models; embeddings of d numbers in some hundred directions. Each
N runs in a process of its own, so that the peak of memory is that of the step. --steps names some
of read, split, cache, knn, mlp, equirouter, sweep, measure, log; all by default.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from equirouter.arrays import Float32Array
from equirouter.data import Outcomes, read_table, split_outcomes, write_table
from equirouter.encoders import EmbeddingCache, Encoder, encode_cached
from equirouter.encoders.embedding_file import open_embeddings
from equirouter.evaluation.curve import measure
from equirouter.evaluation.decision_log import decision_log
from equirouter.policy import BudgetPolicy
from equirouter.progress import Progress
from equirouter.routers import make_router

N_MODELS = 11
STEPS = ("read", "split", "cache", "file", "knn", "mlp", "equirouter", "sweep", "measure", "log")
Result = TypeVar("Result")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--queries", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--width", type=int, default=384)
    options.add_argument("--epochs", type=int, default=1, help="of the routers that train")
    options.add_argument("--steps", nargs="+", default=STEPS, choices=STEPS)
    options.add_argument("--here", action="store_true", help="one size and step, in this process")
    args = options.parse_args()
    if args.here:
        run(args.steps[0], args.queries[0], args.width, args.epochs)
        return
    print(
        f"d = {args.width}, {N_MODELS} models, {args.epochs} epochs; {os.cpu_count()} cores, "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}, numpy {np.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for step in args.steps:
        for n in args.queries:
            command = [sys.executable, __file__, "--here", "--steps", step, "--queries", str(n)]
            command += ["--width", str(args.width), "--epochs", str(args.epochs)]
            subprocess.run(command, check=True)


def run(step: str, n: int, width: int, epochs: int) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if step == "read":
            read(n, folder)
        elif step == "split":
            table = made_table(n, rng)
            split = timed(n, "split, by query", lambda: split_outcomes(table))
            timed(n, "split, by task", lambda: split_outcomes(table, kind="ood"))
            timed(n, "hash of the split", lambda: split.hash)
            timed(n, "fingerprint of the table", lambda: table.fingerprint)
            timed(n, "take the training part", lambda: table.take(split.train))
        elif step == "cache":
            cached(n, width, folder)
        elif step == "file":
            np.save(folder / "e.npy", made_embeddings(n, width, rng))
            timed(n, "open_embeddings", lambda: open_embeddings(folder / "e.npy", n))
        elif step in ("knn", "mlp", "equirouter"):
            routed(step, n, width, epochs, rng)
        else:
            decided(step, n, rng, folder)


def timed(n: int, what: str, work: Callable[[], Result]) -> Result:
    before = resident_mb()
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n:>9,} {what:<34} {seconds:9.3f} s {seconds / n * 1e6:9.2f} us/query"
        f"   memory before {before:7.0f} MB, peak {peak:7.0f} MB",
        flush=True,
    )
    return result


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def made_table(n: int, rng: np.random.Generator) -> Outcomes:
    words = np.array(["why", "how", "what", "which", "does", "is", "the", "of", "city", "river"])
    texts = [f"{' '.join(row)} {i}?" for i, row in enumerate(words[rng.integers(10, size=(n, 12))])]
    performance = (rng.random((n, N_MODELS)) < np.linspace(0.3, 0.8, N_MODELS)).astype(np.float64)
    cost_usd = np.geomspace(5e-5, 3.5e-3, N_MODELS) * rng.lognormal(0.0, 0.5, (n, N_MODELS))
    return Outcomes(
        query_ids=tuple(f"query{i}" for i in range(n)),
        texts=tuple(texts),
        tasks=tuple(f"task{i}" for i in rng.integers(86, size=n)),
        models=tuple(f"model{i}" for i in range(N_MODELS)),
        performance=performance,
        cost_usd=cost_usd,
    )


def made_embeddings(n: int, width: int, rng: np.random.Generator) -> Float32Array:
    """Unit rows about 300 centres; within a centre they vary in 24 directions, and a little in all.

    The centres are the same whatever rng is.
    """
    fixed = np.random.default_rng(1)
    centres = fixed.standard_normal((300, width), dtype=np.float32)
    axes = fixed.standard_normal((300, 24, width), dtype=np.float32) / np.float32(24**0.5)
    of_row = rng.integers(300, size=n)
    rows = np.empty((n, width), dtype=np.float32)
    for topic in range(300):
        here = np.flatnonzero(of_row == topic)
        spread = rng.standard_normal((len(here), 24), dtype=np.float32)
        noise = rng.standard_normal((len(here), width), dtype=np.float32)
        rows[here] = centres[topic] + spread @ axes[topic] + np.float32(0.25) * noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def read(n: int, folder: Path) -> None:
    table = made_table(n, np.random.default_rng(0))
    for suffix, layout in ((".parquet", "wide"), (".parquet", "long"), (".csv", "wide")):
        path = folder / f"table{suffix}"
        kind = f"{suffix} {layout}"
        timed(n, f"write {kind}", lambda p=path, k=layout: write_table(table, p, layout=k))  # type: ignore[misc]
        timed(n, f"read {kind}", lambda p=path: read_table(p))  # type: ignore[misc]


class _Known(Encoder):
    """Gives embeddings that were made before, so that the cache is measured and not an encoder."""

    name = "known"

    def __init__(self, rows: Float32Array) -> None:
        self.rows, self.next = rows, 0

    @property
    def dimension(self) -> int:
        return int(self.rows.shape[1])

    @property
    def fingerprint(self) -> str:
        return "known"

    def embed(
        self,
        texts: tuple[str, ...],
        images: tuple[str | None, ...],  # noqa: ARG002
        progress: Progress,  # noqa: ARG002
    ) -> Float32Array:
        self.next += len(texts)
        return self.rows[self.next - len(texts) : self.next]


def cached(n: int, width: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    texts = made_table(n, rng).texts
    encoder = _Known(np.broadcast_to(np.float32(width**-0.5), (n, width)))
    cache = EmbeddingCache(folder, max_bytes=2**40)
    timed(n, "encode_cached, cold", lambda: encode_cached(encoder, texts, cache=cache).shape)
    timed(n, "encode_cached, warm", lambda: encode_cached(encoder, texts, cache=cache).shape)


def routed(name: str, n: int, width: int, epochs: int, rng: np.random.Generator) -> None:
    embeddings = made_embeddings(n, width, rng)
    table = made_table(n, rng)
    router = make_router(name)
    if "epochs" in router.settings:
        import torch  # noqa: F401  # seconds that are not the fit's

        router = make_router(name, epochs=epochs, patience=None)
        name = f"{name}, {epochs} epochs"
    few = embeddings[: min(n, 2000)]
    truth = (table.performance, table.cost_usd)
    timed(n, f"fit {name}", lambda: router.fit(embeddings, *truth, rng=rng))
    seconds = [clock(lambda i=i: router.predict(few[i : i + 1])) for i in range(100)]  # type: ignore[misc]
    print(f"{n:>9,} {'predict one, median':<34} {np.median(seconds) * 1e6:9.0f} us")
    batch = clock(lambda: router.predict(few)) / len(few)
    print(f"{n:>9,} {f'predict {len(few)}, per query':<34} {batch * 1e6:9.0f} us")


def clock(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def decided(step: str, n: int, rng: np.random.Generator, folder: Path) -> None:
    """N measured queries, 100 budgets."""
    table = made_table(n, rng)
    scores = table.performance + rng.normal(0, 0.7, table.performance.shape)
    policy = BudgetPolicy()
    points = policy.points(scores, table.cost_usd, 100)
    if step == "sweep":
        timed(n, "sweep, 100 budgets", lambda: policy.sweep(scores, table.cost_usd, points))
        return
    parts = [
        policy.sweep(scores[rows], table.cost_usd[rows], points)
        for rows in np.array_split(np.arange(n), max(1, n // 50_000))
    ]
    chosen = np.concatenate(parts)
    del parts
    if step == "measure":
        timed(n, "measure, 1,000 resamples", lambda: measured(chosen, table, rng))
    else:
        timed(n, "decision log", lambda: logged(chosen, table, points, folder))


def measured(chosen: np.ndarray, table: Outcomes, rng: np.random.Generator) -> None:
    measure(chosen, table.performance, table.cost_usd, resamples=1000, rng=rng)


def logged(chosen: np.ndarray, table: Outcomes, points: np.ndarray, folder: Path) -> None:
    with decision_log(folder / "decisions.parquet", table, "budget_usd") as log:
        log.add("knn", 42, np.arange(len(chosen)), points, chosen)


if __name__ == "__main__":
    main()
