"""From scores that only rank to estimates of performance, by what they meant on validation data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from equirouter.arrays import FloatArray, RealArray
from equirouter.errors import DataError

if TYPE_CHECKING:
    from equirouter.onnxgraph import OnnxGraph

__all__ = ["ScoreScale", "fit_scale"]

PRIOR_QUERIES = 10.0
"""The slopes are shrunk as if so many further queries had shown no relation at all."""


@dataclass(frozen=True)
class ScoreScale:
    """One straight line per model from its score to its expected performance.

    A ranking loss fixes neither the level nor the scale of a query's scores, so the line starts
    from the score less the mean of that query's scores. slope (K,), not negative, centre and level
    (K,): performance is level + slope * (score - mean score - centre), cut to [lowest, highest].
    """

    slope: tuple[float, ...]
    centre: tuple[float, ...]
    level: tuple[float, ...]
    lowest: float
    highest: float

    def apply(self, scores: RealArray) -> FloatArray:
        """Expected performance (N, K) for scores (N, K)."""
        offset = _centred(scores) - np.asarray(self.centre)
        estimate = np.asarray(self.level) + np.asarray(self.slope) * offset
        return np.asarray(np.clip(estimate, self.lowest, self.highest))

    def add_to_graph(self, graph: "OnnxGraph", scores: str) -> str:
        """Add the nodes that compute what `apply` does: scores (N, K) -> performance (N, K)."""
        mean = graph.op("ReduceMean", scores, graph.const("axis_1", np.array([1])))
        slope = np.asarray(self.slope)
        level = np.asarray(self.level) - slope * np.asarray(self.centre)
        ends = (self.lowest, self.highest)
        slopes, levels, lowest, highest = (
            graph.const(f"scale.{name}", np.asarray(value, dtype=np.float32))
            for name, value in zip(
                ("slope", "level", "lowest", "highest"), (slope, level, *ends), strict=True
            )
        )
        line = graph.op("Add", graph.op("Mul", graph.op("Sub", scores, mean), slopes), levels)
        return graph.op("Clip", line, lowest, highest)


def fit_scale(scores: FloatArray, performance: FloatArray) -> ScoreScale:
    """Least squares per model on scores and performance (V, K) of validation queries, no NaN.

    The slope is shrunk towards 0, the line of a model whose score says nothing: its mean then.
    Raises DataError without a query.
    """
    if len(scores) == 0:
        raise DataError("no complete validation query to scale the scores on")
    x = _centred(scores)
    centre, level = x.mean(axis=0), performance.mean(axis=0)
    variance = x.var(axis=0)
    covariance = ((x - centre) * (performance - level)).mean(axis=0)
    prior = PRIOR_QUERIES / len(x) * variance.mean()
    slope = np.maximum(covariance, 0.0) / np.maximum(variance + prior, np.finfo(float).tiny)
    return ScoreScale(
        slope=tuple(slope.tolist()),
        centre=tuple(centre.tolist()),
        level=tuple(level.tolist()),
        lowest=float(performance.min()),
        highest=float(performance.max()),
    )


def _centred(scores: RealArray) -> FloatArray:
    scores = np.asarray(scores, dtype=np.float64)
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))
