"""Nearest neighbours, exact and by index: python benchmarks/bench_neighbour_index.py

50 neighbours of 500 queries among N made-up rows of 384 numbers: seconds to build, time for one
query and per query of a batch, memory, the share of the 50 nearest that is found, and the mean
difference of the routing scores (means of made-up outcomes of 11 models over the neighbours). Each
method runs in a process of its own. hnswlib, usearch and faiss are measured where they are
installed; `grouped` is equirouter's own search in groups that faiss made.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
from bench_scale_queries import clock, made_embeddings, resident_mb

from equirouter.arrays import Float32Array, IntArray
from equirouter.routers.neighbours import InvertedFile, nearest

K, N_QUERIES, WIDTH = 50, 500, 384
METHODS = {
    "exact": (),
    "grouped": (),
    "hnswlib": (64, 128, 256),
    "usearch": (64, 128, 256),
    "usearch-f16": (64, 128, 256),
    "usearch-i8": (64, 128, 256),
    "faiss-hnsw": (64, 128, 256),
    "faiss-ivf": (4, 8, 16),
}
"""The widths of search that are tried: candidates that are kept, or groups that are looked at."""

Search: TypeAlias = Callable[[Float32Array], IntArray]
Widen: TypeAlias = Callable[[int], None]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 50_000, 100_000])
    options.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options.add_argument("--kind", choices=("topics", "random"), default="topics")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--truth", type=Path, help="kept neighbours: one process, used by itself")
    args = options.parse_args()
    if args.truth is not None:
        run(args.methods[0], args.rows[0], args.kind, args.threads, args.truth)
        return
    print(
        f"{K} of N x {WIDTH} ({args.kind}), {args.threads} threads, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    environment = os.environ | {
        name: str(args.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    with tempfile.TemporaryDirectory() as folder:
        for n in args.rows:
            truth = Path(folder) / f"{n}.npy"
            rows, queries = problem(n, args.kind)
            np.save(truth, in_blocks(queries, rows))
            for method in args.methods:
                if find_spec(method.partition("-")[0]) is None and method not in (
                    "exact",
                    "grouped",
                ):
                    print(f"{n:>9,} {method}: not installed")
                    continue
                command = [sys.executable, __file__, "--rows", str(n), "--methods", method]
                command += ["--kind", args.kind, "--threads", str(args.threads)]
                subprocess.run([*command, "--truth", str(truth)], check=True, env=environment)


def problem(n: int, kind: str) -> tuple[Float32Array, Float32Array]:
    if kind == "topics":
        rows = made_embeddings(n, WIDTH, np.random.default_rng(0))
        return rows, made_embeddings(N_QUERIES, WIDTH, np.random.default_rng(1))
    drawn = np.random.default_rng(0).standard_normal((n + N_QUERIES, WIDTH), dtype=np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn[:n], drawn[n:]


def in_blocks(queries: Float32Array, rows: Float32Array) -> IntArray:
    size = max(1, 2**25 // len(rows))
    parts = [queries[start : start + size] for start in range(0, len(queries), size)]
    return np.concatenate([nearest(part, rows, K) for part in parts])


def run(method: str, n: int, kind: str, threads: int, truth_file: Path) -> None:
    rows, queries = problem(n, kind)
    truth = np.load(truth_file)
    rng = np.random.default_rng(2)
    directions = rng.standard_normal((WIDTH, 11))
    outcomes = rows @ directions + rng.normal(0, 0.5, (n, 11)) > 0
    before = resident_mb()
    start = time.perf_counter()
    search, widen = build(method, rows, threads)
    seconds = time.perf_counter() - start
    for width in METHODS[method] or (0,):
        widen(width)
        search(queries[:3])
        one = [clock(lambda i=i: search(queries[i : i + 1])) for i in range(100)]  # type: ignore[misc]
        many = clock(lambda: search(queries)) / len(queries)
        neighbours = search(queries)
        recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth, neighbours, strict=True)])
        off = np.abs(outcomes[neighbours].mean(axis=1) - outcomes[truth].mean(axis=1)).mean()
        print(
            f"{n:>9,} {method:<12} {width:>4}"
            f" build {seconds:8.2f} s {resident_mb() - before:6.0f} MB"
            f"   one {median(one) * 1e3:7.3f} ms   batch {many * 1e3:7.3f} ms per query"
            f"   recall {recall:.4f}   scores off by {off:.4f}",
            flush=True,
        )


def build(method: str, rows: Float32Array, threads: int) -> tuple[Search, Widen]:
    if method == "exact":
        return (lambda queries: in_blocks(queries, rows)), lambda _: None
    if method == "grouped":
        made = InvertedFile.build(rows, K, np.random.default_rng(0))
        return (lambda queries: made.numbers[made.search(queries, K)]), lambda _: None
    if method == "hnswlib":
        return hnswlib(rows, threads)
    if method.startswith("usearch"):
        return usearch(rows, threads, method.partition("-")[2] or "f32")
    return faiss(rows, threads, method)


def hnswlib(rows: Float32Array, threads: int) -> tuple[Search, Widen]:
    made = import_module("hnswlib").Index(space="ip", dim=WIDTH)
    made.init_index(max_elements=len(rows), ef_construction=128, M=16, random_seed=1)
    made.add_items(rows, num_threads=threads)
    return (lambda queries: made.knn_query(queries, K, num_threads=threads)[0]), made.set_ef


def usearch(rows: Float32Array, threads: int, kind: str) -> tuple[Search, Widen]:
    metric = "cos" if kind == "i8" else "ip"
    made = import_module("usearch.index").Index(
        ndim=WIDTH, metric=metric, dtype=kind, connectivity=16, expansion_add=128
    )
    made.add(np.arange(len(rows)), rows, threads=threads)

    def search(queries: Float32Array) -> IntArray:
        matches: Any = made.search(queries, K, threads=threads)
        return np.asarray(matches.keys, dtype=np.int64).reshape(len(queries), -1)

    return search, lambda width: setattr(made, "expansion_search", width)


def faiss(rows: Float32Array, threads: int, method: str) -> tuple[Search, Widen]:
    library = import_module("faiss")
    library.omp_set_num_threads(threads)
    made: Any
    if method == "faiss-hnsw":
        made = library.IndexHNSWFlat(WIDTH, 16, library.METRIC_INNER_PRODUCT)
        made.hnsw.efConstruction = 128
        made.add(rows)
        return (lambda queries: made.search(queries, K)[1]), lambda width: setattr(
            made.hnsw, "efSearch", width
        )
    n_groups = round(len(rows) ** 0.5)
    coarse = library.IndexFlatIP(WIDTH)
    made = library.IndexIVFFlat(coarse, WIDTH, n_groups, library.METRIC_INNER_PRODUCT)
    made.cp.max_points_per_centroid = 64
    made.train(rows)
    made.add(rows)
    return (lambda queries: made.search(queries, K)[1]), lambda width: setattr(
        made, "nprobe", width
    )


if __name__ == "__main__":
    main()
