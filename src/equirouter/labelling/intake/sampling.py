"""A sample of the queries of a log that looks like the whole, and what each query stands for."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.encoders.lexical import LexicalEncoder
from equirouter.routers.neighbours import kmeans

MOST_CLUSTERED = 20_000
"""Queries that the clusters are found from: a random part of more."""

_DIMENSION = 256
_QUERIES_PER_CLUSTER = 5
_MOST_CLUSTERS = 100


def clustered(
    blocks: Callable[[], Iterable[Sequence[str]]],
    n_texts: int,
    n_drawn: int,
    rng: np.random.Generator,
) -> IntArray:
    """(N,) the cluster of each text, by k-means on embeddings of the encoder `lexical`.

    blocks: gives the texts again, some at a time, so that they are never all in memory. n_drawn:
    the size of the sample; there is a cluster for five of it, 100 at most.
    """
    encoder = LexicalEncoder(dimension=_DIMENSION)
    chosen = np.sort(rng.permutation(n_texts)[:MOST_CLUSTERED])
    n_clusters = min(max(n_drawn // _QUERIES_PER_CLUSTER, 1), _MOST_CLUSTERS)
    parts: list[Float32Array] = []
    begin = 0
    for texts in blocks():
        inside = chosen[(chosen >= begin) & (chosen < begin + len(texts))] - begin
        if len(inside):
            parts.append(encoder.encode([texts[row] for row in inside]))
        begin += len(texts)
    centres, _ = kmeans(np.concatenate(parts), n_clusters, rng=rng)
    half = np.einsum("cd,cd->c", centres, centres) / 2
    return np.concatenate(
        [(encoder.encode(texts) @ centres.T - half).argmax(axis=1) for texts in blocks()]
    ).astype(np.int64)


def drawn(
    counts: IntArray, tasks: Sequence[str], clusters: IntArray, n: int, rng: np.random.Generator
) -> FloatArray:
    """(N,) the requests that each query stands for, 0 for those that are not in the sample of n.

    counts (N,): requests of each query. A query is drawn with probability in proportion to its
    requests, by systematic sampling from a list in the order of task and cluster: every task and
    every cluster has its share of the sample, to within one query. One that alone has more
    requests than a query of the sample stands for is always in it, for its own requests; all others
    stand for the same number. The weights add up to the requests exactly.
    Source: Särndal, Swensson and Wretman 1992, sections 3.6 and 3.7.
    """
    weights = np.zeros(len(counts))
    if n >= len(counts):
        return counts.astype(np.float64)
    left = np.ones(len(counts), dtype=bool)
    n_left = n
    while n_left:
        sure = left & (counts * n_left >= counts[left].sum())
        if not sure.any():
            break
        weights[sure] = counts[sure]
        left &= ~sure
        n_left = n - int((~left).sum())
    if not n_left:
        return weights
    rows = np.flatnonzero(left)
    order = np.lexsort((rng.random(len(rows)), clusters[rows], np.asarray(tasks)[rows]))
    reached = np.cumsum(counts[rows][order])
    step = reached[-1] / n_left
    points = (rng.random() + np.arange(n_left)) * step
    weights[rows[order][np.searchsorted(reached, points, side="right")]] = step
    return weights
