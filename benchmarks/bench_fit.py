"""Seconds to fit EquiRouter on 11,000 x 384 with 11 models, 30 epochs: medians per thread count.

    python benchmarks/bench_fit.py [runs [router ...]]

To compare with another version in the same minutes: run it in turns with PYTHONPATH=OTHER/src. CPU
seconds stand beside the seconds, because on a busy machine only they say something.
"""

import sys
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch

from equirouter.routers import make_router

N_QUERIES, WIDTH, N_MODELS, EPOCHS = 11_000, 384, 11, 30


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    specs = sys.argv[2:] or ["equirouter:paper", "equirouter", "mlp"]
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((N_QUERIES, WIDTH)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    performance = rng.integers(0, 2, (N_QUERIES, N_MODELS)).astype(np.float64)
    cost_usd = rng.lognormal(size=(N_QUERIES, N_MODELS))
    print(f"{N_QUERIES} x {WIDTH}, {N_MODELS} models, {EPOCHS} epochs, {runs} runs")
    _ = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])  # loads what the first fit would
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        for spec in specs:
            fits, busy, predicts = [], [], []
            for run in range(runs):
                router = make_router(spec, epochs=EPOCHS, patience=None)
                start, cpu = perf_counter(), process_time()
                router.fit(embeddings, performance, cost_usd, rng=np.random.default_rng(run))
                fits.append(perf_counter() - start)
                busy.append(process_time() - cpu)
                start = perf_counter()
                router.predict(embeddings)
                predicts.append((perf_counter() - start) / N_QUERIES * 1e6)
            print(
                f"{threads} threads  {spec:20} fit {median(fits):6.2f} s ({median(busy):6.2f} s of "
                f"CPU)   predict {median(predicts):6.2f} us/query"
            )


if __name__ == "__main__":
    main()
