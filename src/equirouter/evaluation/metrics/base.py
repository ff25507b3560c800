"""Metric: the figures that every metric is computed from, and the facts it declares."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

from equirouter.arrays import FloatArray, IntArray
from equirouter.evaluation.metrics.curves import (
    QUALITY_LEVELS,
    cheapest_reaching,
    pick_point,
    strongest_model,
)

__all__ = ["STRONGEST", "Column", "Direction", "Draws", "Metric", "SweepMeans"]

Direction: TypeAlias = Literal[-1, 0, 1]
"""1: higher is better, -1: lower is better, 0: neither."""

Draws: TypeAlias = FloatArray | dict[str, FloatArray]
"""A metric in R (re)samples: (R,), a map from a quality to (R,), or (R, K), a column per model."""

STRONGEST = "{strongest}"
"""As the key of a column: the strongest model of the data set."""


@dataclass(frozen=True, eq=False)
class SweepMeans:
    """Means over queries, in R (re)samples of them: all that a metric is computed from.

    A metric is read either at the operating points of the sweep or along the curve, which has more
    points where every change of a decision is known (Policy.path).
    """

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
    def strongest_cost_usd(self) -> FloatArray:
        """(R,): what always calling it costs."""
        return pick_point(self.model_cost_usd, self.strongest)

    @cached_property
    def reaching(self) -> dict[str, IntArray]:
        """Quality -> (R,): the cheapest point of the curve with that quality; -1 if none has it."""
        target = pick_point(self.model_performance, self.strongest)
        return {
            name: cheapest_reaching(self.cost_usd, self.performance, level * target)
            for name, level in QUALITY_LEVELS.items()
        }


@dataclass(frozen=True)
class Column:
    """How a metric, or one value of a metric that has several, stands in a table."""

    title: str
    """With a line break where a narrow heading may have one."""
    digits: int
    meaning: str
    """One sentence or two for a reader who does not know the metric."""
    key: str | None = None
    """Which of several values: a quality such as "0.98", a model, or STRONGEST."""
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
    """Whether the difference from the `task` anchor is reported."""
    least_quality: ClassVar[str | None] = None
    """A value is the best only of a router that reaches this quality in every seed."""

    @abstractmethod
    def values(self, means: SweepMeans) -> Draws:
        """The metric in each of R samples; NaN where there is no value."""
