"""From choices at many operating points to the curve, its metrics and their bootstrap draws.

Along a path a change moves one query from one model to another, so a mean is a running sum. In a
resample each change counts as often as its query was drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from equirouter.arrays import FloatArray, IntArray
from equirouter.data.strength import strongest_of
from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.bootstrap import resample_counts, weighted_means
from equirouter.evaluation.metrics import METRICS, Draws, SweepMeans
from equirouter.policy import DecisionPath
from equirouter.policy.collapse_score import (
    call_shares,
    checked_chosen,
    checked_outcomes,
    collapse_table,
    orbit_collapse_table,
    pick,
)

Point: TypeAlias = float | list[float] | dict[str, float | None] | None


@dataclass(frozen=True, eq=False)
class Curve:
    """Means over queries per operating point.

    performance, cost_usd (USD), rci (in [0, 1]): (T,). call_share: (T, K), rows sum to 1.
    """

    performance: FloatArray
    cost_usd: FloatArray
    rci: FloatArray
    call_share: FloatArray


@dataclass(frozen=True, eq=False)
class Measurement:
    """The metrics of one router on one set of queries.

    point: metric -> value. nauc, peak_score: higher is better; peak_cost_usd in USD, qnc as a share
    of the strongest model's cost, rci and rci_orbit (last operating point) and rci_mean (mean over
    all of them): lower is better. cost_at_quality (shares of the reference's cost) and
    rci_at_quality map "1.00", "0.99", ... to a value. None: never reached (qnc), or the reference
    costs nothing, for shares of its cost. call_share: one share per model at the last operating
    point.
    draws: the same metrics in R resamples of the queries, (R,) arrays, maps of them, and (R, K) for
    call_share; NaN stands for None. The definition is followed in each resample; qnc is of the
    model that is strongest in it, the reference is fixed. curve: the means that the metrics are
    computed from.
    """

    point: dict[str, Point]
    draws: dict[str, Draws]
    curve: Curve

    def value(self, metric: str, quality: str = "") -> float | None:
        """A metric that has one value, or its value at a quality; None for none."""
        point = self.point[metric]
        value = point[quality] if isinstance(point, dict) and quality else point
        if isinstance(value, dict | list):
            raise AssertionError(f"{metric} is not a single number")
        return value

    def drawn(self, metric: str, quality: str = "") -> FloatArray | None:
        """The draws (R,) of such a value, NaN for None; None without resamples."""
        draws = self.draws.get(metric)
        return draws[quality] if isinstance(draws, dict) else draws


def measure(
    chosen: ArrayLike,
    performance: ArrayLike,
    cost_usd: ArrayLike,
    *,
    strongest: int | None = None,
    spent_usd: ArrayLike | None = None,
    path: DecisionPath | None = None,
    resamples: int = 1000,
    rng: np.random.Generator | None = None,
) -> Measurement:
    """All metrics of a sweep, with bootstrap draws over queries.

    chosen: (N, T) columns in order of increasing budget, the largest last. performance, cost_usd:
    (N, K), no NaN. strongest: column of the reference model, of which qualities and their costs are
    shares: the strongest on training and validation part; None: the strongest on these queries.
    spent_usd (N, T): of all calls of a choice, where those are more than the call of the chosen
    model; collapse, which compares one call with others, is then None. path: every change of a
    decision (Policy.path); nauc, the peak, qnc and the two at_quality are then read from all its
    points, in the resamples from at most MOST_POINTS of them, and rci, rci_mean and call_share from
    chosen. resamples: 0 leaves draws empty. rng: where they come from; a new generator of one seed
    for every router pairs them.
    Raises DataError for other shapes, missing outcomes, or a choice that is no column; ConfigError
    for resamples without rng. Source: paper, App. A.3 and D.
    """
    if resamples and rng is None:
        raise ConfigError(
            f"{resamples} resamples need a random generator: pass rng, or resamples=0"
        )
    performance, cost_usd = checked_outcomes(performance, cost_usd)
    columns = checked_chosen(chosen, *performance.shape)
    if columns.ndim != 2:
        raise DataError(
            f"chosen has shape {columns.shape}; expected ({len(performance)}, T), a column per "
            "operating point: for a single one pass chosen[:, None]"
        )
    reference = strongest_of(performance, cost_usd) if strongest is None else strongest
    (n_queries, n_models), n_points = performance.shape, columns.shape[1]
    ends = np.cumsum([n_points] * 3 + [n_models] * 3 + [1, 1])
    # One matrix, so one product per block of resamples; made in place: it is the largest thing here
    values = np.zeros((n_queries, ends[-1]))
    parts = np.split(values, ends[:-1], axis=1)  # views: (N, T) x 3, (N, K) x 3, (N, 1)
    tables = (performance, cost_usd, collapse_table(performance, cost_usd))
    for part, table in zip(parts[:3], tables, strict=True):
        part[:] = pick(columns, table)[0]
    parts[3][:], parts[4][:] = performance, cost_usd
    parts[5][np.arange(n_queries), columns[:, -1]] = 1.0  # where the last operating point went
    parts[6][:] = pick(columns[:, -1:], orbit_collapse_table(performance, cost_usd))[0]
    parts[7][:, 0] = tables[2][:, reference]
    if spent_usd is not None:  # collapse of one of several calls would mislead
        parts[1][:] = spent_usd
        for collapse in (parts[2], parts[6], parts[7]):
            collapse[:] = np.nan

    def means(counts: FloatArray, points: IntArray | None = None) -> list[FloatArray]:
        grid = np.split(weighted_means(counts, values), ends[:-1], axis=1)
        along = grid[:3] if path is None else path_means(path, tables, counts, points)
        return [*grid, *along]

    plain = means(np.ones((1, n_queries)))
    draws: dict[str, Draws] = {}
    if rng is not None and resamples:
        points = None if path is None else resample_points(path, cost_usd)
        blocks = [means(block, points) for block in resample_counts(n_queries, resamples, rng)]
        joined = [np.concatenate(part) for part in zip(*blocks, strict=True)]
        draws = _metrics(reference, joined[2:])
    return Measurement(
        point={name: _plain(value) for name, value in _metrics(reference, plain[2:]).items()},
        draws=draws,
        curve=Curve(plain[0][0], plain[1][0], plain[2][0], call_shares(chosen, n_models)),
    )


def _metrics(reference: int, means: Sequence[FloatArray]) -> dict[str, Draws]:
    """Every metric in R (re)samples. means: the fields of SweepMeans, in their order."""
    known = SweepMeans(reference, *means)
    return {name: metric.values(known) for name, metric in METRICS.items()}


def _plain(values: Draws) -> Point:
    """The one row of a metric without resampling, as JSON would have it."""
    if isinstance(values, dict):
        return {name: _number(row[0]) for name, row in values.items()}
    return _number(values[0]) if values.ndim == 1 else [float(share) for share in values[0]]


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


MOST_POINTS = 1000
"""Operating points of a path in the resamples. Point estimates are read from all of them."""

CELLS_AT_ONCE = 2**22
"""Numbers of one temporary array: 32 MiB."""


def resample_points(path: DecisionPath, cost_usd: FloatArray) -> IntArray:
    """The operating points that resamples are measured at: all, or MOST_POINTS spread along it."""
    n_points = len(path.ends()) + 1
    if n_points <= MOST_POINTS:
        return np.arange(n_points)
    return np.unique(path.spread(cost_usd, MOST_POINTS))


def path_means(
    path: DecisionPath,
    tables: Sequence[FloatArray],
    counts: FloatArray,
    points: IntArray | None = None,
) -> list[FloatArray]:
    """For each table (N, K) its mean over queries at the path's operating points, (R, P) each.

    counts (R, N): how often each query counts, rows that sum to N. points (P,): rising numbers of
    operating points, from 0 to the last; None for all.
    """
    made = np.append(0, path.ends())  # changes made at each point
    if points is not None:
        made = made[points]
    per_table = [np.empty((len(counts), len(made))) for _ in tables]
    at_once = max(1, CELLS_AT_ONCE // max(len(path.query), 1))
    for first in range(0, len(counts), at_once):
        rows = slice(first, first + at_once)
        block = counts[rows]
        drawn = block.take(path.query, axis=1)  # (r, S)
        for into, table in zip(per_table, tables, strict=True):
            at_start = table[np.arange(len(path.start)), path.start]
            into[rows, 0] = block @ at_start
            if len(made) > 1:
                steps = drawn * path.steps(table)
                into[rows, 1:] = np.add.reduceat(steps, made[:-1], axis=1)
    return [np.cumsum(sums, axis=1) / counts.shape[1] for sums in per_table]
