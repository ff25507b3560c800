"""Scores made into calibrated estimates of performance, by what they meant on validation data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equirouter.arrays import FloatArray, RealArray
from equirouter.errors import DataError
from equirouter.onnxgraph import OnnxGraph

PRIOR_QUERIES = 10.0
"""A model's curve is shrunk as if so many further queries had shown the curve of all models."""

MOST_STEPS = 50
ENOUGH = 1e-10
LARGEST = 30.0
"""exp(-30) is 1e-13: further away an estimate is 0 or 1."""


@dataclass(frozen=True)
class LogisticScale:
    """One logistic curve per model from its score to its expected performance (Platt 2000).

    Performance is lowest + (highest - lowest) / (1 + exp(-(intercept + slope * x))), with intercept
    and slope (K,), no slope negative, so a higher score never means less. x is the score, or where
    `centred` the score less the mean of the query's scores: a ranking loss fixes neither the level
    nor the scale of a query's scores.
    """

    intercept: tuple[float, ...]
    slope: tuple[float, ...]
    centred: bool
    lowest: float
    highest: float

    def apply(self, scores: RealArray) -> FloatArray:
        """Expected performance (N, K) for scores (N, K)."""
        x = _centred(scores) if self.centred else np.asarray(scores, dtype=np.float64)
        intercept, slope = self._lines
        share = _sigmoid(intercept + slope * x)
        return np.asarray(self.lowest + (self.highest - self.lowest) * share)

    @cached_property
    def _lines(self) -> tuple[FloatArray, FloatArray]:
        """Rows (1, K): as a query alone has them, which NumPy adds in half the time."""
        return np.array([self.intercept]), np.array([self.slope])

    def score_of(self, performance: FloatArray, scores: RealArray) -> FloatArray:
        """The scores (N,) that a further model needs for an expected performance (N,).

        By the mean curve of the models that there are, beside scores (N, K). An estimate closer to
        an end of the range than a fiftieth of it is taken as that: scores have no end.
        """
        share = (performance - self.lowest) / ((self.highest - self.lowest) or 1.0)
        share = np.clip(share, 0.02, 0.98)
        slope = float(np.mean(self.slope))
        x = np.log(share / (1 - share)) - float(np.mean(self.intercept))
        x = x / slope if slope > 0 else np.zeros_like(x)  # scores that say nothing
        return np.asarray(x + scores.mean(axis=1) if self.centred else x)

    def add_to_graph(self, graph: OnnxGraph, scores: str) -> str:
        """Add the nodes that compute what `apply` does: scores (N, K) -> performance (N, K)."""
        slope, intercept, lowest, span = (
            graph.const(f"scale.{name}", np.asarray(value, dtype=np.float32))
            for name, value in (
                ("slope", self.slope),
                ("intercept", self.intercept),
                ("lowest", self.lowest),
                ("span", self.highest - self.lowest),
            )
        )
        x = scores
        if self.centred:
            mean = graph.op("ReduceMean", scores, graph.const("axis_1", np.array([1])))
            x = graph.op("Sub", scores, mean)
        share = graph.op("Sigmoid", graph.op("Add", graph.op("Mul", x, slope), intercept))
        return graph.op("Add", graph.op("Mul", share, span), lowest)


def fit_scale(scores: FloatArray, performance: FloatArray, *, centred: bool) -> LogisticScale:
    """Maximum likelihood on scores and performance (V, K) of validation queries, NaN = not known.

    centred: whether the scores only rank. Every model has a curve of its own; where its labels are
    few it is drawn to the curve of all models together, by a normal prior as strong as
    PRIOR_QUERIES queries. A model whose score is the lower the better it does gets its mean: slope
    0. Isotonic curves were never clearly better (docs/findings.md).
    Raises DataError without a query.
    """
    if len(scores) == 0:
        raise DataError("no complete validation query to calibrate the scores on")
    lowest, highest = float(np.nanmin(performance)), float(np.nanmax(performance))
    share = (performance - lowest) / ((highest - lowest) or 1.0)  # (V, K) in [0, 1]
    raw = _centred(scores) if centred else np.asarray(scores, dtype=np.float64)
    middle, spread = float(raw.mean()), float(raw.std()) or 1.0
    x = (raw - middle) / spread
    weak = np.eye(2)[None] / PRIOR_QUERIES  # keeps the curve finite where all labels are equal
    pooled = _curves(x.reshape(-1, 1), share.reshape(-1, 1), np.zeros((1, 2)), weak)
    p = _sigmoid(pooled[0, 0] + pooled[0, 1] * x)
    weight = np.where(np.isfinite(share), p * (1 - p), np.nan)
    moments = [np.nanmean(weight * x**power) for power in range(3)]
    information = np.array([[moments[0], moments[1]], [moments[1], moments[2]]])
    start = np.repeat(pooled, x.shape[1], axis=0)
    curves = _curves(x, share, start, PRIOR_QUERIES * information[None] + weak)
    slope = curves[:, 1] / spread
    return LogisticScale(
        intercept=tuple((curves[:, 0] - slope * middle).tolist()),
        slope=tuple(slope.tolist()),
        centred=centred,
        lowest=lowest,
        highest=highest,
    )


def _curves(
    x: FloatArray, share: FloatArray, prior: FloatArray, precision: FloatArray
) -> FloatArray:
    """(K, 2): intercept and slope, not negative, of each column of x; share (V, K), or NaN.

    Newton's method on the logistic likelihood with a normal prior: mean (K, 2), precision
    (1, 2, 2). Where the slope comes out negative the intercept alone is fitted.
    """
    curves = _newton(x, share, prior, precision)
    falls = curves[:, 1] < 0
    if falls.any():
        flat = prior[falls] * [1.0, 0.0]
        curves[falls] = _newton(np.zeros_like(x[:, falls]), share[:, falls], flat, precision)
        curves[falls, 1] = 0.0
    return curves


def _newton(
    x: FloatArray, share: FloatArray, prior: FloatArray, precision: FloatArray
) -> FloatArray:
    curves, known = prior.copy(), np.isfinite(share)
    for _ in range(MOST_STEPS):
        p = _sigmoid(curves[:, 0] + curves[:, 1] * x)
        residual, weight = np.where(known, p - share, 0.0), np.where(known, p * (1 - p), 0.0)
        pull = (precision @ (curves - prior)[:, :, None])[:, :, 0]
        gradient = np.stack([residual.sum(axis=0), (residual * x).sum(axis=0)], axis=1) + pull
        parts = [(weight * x**power).sum(axis=0) for power in range(3)]
        curvature = np.moveaxis(np.array([[parts[0], parts[1]], [parts[1], parts[2]]]), 2, 0)
        step = np.linalg.solve(curvature + precision, gradient[:, :, None])[:, :, 0]
        curves -= np.clip(step, -1.0, 1.0)  # a whole step may overshoot where the curve is flat
        if np.abs(step).max() < ENOUGH:
            break
    return curves


def _sigmoid(x: FloatArray) -> FloatArray:
    inside = np.minimum(np.maximum(x, -LARGEST), LARGEST)  # np.clip is slower
    return np.asarray(1.0 / (1.0 + np.exp(-inside)))


def _centred(scores: RealArray) -> FloatArray:
    scores = np.asarray(scores, dtype=np.float64)
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))
