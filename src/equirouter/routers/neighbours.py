"""The k nearest rows by cosine: the same rows for a query alone and in a batch, on any threads.

A matrix product is not the same to the last bit for one query and for many, so it only proposes:
every row that could be among the k nearest whatever its rounding was. These few are compared by
sums whose order is fixed, and equal ones by their row number.

KMeans groups like rows.
"""

import warnings
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import Float32Array, IntArray
from equirouter.errors import ConfigError, PipelineError
from equirouter.extras import require

BLOCK_BYTES = 128 * 2**20
"""Memory for the similarities of one block of queries."""

TARGET_RECALL = 0.99
"""The share of the k nearest that an index must find, measured on its own rows."""

LLOYD_ROUNDS = 50

_SUM_ROWS = 8192  # pairs of rows compared at once
_ROWS_PER_CENTRE = 64  # k-means is trained on a sample: more rows take longer, and find no more
_PROBES_MEASURED_ON = 256


def unit_rows(rows: Float32Array) -> Float32Array:
    """(n, d) rows scaled to length 1, so that a product is the cosine; a zero row stays zero."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))


def unit_copy(rows: Float32Array, order: IntArray | None = None) -> Float32Array:
    """Rows (n, d) at length 1, in an order (n,), made block by block: no second copy is held."""
    out = np.empty(rows.shape, dtype=np.float32)
    block = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        out[part] = unit_rows(rows[part if order is None else order[part]])
    return out


def nearest(queries: Float32Array, points: Float32Array, k: int) -> IntArray:
    """(B, k) rows of points by cosine, highest first; of equal ones the lowest row first.

    queries (B, d), points (N, d): finite rows of length 1 or 0; 1 <= k <= N. All (B, N)
    similarities are held at once: choose B by BLOCK_BYTES.
    """
    query, row, _ = _proposals(queries, points, k)
    return _best(queries, points, query, row, row, k)


def _proposals(
    queries: Float32Array, points: Float32Array, k: int
) -> tuple[IntArray, IntArray, Float32Array]:
    """Pairs (query, row, similarity as the product has it), (M,) each, with all that could be best.

    At least min(k, N) rows per query; more where similarities are nearly equal.
    """
    similarity = queries @ points.T  # (B, N)
    k = min(k, len(points))
    least = np.partition(similarity, -k, axis=1)[:, -k] - _rounding(queries.shape[1])
    query, row = np.nonzero(similarity >= least[:, None])
    return query, row, similarity[query, row]


def _rounding(width: int) -> np.float32:
    """How far below the k-th highest product a row can be and still be among the k nearest.

    A float32 product of unit rows of d numbers is within d * 2**-24 of the truth, in any order of
    summation (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). Two
    rows are compared here, each summed in two orders: four times that, and a little.
    """
    return np.float32(4.2 * width * 2.0**-24)


def _best(
    queries: Float32Array,
    points: Float32Array,
    query: IntArray,
    place: IntArray,
    number: IntArray,
    k: int,
) -> IntArray:
    """The k best of each query's proposals, (B, k) places; each query has k of them or more.

    query, place: (M,) pairs. number: (M,), what decides between equal similarities.
    """
    similarity = np.empty(len(query), dtype=np.float32)
    for start in range(0, len(query), _SUM_ROWS):
        part = slice(start, start + _SUM_ROWS)
        # einsum adds up each pair by itself, in one order; a matrix product does not promise that
        similarity[part] = np.einsum("md,md->m", points[place[part]], queries[query[part]])
    order = np.lexsort((number, -similarity, query))  # the last key sorts first
    first = np.searchsorted(query[order], np.arange(len(queries)))
    return np.asarray(place[order[first[:, None] + np.arange(k)]])


@dataclass(frozen=True, eq=False)
class InvertedFile:
    """Rows in groups of like direction, so that a query is compared with a few groups only.

    points: (N, d) unit rows, group after group. centres: (L, d) unit rows, one per group. starts:
    (L + 1,) where each group starts in points. numbers: (N,) the row number that each point had
    before. probes: (1,) how many groups a query is compared with. An inverted file of Sivic and
    Zisserman, 2003; built by `build`, with faiss; searched with NumPy.
    """

    points: Float32Array
    centres: Float32Array
    starts: IntArray
    numbers: IntArray
    probes: IntArray

    @classmethod
    def build(cls, rows: Float32Array, k: int, rng: np.random.Generator) -> Self:
        """Group (N, d) rows, which need not be of length 1, for searches of k neighbours.

        sqrt(N) groups by k-means; as many probes as find 99 % of the k nearest of 256 of the rows,
        so a slower index where the rows are scattered, not a worse one. Raises MissingExtraError.
        """
        n_groups = max(1, round(len(rows) ** 0.5))
        sample = rng.choice(len(rows), min(len(rows), n_groups * _ROWS_PER_CENTRE), replace=False)
        centres = _centres(unit_rows(rows[np.sort(sample)]), n_groups)
        group = np.empty(len(rows), dtype=np.int64)
        block = max(1, BLOCK_BYTES // (4 * (n_groups + rows.shape[1])))
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            group[part] = (unit_rows(rows[part]) @ centres.T).argmax(axis=1)
        numbers = np.argsort(group, kind="stable")
        points = unit_copy(rows, numbers)
        sizes = np.bincount(group, minlength=n_groups)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        probes = cls(points, centres, starts, numbers, np.array([1]))._enough_probes(k, rng)
        return cls(points, centres, starts, numbers, np.array([probes]))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All but the points, as arrays by name."""
        names = ("centres", "starts", "numbers", "probes")
        return {name: getattr(self, name) for name in names}

    def check(self) -> None:
        """Raise PipelineError unless the arrays belong together, so that a search is safe."""
        n, n_groups = len(self.points), len(self.centres)
        right = (
            self.centres.shape == (n_groups, self.points.shape[1])
            and self.starts.shape == (n_groups + 1,)
            and self.starts[0] == 0
            and self.starts[-1] == n
            and bool((np.diff(self.starts) >= 0).all())
            and np.array_equal(np.sort(self.numbers), np.arange(n))
            and self.probes.shape == (1,)
            and 1 <= self.probes[0] <= n_groups
        )
        if not right:
            raise PipelineError(
                f"the neighbour index does not belong to its {n} rows: the pipeline is damaged, "
                "so fit and save it anew"
            )

    def search(self, queries: Float32Array, k: int) -> IntArray:
        """(B, k) places in points: the nearest of the groups that are nearest to each query.

        The order is that of `nearest`. A query whose groups hold fewer than k rows is compared with
        all rows.
        """
        n_probes = int(self.probes[0])
        groups = nearest(queries, self.centres, n_probes)  # (B, probes)
        held = np.diff(self.starts)[groups].sum(axis=1)
        places = np.empty((len(queries), k), dtype=np.int64)
        enough = np.flatnonzero(held >= k)
        if enough.size:
            places[enough] = self._search_groups(queries[enough], groups[enough], k)
        for row in np.flatnonzero(held < k):
            query, place, _ = _proposals(queries[row : row + 1], self.points, k)
            number = self.numbers[place]
            places[row] = _best(queries[row : row + 1], self.points, query, place, number, k)[0]
        return places

    def _search_groups(self, queries: Float32Array, groups: IntArray, k: int) -> IntArray:
        """The k nearest in the given groups (B, probes), which hold k rows or more."""
        order = np.argsort(groups, axis=None, kind="stable")
        asks, of_group = order // groups.shape[1], groups.ravel()[order]
        ends = np.flatnonzero(np.diff(of_group, append=-1)) + 1
        proposals = []
        begin = 0
        for end in ends.tolist():  # group by group: one product for all queries that ask for it
            who, start = asks[begin:end], int(self.starts[of_group[begin]])
            stop = int(self.starts[of_group[begin] + 1])
            begin = end
            if start < stop:
                query, row, similarity = _proposals(queries[who], self.points[start:stop], k)
                proposals.append((who[query], row + start, similarity))
        query, place, similarity = (np.concatenate(parts) for parts in zip(*proposals, strict=True))
        order = np.lexsort((-similarity, query))
        kth = np.searchsorted(query[order], np.arange(len(queries))) + k - 1
        least = similarity[order[kth]] - _rounding(queries.shape[1])
        kept = similarity >= least[query]
        query, place = query[kept], place[kept]
        return _best(queries, self.points, query, place, self.numbers[place], k)

    def _enough_probes(self, k: int, rng: np.random.Generator) -> int:
        """About the fewest groups that hold enough of the k nearest; all, if it must be."""
        n, n_groups = len(self.points), len(self.centres)
        sample = rng.choice(n, min(n, _PROBES_MEASURED_ON), replace=False)
        k = min(k + 1, n)  # a row finds itself: that is not counted
        block = max(1, BLOCK_BYTES // (9 * n))
        parts = [self.points[sample[i : i + block]] for i in range(0, len(sample), block)]
        truth = np.concatenate([nearest(part, self.points, k) for part in parts])
        probes = 1
        while probes * n < 4 * k * n_groups:  # groups that hold too few would be searched in vain
            probes += 1
        while probes < n_groups:
            trial = type(self)(
                self.points, self.centres, self.starts, self.numbers, np.array([probes])
            )
            places = trial.search(self.points[sample], k)
            hits = sum(np.isin(a, b).sum() for a, b in zip(truth, places, strict=True))
            if hits - len(sample) >= TARGET_RECALL * len(sample) * (k - 1):
                return probes
            probes += 1 + probes // 4
        return n_groups


def _centres(rows: Float32Array, n_groups: int) -> Float32Array:
    """(L, d) centres of length 1 of like rows (n, d); the same for the same rows."""
    faiss = require(
        "faiss",
        extra="train",
        purpose="index so many training queries for knn (or set index=exact: slower, as good)",
    )
    kmeans = faiss.Kmeans(
        rows.shape[1], n_groups, niter=10, spherical=True, min_points_per_centroid=1, seed=1
    )
    kmeans.train(rows, init_centroids=rows[:: len(rows) // n_groups][:n_groups].copy())
    return unit_rows(kmeans.centroids)


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


def lloyd(rows: Float32Array, n_clusters: int, rng: np.random.Generator) -> Float32Array:
    """Centroids (C, d) of rows (N, d), C at most n_clusters, in NumPy alone.

    Seeded as k-means++ does (Arthur and Vassilvitskii 2007), then Lloyd's rounds until no row
    changes its cluster, LLOYD_ROUNDS at most: for groups that need not be the very best ones. Rows
    that are as good as equal do not both begin a cluster.
    """
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    length = np.einsum("nd,nd->n", rows, rows).astype(np.float64)  # squared
    chosen = [int(rng.integers(len(rows)))]
    apart = np.full(len(rows), np.inf)  # squared distance to the nearest centroid
    while True:
        own = chosen[-1]
        apart = np.minimum(apart, length - 2.0 * (rows @ rows[own]) + length[own])
        apart[apart <= 1e-6 * length] = 0.0
        if len(chosen) == n_clusters or not apart.any():
            break
        chosen.append(int(rng.choice(len(rows), p=apart / apart.sum())))
    centroids, labels = rows[chosen], np.full(len(rows), -1)
    for _ in range(LLOYD_ROUNDS):
        lengths = (centroids * centroids).sum(axis=1)
        nearest_one = (lengths - 2 * (rows @ centroids.T)).argmin(axis=1)
        used, now = np.unique(nearest_one, return_inverse=True)
        if np.array_equal(now, labels):
            break
        labels = now
        centroids = np.stack([rows[nearest_one == label].mean(axis=0) for label in used])
    return centroids
