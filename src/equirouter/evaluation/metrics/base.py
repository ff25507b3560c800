"""Metric: the figures that every metric is computed from, and the facts it declares."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from equirouter.arrays import FloatArray, IntArray
from equirouter.evaluation.metrics.curves import (
    QUALITY_LEVELS,
    cheapest_reaching,
    pick_point,
    strongest_model,
)

Direction: TypeAlias = Literal[-1, 0, 1]
"""1: higher is better, -1: lower is better, 0: neither."""

Draws: TypeAlias = FloatArray | dict[str, FloatArray]
"""A metric in R (re)samples: (R,), a map from a quality to (R,), or (R, K), a column per model."""


@dataclass(frozen=True, eq=False)
class SweepMeans:
    """Means over queries, in R (re)samples of them: all that a metric is computed from.

    A metric is read either at the operating points of the sweep or along the curve, which has more
    points where every change of a decision is known (Policy.path). At a quality, always the
    reference model is one more operating point, whatever was measured.
    """

    reference: int
    """Column of the model that qualities and costs are shares of, the same in every sample."""

    swept_collapse: FloatArray
    """(R, T): mean collapse score at each operating point, the largest spending last."""
    model_performance: FloatArray
    """(R, K): of always calling one model."""
    model_cost_usd: FloatArray
    """(R, K)."""
    call_share: FloatArray
    """(R, K): share of the queries that go to each model at the last operating point."""
    orbit_collapse: FloatArray
    """(R, 1): mean of the authors' toolbox's collapse score at the last operating point."""
    reference_collapse: FloatArray
    """(R, 1): of always calling the reference model."""
    performance: FloatArray
    """(R, P): along the curve."""
    cost_usd: FloatArray
    """(R, P)."""
    collapse: FloatArray
    """(R, P)."""

    @cached_property
    def strongest(self) -> IntArray:
        """(R,): the strongest model of each sample."""
        return strongest_model(self.model_performance, self.model_cost_usd)

    @cached_property
    def reference_performance(self) -> FloatArray:
        """(R,): of always calling the reference model."""
        return self.model_performance[:, self.reference]

    @cached_property
    def reference_cost_usd(self) -> FloatArray:
        """(R,): of the same."""
        return self.model_cost_usd[:, self.reference]

    @cached_property
    def at_quality(self) -> dict[str, "AtQuality"]:
        """Quality -> the cheapest operating point that has it."""
        cost_usd, performance, collapse = (
            np.column_stack(both)
            for both in (
                (self.cost_usd, self.reference_cost_usd),
                (self.performance, self.reference_performance),
                (self.collapse, self.reference_collapse),
            )
        )
        at = {}
        for name, level in QUALITY_LEVELS.items():
            point = cheapest_reaching(cost_usd, performance, level * self.reference_performance)
            at[name] = AtQuality(pick_point(cost_usd, point), pick_point(collapse, point))
        return at


class AtQuality(NamedTuple):
    """The means at the cheapest operating point of a quality, (R,) each."""

    cost_usd: FloatArray
    collapse: FloatArray


@dataclass(frozen=True)
class Column:
    """How a metric, or one value of a metric that has several, stands in a table."""

    title: str
    """With a line break where a narrow heading may have one."""
    digits: int
    meaning: str
    """One sentence or two for a reader who does not know the metric."""
    key: str | None = None
    """Which of several values: a quality such as "0.98"."""
    metric: str = ""
    """Name of the metric; `metrics.COLUMNS` has it filled in."""
    direction: Direction = 0
    """That of the metric; filled in there too."""
    least_quality: str | None = None
    """That of the metric; filled in there too."""

    @property
    def heading(self) -> str:
        """The title with an arrow for the direction that is better."""
        return f"{self.title} {('↓', '', '↑')[self.direction + 1]}".rstrip()


class Metric(ABC):
    """One figure of a router, computed from the means of its sweep.

    A subclass says in its docstring what it measures, the formula, the unit and the source.
    """

    direction: ClassVar[Direction]
    columns: ClassVar[tuple[Column, ...]] = ()
    """Of the tables of results; none: the metric is in results.json only."""
    is_paired: ClassVar[bool] = False
    """Whether the difference between two routers is reported."""
    least_quality: ClassVar[str | None] = None
    """A value is the best only of a router that reaches this quality in every seed."""

    @abstractmethod
    def values(self, means: SweepMeans) -> Draws:
        """The metric in each of R samples; NaN where there is no value."""
