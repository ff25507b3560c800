"""The anchors: references for the learned routers in every table, under the same policy.

The oracle is the upper bound. The others read no text: random, cheapest; task knows the query's
task; strongest has the models' means beside predicted costs; mixture knows nothing of the query.
"""

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.data.strength import complete_means
from equirouter.routers.base import CheckedRouter, Training


class _Anchor(CheckedRouter):
    is_anchor = True


class _Constant(_Anchor):
    """Scores (K,) that do not depend on the query."""

    scores_: Float32Array

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """The scores (K,), repeated for every query: (N, K)."""
        return np.tile(self.scores_, (len(embeddings), 1))


class StrongestRouter(_Constant):
    """Ranks models by mean training performance: always the strongest that the policy allows.

    Of the query it has what the policy has anyhow, the predicted costs.
    """

    scores_are = "expected_performance"

    def _learn(self, training: Training) -> None:
        self.scores_ = np.nanmean(training.outcomes.performance, axis=0).astype(np.float32)


class CheapestRouter(_Constant):
    """Ranks models by mean training cost: always the one that is cheapest on average."""

    scores_are = "ranking"

    def _learn(self, training: Training) -> None:
        mean = np.nanmean(training.outcomes.cost_usd, axis=0)
        rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
        self.scores_ = -rank.astype(np.float32)


class RandomRouter(_Anchor):
    """A random order of the models for every query.

    `predict` is given a row of random numbers per query in the place of its embedding, so that
    queries whose embeddings are equal still get orders of their own; one score is a hash of the row
    and the model. A query decided alone and in a batch gets the same order.
    """

    reads = "noise"

    scores_are = "ranking"

    def _learn(self, training: Training) -> None:
        width, n_models = training.outcomes.embeddings.shape[1], training.outcomes.cost_usd.shape[1]
        draws = training.rng.integers(2**63, size=width + n_models, dtype=np.int64)
        self.multipliers_ = draws[:width] * 2 + 1  # odd: no bit of the input is lost
        self.offsets_ = draws[width:]

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Uniform numbers (N, K) in [0, 1)."""
        bits = np.ascontiguousarray(embeddings, dtype=np.float32).view(np.uint32).astype(np.uint64)
        key = (bits * self.multipliers_.astype(np.uint64)).sum(axis=1, dtype=np.uint64)
        mixed = key[:, None] ^ self.offsets_.astype(np.uint64)
        # The finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit moves every output
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        return np.asarray((mixed >> np.uint64(40)).astype(np.float32) / np.float32(2**24))


class MixtureRouter(_Constant):
    """Mixtures of whole models: one of two models by chance, whatever the query.

    The two are neighbours on the upper hull of the models' mean performance over their mean cost in
    training, and the chance moves along it: what can be had for any mean cost without looking at a
    query. `predict` and `costs` are given random numbers in the place of embeddings; the policy
    decides by `costs`, which differ between queries by at most SPREAD, so that the queries change
    their model in a random order.
    """

    reads = "noise"

    scores_are = "expected_performance"

    SPREAD = 0.01
    """Of a model's cost: enough for an order, too little to mix up models of different prices."""

    def _learn(self, training: Training) -> None:
        outcomes = training.outcomes
        means, costs = complete_means(outcomes.performance, outcomes.cost_usd)
        scores = np.full(len(means), means.min() - 1.0)  # below the hull: never chosen
        on_hull = _hull(means, costs)
        scores[on_hull] = means[on_hull]
        self.scores_, self.mean_cost_usd_ = scores.astype(np.float32), costs

    def costs(self, noise: Float32Array) -> FloatArray:
        """Costs that the policy decides by, USD (N, K): the models' means, a little apart."""
        return (1.0 + self.SPREAD * noise[:, :1].astype(np.float64)) * self.mean_cost_usd_


def _hull(performance: FloatArray, cost_usd: FloatArray) -> list[int]:
    """Columns of the upper hull of K points, from the cheapest model to the strongest."""
    cheapest = np.flatnonzero(cost_usd == cost_usd.min())
    hull = [int(cheapest[performance[cheapest].argmax()])]
    while True:
        rise, run = performance - performance[hull[-1]], cost_usd - cost_usd[hull[-1]]
        ahead = np.flatnonzero((rise > 0) & (run > 0))
        if not ahead.size:
            return hull
        hull.append(int(ahead[(rise[ahead] / run[ahead]).argmax()]))


class TaskRouter(_Anchor):
    """Mean training performance on the query's task; the text is not read.

    `fit` and `predict` take one-hot tasks (N, n_tasks) in the place of embeddings. A query of a
    task without training queries gets the means over all.
    """

    reads = "tasks"

    scores_are = "expected_performance"

    def _learn(self, training: Training) -> None:
        performance = training.outcomes.performance
        known = np.isfinite(performance)
        tasks = training.outcomes.embeddings.T.astype(np.float64)
        count = tasks @ known
        total = tasks @ np.where(known, performance, 0.0)
        overall = np.nanmean(performance, axis=0)
        mean = np.where(count > 0, total / np.maximum(count, 1), overall)
        self.mean_performance_ = np.vstack([mean, overall]).astype(np.float32)

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """The means (N, K) of each query's task."""
        unknown = len(self.mean_performance_) - 1
        task = np.where(embeddings.any(axis=1), embeddings.argmax(axis=1), unknown)
        return np.asarray(self.mean_performance_[task])


class OracleRouter(_Anchor):
    """The truth: `predict` is given performance (N, K) itself and returns it (Eq. 3).

    The evaluation gives it true costs too; nobody can serve it.
    """

    reads = "outcomes"

    scores_are = "expected_performance"

    def _learn(self, training: Training) -> None:
        self.n_models_ = np.array(training.outcomes.performance.shape[1])

    def predict(self, embeddings: Float32Array) -> Float32Array:
        """Its input, as float32."""
        return embeddings.astype(np.float32)
