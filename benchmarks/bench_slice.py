"""Seconds of `equirouter bench` on a data set whose embeddings are cached, as a whole process.

    python benchmarks/bench_slice.py DATASET [runs]

Routers equirouter, mlp and knn, 3 seeds, with intervals and the report. Prints every run and the
median; the first run is not counted, it fills the cache.
"""

import os
import subprocess
import sys
import tempfile
from statistics import median
from time import perf_counter


def main() -> None:
    dataset, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    command = [sys.executable, "-m", "equirouter", "bench", dataset]
    seconds = []
    for _ in range(runs + 1):
        with tempfile.TemporaryDirectory() as out:
            options = ["--routers", "equirouter,mlp,knn", "--seeds", "3", "--quiet", "--out", out]
            start = perf_counter()
            subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
            seconds.append(perf_counter() - start)
    counted = seconds[1:]
    listed = ", ".join(f"{second:.1f}" for second in counted)
    print(f"{os.cpu_count()} cores: {listed} s; median of {runs}: {median(counted):.1f} s")


if __name__ == "__main__":
    main()
