"""Every setting at which a decision changes: the exact sweep of a policy.

For one query, the models that some lambda chooses are the corners of the upper convex hull of its
(cost, score) points, and the slope of an edge is the lambda at which the next corner takes over.
"""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import FloatArray, IntArray, RealArray

TINY = float(np.finfo(np.float64).tiny)
STEEPEST = float(np.finfo(np.float64).max) / 4
"""So that twice the largest lambda is still a number."""


@dataclass(frozen=True, eq=False)
class DecisionPath:
    """All choices on N queries as a setting moves towards larger spending: a start and S changes.

    start (N,): the columns at the least spending. Change s moves query[s] from column before[s] to
    after[s] as the setting passes value[s]; S is at most N * (K - 1). A budget rises from 0, and at
    exactly value[s] the change is made: what costs the budget is within it. Lambda falls from
    infinity to 0, and at exactly value[s] it is not made: ties go to the cheaper.
    """

    start: IntArray
    query: IntArray
    before: IntArray
    after: IntArray
    value: FloatArray

    def ends(self) -> IntArray:
        """(P - 1,): how many changes are made at each operating point but the first, which has 0.

        Changes of one value are made together, so P, the number of different decisions, is at most
        S + 1.
        """
        if not self.value.size:
            return np.zeros(0, dtype=np.int64)
        return np.append(np.flatnonzero(np.diff(self.value)), len(self.value) - 1) + 1

    def totals(self, table: RealArray) -> FloatArray:
        """(P,): the sum over queries of what the table (N, K) holds for the choices at each point.

        Cumulative sums, so that the whole curve takes as long as one lambda.
        """
        table = np.asarray(table, dtype=np.float64)
        first = table[np.arange(len(self.start)), self.start].sum()
        return np.append(first, first + np.cumsum(self.steps(table))[self.ends() - 1])

    def spread(self, cost_usd: RealArray, n: int) -> IntArray:
        """N of the P operating points, in order, with the first and the last; some may repeat.

        Evenly spaced in the mean of two positions: the share of the changes that are made, and the
        share of the spending between the ends by cost_usd (N, K). So between neighbours less than
        2 / n of the changes are left out, and less than 2 / n of the spending.
        """
        spent = np.maximum.accumulate(self.totals(cost_usd))
        made = np.append(0, self.ends())
        place = [(part - part[0]) / max(part[-1] - part[0], TINY) for part in (spent, made)]
        at = np.linspace(0.0, 1.0, n)
        points = np.searchsorted((place[0] + place[1]) / 2, at + 1e-12, side="right") - 1
        points[-1] = len(made) - 1
        return points

    def steps(self, table: RealArray) -> FloatArray:
        """(S,): what each change adds to the sum over queries of the table (N, K)."""
        table = np.asarray(table, dtype=np.float64)
        return np.asarray(table[self.query, self.after] - table[self.query, self.before])

    def lambdas(self) -> FloatArray:
        """(P,): of a path of lambda, one inside the interval of each point, falling, the last 0.

        Inside, and not where a decision changes, so that rounding cannot move a choice.
        """
        if not self.value.size:
            return np.zeros(1)
        values = self.value[self.ends() - 1]
        between = values[1:] + (values[:-1] - values[1:]) / 2
        return np.concatenate([[2.0 * values[0]], between, [0.0]])


def utility_path(scores: RealArray, cost_usd: RealArray) -> DecisionPath:
    """The path of scores (N, K), estimates of performance, and costs in USD (N, K), all finite.

    Every query walks its hull from the cheapest model upwards, all queries at once: each step takes
    the model of steepest ascent, of several on one line the last, since at that lambda they all tie
    and below it the last one is best. Time N * K per corner of the longest hull.
    """
    value = np.asarray(scores, dtype=np.float64)
    cost = np.asarray(cost_usd, dtype=np.float64)
    start = _cheapest(value, cost)
    rows, at, limit = np.arange(len(value)), start, np.full(len(value), STEEPEST)
    changes: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
    while rows.size:
        slope, after = _steepest(value[rows], cost[rows], at)
        slope = np.minimum(slope, limit)  # by rounding alone is an edge steeper than the one before
        rises = slope > 0
        rows, at, after, limit = rows[rises], at[rises], after[rises], slope[rises]
        changes.append((rows, at, after, limit))
        at = after
    query, before, after = (
        np.concatenate([change[part] for change in changes]) for part in range(3)
    )
    falls = np.concatenate([change[3] for change in changes])
    order = np.argsort(-falls, kind="stable")  # a query's corners stay in order: slopes fall
    return DecisionPath(start, query[order], before[order], after[order], falls[order])


def _cheapest(value: FloatArray, cost: FloatArray) -> IntArray:
    """(N,): the column of the lowest cost, of equals the highest score."""
    lowest = cost == cost.min(axis=1, keepdims=True)
    return np.asarray(np.where(lowest, value, -np.inf).argmax(axis=1))


def _steepest(value: FloatArray, cost: FloatArray, at: IntArray) -> tuple[FloatArray, IntArray]:
    """The steepest ascent (n,) from columns `at` to more expensive ones, and these; else 0."""
    row = np.arange(len(at))
    rise = value - value[row, at][:, None]
    run = cost - cost[row, at][:, None]
    ahead = (run > 0) & (rise > 0)
    with np.errstate(over="ignore"):  # a rise for next to no money
        slope = np.divide(rise, run, out=np.zeros_like(rise), where=ahead)
    best = slope.max(axis=1)
    last = np.where(slope == best[:, None], cost, -np.inf).argmax(axis=1)
    return best, last
