"""The embedding of a new model, fitted so that EquiRouter's head gives the target scores."""

from collections.abc import Callable, Mapping

import numpy as np

from equirouter.arrays import Float32Array, FloatArray
from equirouter.routers.networks.head import Head

__all__ = ["distilled"]

MOST_STEPS = 20
SETTLED = 1e-4
"""The share of the error below which a step no longer matters."""

PULL = 1e-3
"""Penalty for being one spread of the embeddings away from the start, in units of the error."""

STEP = 1e-2  # of a finite difference, in spreads of the embeddings


def distilled(
    weights: Mapping[str, Float32Array],
    z: Float32Array,
    targets: FloatArray,
    start: FloatArray,
    *,
    joint_feature: bool,
) -> FloatArray:
    """The embedding (d_m,) whose scores on queries z (N, D) come closest to targets (N,).

    weights: of the router; only the embedding is learned. start: where it begins, and is drawn
    back to. Gauss-Newton steps with Levenberg's damping, slopes by finite differences.
    """
    spread = float(weights["models"].std(axis=0).mean()) or 1.0
    size = float(targets.std()) or 1.0

    def missed(embedding: FloatArray) -> FloatArray:
        model = dict(weights) | {"models": embedding[None].astype(np.float32)}
        scores = Head(model, joint_feature=joint_feature).scores(z)[:, 0].astype(np.float64)
        away = np.sqrt(PULL) * (embedding - start) / spread
        return np.concatenate([(scores - targets) / (size * np.sqrt(len(z))), away])

    best, damping = start.astype(np.float64), 1e-2
    error = missed(best)
    for _ in range(MOST_STEPS):
        slopes = _slopes(missed, best, error, STEP * spread)
        before = float(error @ error)
        while True:
            curvature = slopes.T @ slopes + damping / spread**2 * np.eye(len(best))
            tried = best - np.linalg.solve(curvature, slopes.T @ error)
            new = missed(tried)
            if float(new @ new) < before:
                best, error, damping = tried, new, damping / 5
                break
            damping *= 5
            if damping > 1e6:  # no step lowers it
                return best
        if float(error @ error) > (1 - SETTLED) * before:
            break
    return best


def _slopes(
    missed: Callable[[FloatArray], FloatArray], at: FloatArray, error: FloatArray, step: float
) -> FloatArray:
    """(N, d_m): how the errors change along each axis."""
    columns = []
    for axis in range(len(at)):
        moved = at.copy()
        moved[axis] += step
        columns.append((missed(moved) - error) / step)
    return np.stack(columns, axis=1)
