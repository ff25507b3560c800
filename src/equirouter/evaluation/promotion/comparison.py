"""Two pipelines on the same queries: differences, each paired query by query, with an interval.

Each decides as it would for a call that names no target: one model per query.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.data.logged import effective_size
from equirouter.data.outcomes import Outcomes
from equirouter.data.repeats import nearly_equal_queries
from equirouter.encoders.cache import EmbeddingCache, encode_table
from equirouter.errors import DataError
from equirouter.pipeline.pipeline import RoutingPipeline
from equirouter.training.off_policy import MeasuredMeans, measured_outcomes
from equirouter.training.pool_changes import costs_now, held_out_choices
from equirouter.training.protocol import readable

LEAST_OF_TASK = 30
"""Queries of a task below which no figure of it is given."""
TIMED = 100
"""Queries whose decisions are timed."""


@dataclass(frozen=True)
class Share:
    """A mean as a share of the strongest model's, and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """A figure of champion and challenger, and the second less the first with its interval."""

    champion: float
    challenger: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A challenger against the champion on queries that neither has learned from.

    n_queries; n_effective: as many complete queries that have nothing in common would tell as much,
    since queries of the same words count as one, and of a query of a log one outcome is known (all
    figures are then doubly robust estimates, see training/off_policy.py). quality, cost: shares of
    what the strongest model, the champion's, does on these queries. kept: the quality of both, with
    the interval of each. promised: the quality that each promises. tasks: the quality for tasks
    with 30 queries and more, with intervals that hold together. decision_ms: of a query alone; None
    without texts. same: the share of queries for which both choose the same model.
    """

    n_queries: int
    n_effective: float
    strongest: str
    promised: tuple[float, float]
    kept: tuple[Share, Share]
    quality: Paired
    cost: Paired
    tasks: dict[str, Paired]
    decision_ms: Paired | None
    same: float

    def document(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def comparable(table: Outcomes, pipelines: Sequence[RoutingPipeline]) -> BoolArray:
    """(N,): queries with the outcomes of all models of these pipelines, or the chances of each.

    Raises DataError for a model that the table does not have.
    """
    models = dict.fromkeys(model for pipeline in pipelines for model in pipeline.models)
    missing = [model for model in models if model not in table.models]
    if missing:
        raise DataError(
            f"{table.name}: it has no outcomes of {', '.join(missing)}, between which the pipeline "
            f"chooses; its models are {', '.join(table.models)}: pipelines are compared on one "
            "table that has the models of both"
        )
    return table.with_models(list(models)).is_measured


def compare(
    champion: RoutingPipeline,
    challenger: RoutingPipeline,
    table: Outcomes,
    *,
    cache: EmbeddingCache | None = None,
) -> Comparison:
    """Both on the queries of a table that have the outcomes of all their models, or of a log.

    That neither has learned from them is for the caller to see to. Raises DataError for a model
    that the table does not have, fewer than two such queries, and a strongest model that scores or
    costs nothing on them.
    """
    for pipeline in (champion, challenger):
        table = readable(pipeline.stage.encoder, table)
    table = table.take(comparable(table, (champion, challenger)))
    if table.n_queries < 2:
        raise DataError(
            f"{table.name}: {table.n_queries} of its queries, new to both pipelines, have the "
            "outcomes of all models: there is nothing to compare on"
        )
    chosen = [chosen_columns(pipeline, table, cache) for pipeline in (champion, challenger)]
    seen = measured_outcomes(table, encode_table(champion.stage.encoder, table, cache=cache))
    queries = _Queries(
        table.name,
        table.models,
        seen,
        nearly_equal_queries(table),
        np.array(table.tasks),
        table.performance_range,
    )
    comparison = _compared(champion, challenger, queries, chosen)
    return replace(comparison, decision_ms=_decision_ms(champion, challenger, table))


def compare_joined(champion: RoutingPipeline, challenger: RoutingPipeline) -> Comparison:
    """A pipeline before and after a model joined it, on the queries that promises rest on.

    Those are the validation queries and the labelled ones, decided as if they were new: the scores
    of each come from others, and what is not known of either is estimated, so that the intervals
    tell how few labels the new model has (see training/joining.py).
    """
    record = challenger.record
    columns = np.arange(len(champion.models))
    before = record.with_models(columns, challenger.stage.cost_model.columns_of(columns))
    queries = _Queries(
        "the validation queries",
        challenger.models,
        MeasuredMeans(record.performance, costs_now(record, challenger.prices), record.log),
        np.arange(len(record.vectors)),
        np.zeros(len(record.vectors)),
        record.ends,
    )
    chosen = [held_out_choices(champion, before), held_out_choices(challenger, record)]
    return _compared(champion, challenger, queries, chosen)


class _Queries(NamedTuple):
    """Queries that two pipelines decided. models: the columns of what is measured of them.

    groups (n,): equal numbers for queries that tell the same. tasks (n,).
    """

    name: str
    models: tuple[str, ...]
    measured: MeasuredMeans
    groups: IntArray
    tasks: NDArray[Any]
    performance_range: tuple[float, float]


def _compared(
    champion: RoutingPipeline,
    challenger: RoutingPipeline,
    queries: _Queries,
    chosen: list[IntArray],
) -> Comparison:
    """chosen: columns (n,) of each."""
    strongest, groups = champion.baseline.strongest, queries.groups
    row, best = np.arange(len(groups)), queries.models.index(strongest)
    seen = queries.measured
    thin = 1.0
    if seen.log is not None:
        known = (effective_size(seen.log[row, 2, c]) for c in (*chosen, np.full(len(row), best)))
        thin = min(known) / len(row)
    quality, cost = (
        _Shares([values[row, c] for c in chosen], values[:, best], strongest, what, queries, thin)
        for what, values in (("performance", seen.performance), ("cost_usd", seen.cost_usd))
    )
    lowest, highest = queries.performance_range
    spread = (highest - lowest) / quality.unit
    return Comparison(
        n_queries=len(groups),
        n_effective=thin * effective(groups),
        strongest=strongest,
        promised=(champion.quality, challenger.quality),
        kept=(quality.share(0, groups, spread), quality.share(1, groups, spread)),
        quality=quality.paired(groups, spread),
        cost=cost.paired(groups, 1.0),
        tasks=_tasks(queries.tasks, quality, groups, spread),
        decision_ms=None,
        same=float((chosen[0] == chosen[1]).mean()),
    )


def effective(groups: IntArray) -> float:
    """The effective size of queries in groups that tell the same: (sum n)^2 / sum n^2 (Kish)."""
    sizes = np.bincount(groups).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def paired_share(
    difference: FloatArray,
    reference: FloatArray,
    *,
    spread: float,
    n_effective: float,
    thin: float = 1.0,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """The mean of differences (n,) as a share of the mean of a reference (n,), and its interval.

    The delta method of a ratio of means, with half an observation of +spread and half of -spread
    added, and two halves of 0, as Agresti and Min (2005) do for paired proportions: without them
    differences that are all 0 would have an interval of no width, however few they are. spread: in
    shares. n_effective: how many observations the interval counts. thin: how much fewer these are
    than rows, each of which then varies as the mean of so many times less.
    """
    unit = reference.mean()
    share = float(difference.mean() / unit)
    residual = (difference - share * reference) / unit
    n = n_effective
    variance = (thin * float((residual**2).mean()) * n + spread**2) / (n + 2)
    middle = share * n / (n + 2)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * (variance / (n + 2)) ** 0.5
    return share, middle - half, middle + half


class _Shares:
    """Outcomes of two pipelines on the same queries, as shares of the strongest model's mean.

    reached: (n,) of champion and challenger. reference: (n,) of the strongest model. thin: how many
    complete queries one query is worth, 1 but for a log.
    """

    def __init__(
        self,
        reached: list[FloatArray],
        reference: FloatArray,
        strongest: str,
        what: str,
        queries: _Queries,
        thin: float,
    ) -> None:
        self.thin = thin
        self.reached = reached
        self.reference = reference
        self.unit = float(reference.mean())
        if self.unit <= 0:
            raise DataError(
                f"{queries.name}: the mean {what} of {strongest}, the strongest model, is "
                f"{self.unit:g} on {len(reference)} queries, so nothing is a share of it"
            )

    def share(self, which: int, groups: IntArray, spread: float) -> Share:
        lead = self.reached[which] - self.reference
        n = self.thin * effective(groups)
        figures = paired_share(lead, self.reference, spread=spread, n_effective=n, thin=self.thin)
        return Share(*(1 + figure for figure in figures))

    def paired(self, groups: IntArray, spread: float, confidence: float = 0.95) -> Paired:
        return self.paired_on(np.arange(len(groups)), groups, spread, confidence)

    def paired_on(
        self, rows: IntArray, groups: IntArray, spread: float, confidence: float
    ) -> Paired:
        champion, challenger = (reached[rows] for reached in self.reached)
        reference = self.reference[rows]
        if reference.mean() <= 0:  # a task that the strongest model always fails
            reference = np.full(len(rows), self.unit)
        figures = paired_share(
            challenger - champion,
            reference,
            spread=spread,
            n_effective=self.thin * effective(groups[rows]),
            thin=self.thin,
            confidence=confidence,
        )
        unit = reference.mean()
        return Paired(float(champion.mean() / unit), float(challenger.mean() / unit), *figures)


def chosen_columns(
    pipeline: RoutingPipeline, table: Outcomes, cache: EmbeddingCache | None
) -> IntArray:
    """The columns of the table that a pipeline chooses, (n,), where a call names no target.

    Raises DataError where it refuses a query.
    """
    embeddings = encode_table(pipeline.stage.encoder, table, cache=cache)
    chosen = pipeline.decide_many(embeddings=embeddings).chosen
    if (chosen < 0).any():
        raise DataError(
            f"{table.name}: the pipeline refuses {int((chosen < 0).sum())} queries at its own "
            "operating point, and a refusal cannot be compared"
        )
    return np.array([table.models.index(model) for model in pipeline.models])[chosen]


def _tasks(
    tasks: NDArray[Any], quality: _Shares, groups: IntArray, spread: float
) -> dict[str, Paired]:
    """The quality per task, with intervals that hold for all of them at once (Bonferroni)."""
    worth = {name: quality.thin * (tasks == name).sum() for name in sorted(set(tasks.tolist()))}
    names = [name for name, n in worth.items() if n >= LEAST_OF_TASK]
    if len(worth) == 1:
        return {}
    confidence = 1 - 0.05 / max(len(names), 1)
    return {
        name: quality.paired_on(np.flatnonzero(tasks == name), groups, spread, confidence)
        for name in names
    }


def _decision_ms(
    champion: RoutingPipeline, challenger: RoutingPipeline, table: Outcomes
) -> Paired | None:
    """How long one decision takes, alternately by both, so that both meet the same machine."""
    if table.packed is not None or table.image_paths is not None:
        return None
    texts = table.texts[:TIMED]
    ms = np.empty((len(texts), 2))
    for row, text in enumerate((texts[0], *texts)):  # the first twice: whatever loads, loads
        for which, pipeline in enumerate((champion, challenger)):
            start = time.perf_counter()
            pipeline.decide(text)
            ms[max(row - 1, 0), which] = (time.perf_counter() - start) * 1000
    difference = ms[:, 1] - ms[:, 0]
    half = 1.96 * float(difference.std()) / len(texts) ** 0.5
    mean = float(difference.mean())
    first, second = ms.mean(axis=0).tolist()
    return Paired(first, second, mean, mean - half, mean + half)
