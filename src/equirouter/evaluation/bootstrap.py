"""Intervals by resampling queries, the same queries for every router, all resamples at once."""

from collections.abc import Iterator

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError

BLOCK_BYTES = 64 * 2**20
"""Memory for the counts of one block. Few tall matrix products and not many short ones: on a busy
machine the threads of a product wait for each other, which costs per product, not per row."""

ENOUGH = 0.5
"""The share of draws that must have a value before an interval is given."""

TAIL = (1.0 - 0.95) / 2.0


def resample_counts(
    n_queries: int, resamples: int, rng: np.random.Generator, block: int | None = None
) -> Iterator[FloatArray]:
    """How often each query is drawn in each resample: n_queries draws with replacement.

    Yields (r, N) float64 arrays, r <= block, whose rows sum to N; `resamples` rows in all. block:
    None for as many rows as BLOCK_BYTES hold. Two generators of the same state give the same
    resamples for any block: pass every router a new generator of one seed, and their draws are
    paired, so that differences between routers can be taken draw by draw.
    Raises ConfigError for numbers below 1 (resamples: below 0).
    """
    if n_queries < 1 or resamples < 0 or (block is not None and block < 1):
        raise ConfigError(
            f"cannot draw {resamples} resamples of {n_queries} queries in blocks of {block}: "
            "expected at least 0, 1 and 1"
        )
    block = block or max(1, BLOCK_BYTES // (8 * n_queries))
    for start in range(0, resamples, block):
        counts = np.empty((min(block, resamples - start), n_queries))
        for row in counts:
            row[:] = np.bincount(rng.integers(n_queries, size=n_queries), minlength=n_queries)
        yield counts


def weighted_means(counts: FloatArray, values: FloatArray) -> FloatArray:
    """The mean of every column over queries, where query n counts counts[r, n] times.

    counts: (R, N), rows that sum to N. values: (N, C). Returns (R, C). A row of ones gives the
    plain means.
    """
    return np.asarray(counts @ values / counts.shape[1])


def interval(*draws_per_seed: FloatArray) -> tuple[float, float] | None:
    """The 95 % percentile interval (low, high) of bootstrap draws, those of all seeds together.

    Each: (R,), NaN where a metric has no value in a resample (a quality that is never reached).
    Such draws are left out, so the interval is one given that the quality is reached; when fewer
    than half of the draws have a value, or there are none, the answer is None. Draws of several
    seeds vary with the sampled queries and with the seed, so the interval is where one run on
    queries like these may land; it does not shrink as seeds are added, and is wider than an
    interval for the mean over seeds.
    """
    draws = np.concatenate(draws_per_seed) if draws_per_seed else np.zeros(0)
    known = draws[~np.isnan(draws)]
    if not draws.size or len(known) / len(draws) < ENOUGH:
        return None
    low, high = np.quantile(known, [TAIL, 1.0 - TAIL])
    return float(low), float(high)
