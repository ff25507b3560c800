"""Seconds to fit EquiRouter on 11,000 x 384 with 11 models, 30 epochs: medians, threads named.

python benchmarks/bench_fit.py [runs]
"""

import sys
from statistics import median
from time import perf_counter

import numpy as np
import torch

from equirouter.routers import make_router

N_QUERIES, WIDTH, N_MODELS, EPOCHS = 11_000, 384, 11, 30


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((N_QUERIES, WIDTH)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    performance = rng.integers(0, 2, (N_QUERIES, N_MODELS)).astype(np.float64)
    cost_usd = rng.lognormal(size=(N_QUERIES, N_MODELS))
    print(
        f"{N_QUERIES} x {WIDTH}, {N_MODELS} models, {EPOCHS} epochs, "
        f"{torch.get_num_threads()} threads, {runs} runs"
    )
    for spec in ("equirouter:paper", "equirouter", "mlp"):
        fits, predicts = [], []
        for run in range(runs):
            router = make_router(spec, epochs=EPOCHS, patience=None)
            start = perf_counter()
            router.fit(embeddings, performance, cost_usd, rng=np.random.default_rng(run))
            fits.append(perf_counter() - start)
            start = perf_counter()
            router.predict(embeddings)
            predicts.append((perf_counter() - start) / N_QUERIES * 1e6)
        print(f"{spec:20} fit {median(fits):6.2f} s   predict {median(predicts):6.2f} us/query")


if __name__ == "__main__":
    main()
