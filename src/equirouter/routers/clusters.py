"""Groups of like queries: KMeans on embeddings, and which group a query belongs to."""

import warnings
from typing import Literal

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.errors import ConfigError
from equirouter.extras import require

__all__ = ["cluster_means", "kmeans", "posterior_layer", "squared_distance"]


def kmeans(
    rows: Float32Array,
    n_clusters: int,
    *,
    n_init: int | Literal["auto"] = "auto",
    max_iter: int = 300,
    algorithm: Literal["lloyd", "elkan"] = "lloyd",
    rng: np.random.Generator,
) -> tuple[Float32Array, IntArray]:
    """Centroids (C, d) of rows (N, d), and each row's cluster (N,), by scikit-learn's KMeans.

    C is n_clusters, or less: there are never more clusters than distinct rows, and none is empty.
    n_init, max_iter, algorithm: as KMeans has them. One thread, so that the sums are added in one
    order and the same rng gives the same centroids, bit for bit. Needs the extra `train`; raises
    ConfigError for fewer than 1 cluster.
    """
    if n_clusters < 1:
        raise ConfigError(f"{n_clusters} clusters: at least 1 is needed")
    cluster = require("sklearn.cluster", extra="train", purpose="cluster queries")
    threads = require("threadpoolctl", extra="train", purpose="cluster queries")
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    n_clusters = min(n_clusters, len({row.tobytes() for row in rows}))
    model = cluster.KMeans(
        n_clusters=n_clusters,
        n_init=n_init,
        max_iter=max_iter,
        algorithm=algorithm if n_clusters > 1 else "lloyd",  # elkan compares centroids
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings(), threads.threadpool_limits(limits=1):
        # Rows that differ in their last bits only can leave a cluster empty: it is dropped below.
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        model.fit(rows)
    used, labels = np.unique(model.labels_, return_inverse=True)
    return model.cluster_centers_[used].astype(np.float32), labels.astype(np.int64)


def squared_distance(rows: Float32Array, centroids: Float32Array) -> Float32Array:
    """Squared Euclidean distances (N, C), less each row's own squared length."""
    return np.asarray((centroids * centroids).sum(axis=1) - 2 * (rows @ centroids.T))


def cluster_means(table: FloatArray, labels: IntArray, n_clusters: int) -> FloatArray:
    """Mean (C, K) over the known cells of table (N, K) in each cluster.

    A model without a known cell in a cluster has its mean over the whole table there.
    """
    known = np.isfinite(table)
    count = np.zeros((n_clusters, table.shape[1]))
    total = np.zeros_like(count)
    np.add.at(count, labels, known)
    np.add.at(total, labels, np.where(known, table, 0.0))
    overall = np.nanmean(table, axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), overall))


def posterior_layer(
    rows: Float32Array, centroids: Float32Array, labels: IntArray
) -> tuple[Float32Array, Float32Array]:
    """Weight (C, d) and bias (C,) of p(cluster | row) = softmax(row @ weight.T + bias).

    The clusters are taken for round Gaussians of one variance, that of the rows (N, d) around their
    own centroids (C, d); each is as likely beforehand as its share of the rows.
    """
    spread = rows.astype(np.float64) - centroids[labels]
    variance = max(float(np.mean(spread * spread)), 1e-8)  # a row may be its own centroid
    share = np.bincount(labels, minlength=len(centroids)) / len(rows)
    centres = centroids.astype(np.float64)
    bias = np.log(share) - (centres * centres).sum(axis=1) / (2 * variance)
    return (centres / variance).astype(np.float32), bias.astype(np.float32)
