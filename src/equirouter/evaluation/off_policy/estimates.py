"""Performance and cost of a policy, from a log with one outcome per query and its propensity.

Three estimates of a mean over queries, where y is the outcome of the model that the policy chooses,
w is 1 / propensity where that is known and 0 elsewhere, and r is y as predicted by other queries:

    ips   mean of w y                      right on average, wide
    snips sum of w y / sum of w            a little biased, narrower
    dr    mean of r + w (y - r)            right on average, narrow where r is good

Sources: Horvitz and Thompson 1952; Swaminathan and Joachims 2015; Dudik, Langford and Li 2011.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias, get_args

import numpy as np

from equirouter.arrays import BoolArray, Float32Array, FloatArray, IntArray
from equirouter.data.logged import effective_size
from equirouter.errors import DataError
from equirouter.routers.linear import cross_fitted, doubly_robust

Method: TypeAlias = Literal["dr", "snips", "ips"]
What: TypeAlias = Literal["performance", "cost_usd"]
METHODS: tuple[Method, ...] = get_args(Method)
WHAT: tuple[What, ...] = get_args(What)

LEAST_EFFECTIVE = 30
"""Effective number of seldom calls that an interval needs, see LoggedOutcomes."""
SELDOM = 0.5
"""A call whose chance was below this was not what the log usually did."""
FEW = 0.01
"""Share of queries that is too small for its seldom calls to matter."""
ADDED = 2
"""Calls that an interval of performance counts more than there were."""
FOLDS = 2


@dataclass(frozen=True)
class Estimate:
    """A mean over queries, or a difference of two, and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PolicyValue:
    """The figures that a policy would come to on the queries of a log.

    n_matched: queries on which the log knows the outcome of the policy's choice. n_effective: as
    many queries of equal weight tell as much, (sum w)^2 / sum w^2 (Kish).
    """

    performance: Mapping[Method, Estimate]
    cost_usd: Mapping[Method, Estimate]
    n_queries: int
    n_matched: int
    n_effective: float


class LoggedOutcomes:
    """A log of n queries and K models, from which the value of a policy is estimated.

    embeddings (n, d). performance, cost_usd, propensity (n, K): an outcome counts where all three
    are known and the propensity is above 0. groups (n,): queries that tell the same share a number;
    none predicts another of its group. seed: of the folds of the predictions.

    The interval is that of a normal mean. That of performance counts two more calls where the
    policy's choice had a chance below 1/2, one of the worst and one of the best outcome: few calls
    that all went well prove little (Agresti and Coull 1998, of proportions). A value is refused
    where the overlap is too small: those queries are more than 1 % of all, and those of them whose
    outcome is known are worth fewer than 30 of equal weight.
    """

    def __init__(
        self,
        embeddings: Float32Array,
        performance: FloatArray,
        cost_usd: FloatArray,
        propensity: FloatArray,
        groups: IntArray,
        *,
        performance_range: tuple[float, float] = (0.0, 1.0),
        seed: int = 42,
    ) -> None:
        known = np.isfinite(performance) & np.isfinite(cost_usd) & (propensity > 0)
        self._possible: BoolArray = propensity > 0
        self._weight = np.where(known, 1.0 / np.where(self._possible, propensity, 1.0), 0.0)
        self._seldom = np.where(self._possible, propensity, 0.0) < SELDOM
        self._chances = propensity
        self._range = performance_range
        fold = np.random.default_rng(seed).permutation(int(groups.max()) + 1)[groups] % FOLDS
        self._outcomes = {
            name: np.where(known, table, np.nan)
            for name, table in (("performance", performance), ("cost_usd", cost_usd))
        }
        self._predicted = {
            name: _filled(cross_fitted(embeddings, observed, fold), observed)
            for name, observed in self._outcomes.items()
        }

    def value(self, chosen: IntArray) -> PolicyValue:
        """Of a policy that chooses these columns (n,). Raises DataError for too little overlap."""
        weight = self._checked(chosen)
        values: dict[What, dict[Method, Estimate]] = {
            what: {method: self._mean({1: self._terms(what, chosen, method)}) for method in METHODS}
            for what in WHAT
        }
        return PolicyValue(
            **values,
            n_queries=len(chosen),
            n_matched=int((weight > 0).sum()),
            n_effective=effective_size(weight),
        )

    def difference(self, chosen: IntArray, other: IntArray, what: What) -> Estimate:
        """The mean with the choices `other` (n,) less that with `chosen`, doubly robust, paired.

        Raises DataError for too little overlap.
        """
        self._checked(chosen)
        self._checked(other)
        terms = {1: self._terms(what, other, "dr"), -1: self._terms(what, chosen, "dr")}
        return self._mean(terms, counted=chosen != other)

    def _checked(self, chosen: IntArray) -> FloatArray:
        """The weights (n,) of the policy's choices."""
        row = np.arange(len(chosen))
        impossible = int((~self._possible[row, chosen]).sum())
        if impossible:
            raise DataError(
                f"on {impossible} of {len(chosen)} queries the log could not have made the "
                "policy's choice (no propensity, or 0): nothing tells what it would have scored"
            )
        weight, seldom = self._weight[row, chosen], self._seldom[row, chosen]
        effective = effective_size(weight[seldom])
        if seldom.mean() > FEW and effective < LEAST_EFFECTIVE:
            raise DataError(
                f"too little overlap: {int(seldom.sum())} of {len(chosen)} queries go to a model "
                f"that the log seldom called there, and on {int((weight[seldom] > 0).sum())} of "
                f"them it did, worth {effective:.0f} of equal weight; {LEAST_EFFECTIVE} are "
                "needed: log more requests, or explore more of them ([explore] share)"
            )
        return np.asarray(weight)

    def _terms(self, what: What, chosen: IntArray, method: Method) -> "_Terms":
        cells = (np.arange(len(chosen)), chosen)
        weight, outcome = self._weight[cells], np.nan_to_num(self._outcomes[what][cells])
        predicted = np.zeros(len(chosen))
        if method == "snips":
            predicted += float((weight * outcome).sum() / weight.sum())
            weight = weight / weight.mean()
        elif method == "dr":
            predicted = self._predicted[what][cells]
        return _Terms(
            predicted,
            weight,
            outcome,
            seldom=self._seldom[cells],
            ends=self._range if what == "performance" else None,
        )

    def _mean(self, terms: "Mapping[int, _Terms]", counted: BoolArray | None = None) -> Estimate:
        """The mean of the terms, each with its sign.

        counted (n,): queries that may matter, as the terms do not cancel there.
        """
        values = np.sum([sign * term.values for sign, term in terms.items()], axis=0)
        mean, variance = float(values.mean()), float(values.var(ddof=1)) / len(values)
        middle = mean
        for sign, term in terms.items():
            shift, added = term.with_added(
                term.seldom if counted is None else term.seldom & counted
            )
            middle += sign * shift
            variance += added
        half = NormalDist().inv_cdf(0.975) * variance**0.5
        return Estimate(mean, middle - half, middle + half)


@dataclass(frozen=True)
class _Terms:
    """predicted + weight (outcome - predicted) of each query, (n,) each; outcome is 0 where w is.

    seldom: where the choice had a chance below 1/2. ends: the worst and the best outcome that
    are added there, None for none.
    """

    predicted: FloatArray
    weight: FloatArray
    outcome: FloatArray
    seldom: BoolArray
    ends: tuple[float, float] | None

    @property
    def values(self) -> FloatArray:
        return doubly_robust(
            self.predicted,
            np.where(self.weight > 0, self.outcome, np.nan),
            1.0 / np.where(self.weight > 0, self.weight, 1.0),
        )

    def with_added(self, seldom: BoolArray) -> tuple[float, float]:
        """The change of the mean by ADDED calls on these queries, and its added variance."""
        if self.ends is None or not seldom.any():
            return 0.0, 0.0
        size, effective = len(seldom), effective_size(self.weight[seldom])
        errors = np.array(self.ends) - self.predicted[seldom].mean()
        each = float(seldom.mean()) / (effective + ADDED)
        corrections = float((self.values - self.predicted)[seldom].sum()) / size
        kept = effective / (effective + ADDED)
        shift = (kept - 1.0) * corrections + each * float(errors.sum())
        return shift, each**2 * float((errors**2).sum())


def _filled(predicted: FloatArray, observed: FloatArray) -> FloatArray:
    """Predictions, and the mean of all known outcomes where there was nothing to predict from."""
    return np.where(np.isnan(predicted), np.nanmean(observed), predicted)
