"""The price of money along a stream, for several spend targets at once."""

import math

import numpy as np

from equirouter.arrays import BoolArray, FloatArray, RealArray

CARRY = 100.0
"""Queries' worth of the target that may be owed or saved up."""

STEP = 0.02
"""Of log lambda per query's worth of error, once the price is found: a memory of 50 queries."""

FIRST_STEP = 0.5
"""The same at the first query; it falls with the root of their number, so that a price that is far
off is found in tens of queries."""

DAMPING = 4.0
"""What is owed is paid back over DAMPING / step queries: critical for a cost that is proportional
to 1 / lambda (the double root of x^2 + step * x + step^2 / DAMPING)."""

FORGET = math.log(1.001)
"""By how much the range of prices that matter narrows with each query, so that old traffic is
forgotten over a thousand."""

MARGIN = 1.0
"""How far beneath that range log lambda may go."""

TINY = 1e-300

SMALL_POOL = 64
"""Of so few models the slopes are found in plain Python: a tenth of a paced decision less."""


class Dual:
    """A price lambda (T,) for each of T targets spend_usd (T,), on one stream.

    log_lambda (T,): NaN before it is known. owed (T,): in queries' worth of the target. lowest,
    highest: logarithms of the range of prices that matter, the same for all.
    """

    def __init__(self, spend_usd: FloatArray, carry: float = CARRY) -> None:
        self.spend_usd = spend_usd
        self.carry = carry
        self.log_lambda = np.full(spend_usd.shape, np.nan)
        self.owed = np.zeros(spend_usd.shape)
        self.n_queries = np.zeros(spend_usd.shape, dtype=np.int64)
        self.lowest = math.inf
        self.highest = -math.inf

    def lambdas(self) -> FloatArray:
        """(T,): 0 while nothing is known, and for a target without limit."""
        known = np.isfinite(self.log_lambda) & np.isfinite(self.spend_usd)
        return np.where(known, np.exp(np.where(known, self.log_lambda, 0.0)), 0.0)

    def see(self, low: float, high: float) -> None:
        """Take in the slopes of the next query (see slope_range); the first ones start the price.

        It starts in the middle of the range, on the scale of logarithms.
        """
        self.lowest = min(self.lowest + FORGET, math.log(max(low, TINY)))
        self.highest = max(self.highest - FORGET, math.log(max(high, TINY)) if high else -math.inf)
        if self.lowest <= self.highest < math.inf:
            middle = (self.lowest + self.highest) / 2
            self.log_lambda[np.isnan(self.log_lambda)] = middle

    def pay(self, cost_usd: FloatArray, counts: BoolArray | None = None) -> None:
        """Count a query at each target, with the cost (T,) of its choice; not where counts says no.

        The step of log lambda is proportional to the error against a target that is lower by what
        is owed, spread over the time in which it is to be paid back.
        """
        with np.errstate(over="ignore"):  # a target of next to nothing
            error = cost_usd / self.spend_usd - 1.0
        owed = self._carried(self.owed + error)
        step = np.maximum(STEP, FIRST_STEP / np.sqrt(self.n_queries + 1.0))
        log_lambda = self._inside(self.log_lambda + step * (error + owed * step / DAMPING))
        if counts is None:
            self.owed, self.log_lambda = owed, log_lambda
            self.n_queries += 1
        else:
            self.owed = np.where(counts, owed, self.owed)
            self.log_lambda = np.where(counts, log_lambda, self.log_lambda)
            self.n_queries += counts

    def correct(self, more_usd: FloatArray) -> None:
        """A call that was counted before has cost more (T,) than was counted, or less."""
        with np.errstate(over="ignore"):
            error = more_usd / self.spend_usd
        step = np.maximum(STEP, FIRST_STEP / np.sqrt(np.maximum(self.n_queries, 1.0)))
        self.owed = self._carried(self.owed + error)
        self.log_lambda = self._inside(self.log_lambda + step * error)

    def undo(self, cost_usd: FloatArray, moved: float) -> None:
        """A query that was counted, with this cost (T,), is none. moved: log lambda by it."""
        with np.errstate(over="ignore"):
            error = cost_usd / self.spend_usd - 1.0
        self.owed = self._carried(self.owed - error)
        if math.isfinite(moved):
            self.log_lambda = self._inside(self.log_lambda - moved)
        self.n_queries = np.maximum(self.n_queries - 1, 0)

    def _inside(self, log_lambda: FloatArray) -> FloatArray:
        """Where a price still matters; one that ran away would take long to come back."""
        if not self.lowest < math.inf:
            return log_lambda
        low = self.lowest - MARGIN
        return np.minimum(np.maximum(log_lambda, low), max(self.highest + MARGIN, low))

    def _carried(self, owed: FloatArray) -> FloatArray:
        return np.minimum(np.maximum(owed, -self.carry), self.carry)  # np.clip is slower


def slope_range(
    scores: RealArray, cost_usd: RealArray, allowed: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """The prices between which a query's choice depends on the price, (N,) each.

    Below the first the highest score is chosen, above the second the cheapest. inf and 0 where one
    model is both, so that no price matters. scores, cost_usd, allowed (N, K); every row needs one
    that is allowed.
    """
    if len(scores) == 1 and scores.size <= SMALL_POOL:
        slopes = _of_one_query(scores[0].tolist(), cost_usd[0].tolist(), allowed[0].tolist())
        return np.array([slopes[0]]), np.array([slopes[1]])
    score = np.where(allowed, np.asarray(scores, dtype=np.float64), -np.inf)
    cost = np.where(allowed, np.asarray(cost_usd, dtype=np.float64), np.inf)
    row = np.arange(len(score))
    is_best = score == score.max(axis=1, keepdims=True)
    best = np.where(is_best, cost, np.inf).argmin(axis=1)
    is_cheapest = cost == cost.min(axis=1, keepdims=True)
    cheapest = np.where(is_cheapest, score, -np.inf).argmax(axis=1)
    low = _slopes(score[row, best][:, None] - score, cost[row, best][:, None] - cost, np.inf)
    high = _slopes(score - score[row, cheapest][:, None], cost - cost[row, cheapest][:, None], 0.0)
    return low.min(axis=1), high.max(axis=1)


def _of_one_query(
    scores: list[float], costs: list[float], allowed: list[bool]
) -> tuple[float, float]:
    """As slope_range, in plain Python, which a few numbers are too few for NumPy to beat."""
    pairs = [pair for *pair, may in zip(scores, costs, allowed, strict=True) if may]
    top, top_cost = max(pairs, key=lambda pair: (pair[0], -pair[1]))
    base, cheap = min(pairs, key=lambda pair: (pair[1], -pair[0]))
    low, high = math.inf, 0.0
    for score, cost in pairs:
        if score < top and cost < top_cost:
            low = min(low, (top - score) / (top_cost - cost))
        if score > base and cost > cheap:
            slope = (score - base) / (cost - cheap)
            high = max(high, slope if slope < math.inf else 0.0)
    return low, high


def _slopes(rise: FloatArray, run: FloatArray, otherwise: float) -> FloatArray:
    """Rise over run where both are above 0 and finite."""
    real = (rise > 0) & (run > 0) & np.isfinite(rise) & np.isfinite(run)
    with np.errstate(over="ignore", invalid="ignore"):  # a rise for next to no money
        slopes = np.divide(rise, run, out=np.full(rise.shape, otherwise), where=real)
    return np.where(np.isfinite(slopes), slopes, otherwise)


def within_carry(
    cost_usd: RealArray,
    allowed: BoolArray,
    owed: FloatArray,
    spend_usd: FloatArray,
    carry: float,
) -> BoolArray:
    """Which models (T, K) may be chosen without owing more than the carry; the cheapest always.

    cost_usd, allowed: of one query, (1, K) or (T, K). owed, spend_usd (T,).
    """
    with np.errstate(over="ignore"):
        fits = cost_usd / spend_usd[:, None] + owed[:, None] <= carry
    cheapest = np.where(allowed, cost_usd, np.inf).argmin(axis=1)
    near = np.broadcast_to(allowed, fits.shape) & fits
    near[np.arange(len(near)), cheapest] = True
    return near
