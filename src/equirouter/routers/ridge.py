"""Ridge regression of many columns at once, in closed form, with exact leave-one-out values.

One decomposition of the features serves every column and every penalty. A cell that is not known
takes no part: the estimate in its place is made again until it settles, which is where the known
cells alone are fitted best (expectation maximisation).
"""

import math
from typing import NamedTuple

import numpy as np

from equirouter.arrays import FloatArray, IntArray, RealArray

PENALTIES = np.logspace(-1, 4, 16)
"""Features have a length of about 1: from hardly any shrinkage to learning next to nothing."""

SMALLEST = 1e-9  # of the largest eigenvalue: below it a direction is rounding
MOST_PASSES = 50
SETTLED = 1e-4  # mean change of an estimate between two passes, as a share of the targets' spread
BLOCK = 4096  # rows
LEAST_LEFT = 1e-9  # of a query's weight, so that a value without it can be told


class Spectrum(NamedTuple):
    """The principal directions of features (n, F): (features - centre) @ back are the axes.

    centre (F,); axes (n, m), orthonormal columns; values (m,), squared lengths along them; back
    (F, m).
    """

    centre: FloatArray
    axes: FloatArray
    values: FloatArray
    back: FloatArray


class Lines(NamedTuple):
    """A linear function of the features for each of A columns.

    coef (A, F), level (A,). held_out (n, A): the value of each training row without that row.
    """

    coef: FloatArray
    level: FloatArray
    held_out: FloatArray


class Factors(NamedTuple):
    """K columns as loadings times r factors, each a linear function of the features.

    trunk (r, F), loadings (K, r), level (K,). held_out (n, K): as Lines has it.
    """

    trunk: FloatArray
    loadings: FloatArray
    level: FloatArray
    held_out: FloatArray


def spectrum(*features: RealArray) -> Spectrum:
    """Decompose features (n, F), by the smaller of the two products of them with themselves.

    Several arrays stand side by side.
    """
    centre = np.hstack(features, dtype=np.float64).mean(axis=0)

    def centred() -> FloatArray:
        x = np.hstack(features, dtype=np.float64)
        x -= centre
        return x

    def product() -> FloatArray:
        x = centred()
        return x @ x.T if len(x) <= len(centre) else x.T @ x

    # x is made twice: it need not lie beside what the decomposition takes
    values, vectors = np.linalg.eigh(product())
    kept = values > SMALLEST * max(float(values[-1]), SMALLEST)
    values, vectors = values[kept], vectors[:, kept]
    x = centred()
    if len(x) <= len(centre):
        return Spectrum(centre, vectors, values, x.T @ (vectors / values))
    vectors /= np.sqrt(values)
    return Spectrum(centre, x @ vectors, values, vectors)


def fit_lines(of: Spectrum, targets: FloatArray) -> Lines:
    """Ridge for each column of targets (n, A), NaN = not known, every column with a known cell.

    A column has the penalty of PENALTIES with the smallest leave-one-out error.
    """
    known = np.isfinite(targets)
    estimate = np.broadcast_to(np.nanmean(targets, axis=0), targets.shape)
    size = np.nanstd(targets, axis=0) + np.finfo(float).tiny
    squared = of.axes**2
    keeps = of.values[:, None] / (of.values[:, None] + PENALTIES)  # (m, P)
    left = np.maximum(1.0 - squared @ keeps - 1.0 / len(targets), LEAST_LEFT)  # (n, P)
    for _ in range(1 if known.all() else MOST_PASSES):
        filled = np.where(known, targets, estimate)
        level = filled.mean(axis=0)
        centred = filled - level
        moments = of.axes.T @ centred  # (m, A)
        tried = moments[:, :, None] * keeps[:, None]  # (m, A, P)
        keep = keeps[:, _least_missed(of, centred, tried, known, left)]
        shrunk = moments * keep
        before, estimate = estimate, level + of.axes @ shrunk
        if (np.abs(estimate - before) / size).mean() < SETTLED:
            break
    coef = (of.back @ shrunk).T
    held_out = level + _without(of, centred, moments, keep, squared)
    return Lines(coef, level - coef @ of.centre, held_out)


def _least_missed(
    of: Spectrum, centred: FloatArray, shrunk: FloatArray, known: FloatArray, left: FloatArray
) -> IntArray:
    """The penalty (A,) with the smallest leave-one-out error, as a place in PENALTIES.

    centred, known (n, A). shrunk (m, A, P): moments under each penalty. left (n, P): of the weight
    of each row.
    """
    m, *shape = shrunk.shape
    flat = shrunk.reshape(m, math.prod(shape))  # m is 0 where nothing tells queries apart
    losses = np.zeros(shape)
    for start in range(0, len(centred), BLOCK):  # all penalties at once, at little memory
        rows = slice(start, start + BLOCK)
        told = (of.axes[rows] @ flat).reshape(-1, *shape)
        missed = (centred[rows, :, None] - told) / left[rows, None]
        losses += np.where(known[rows, :, None], missed**2, 0.0).sum(axis=0)
    return np.asarray(losses.argmin(axis=1))


def fit_factors(of: Spectrum, targets: FloatArray, most: int) -> Factors:
    """Principal components of targets (n, K), NaN = not known, each predicted by ridge.

    The components of the largest variance come first, `most` of them at most. Each has a penalty of
    its own, the one of PENALTIES under which it is most likely (the evidence), so one that the
    features say nothing about is shrunk to 0. Source: Breiman and Friedman 1997 (shrinking rotated
    outcomes); MacKay 1992 (evidence).
    """
    known = np.isfinite(targets)
    estimate = np.broadcast_to(np.nanmean(targets, axis=0), targets.shape)
    for _ in range(1 if known.all() else MOST_PASSES):
        filled = np.where(known, targets, estimate)
        # the squares that the estimates in the gaps lack, as outcomes scatter about them
        noise = np.nanmean((targets - estimate) ** 2, axis=0) * (~known).sum(axis=0)
        level = filled.mean(axis=0)
        outcomes = filled - level
        spread, rotation = np.linalg.eigh(outcomes.T @ outcomes)
        loadings = rotation[:, ::-1][:, :most]  # (K, r)
        components = outcomes @ loadings  # (n, r)
        moments = of.axes.T @ components  # (m, r)
        squares = spread[::-1][:most] + (loadings**2).T @ noise
        penalty = _most_likely(moments, squares, of.values, len(targets))
        keep = of.values[:, None] / (of.values[:, None] + penalty)
        before, estimate = estimate, level + of.axes @ (moments * keep) @ loadings.T
        if np.abs(estimate - before).mean() < SETTLED:
            break
    trunk = (of.back @ (moments * keep)).T
    held_out = level + _without(of, components, moments, keep, of.axes**2) @ loadings.T
    return Factors(trunk, loadings, level - loadings @ (trunk @ of.centre), held_out)


def _without(
    of: Spectrum, columns: FloatArray, moments: FloatArray, keep: FloatArray, squared: FloatArray
) -> FloatArray:
    """The values (n, r) of centred columns (n, r), each fitted without its own row.

    Exact: the row's residual over what is left of it, 1 less its own weight in its value. squared:
    of.axes**2.
    """
    weight = squared @ keep + 1.0 / len(columns)
    missed = columns - of.axes @ (moments * keep)
    return np.asarray(columns - missed / np.maximum(1.0 - weight, LEAST_LEFT))


def _most_likely(
    moments: FloatArray, squares: FloatArray, values: FloatArray, n: int
) -> FloatArray:
    """The penalty (r,) of PENALTIES with the largest evidence for each component.

    A component y is taken for x w plus noise, with normal weights whose variance is the noise's
    over the penalty. moments (m, r): of y along the axes; squares (r,): of y; n: queries.
    """
    rest = np.maximum(squares - (moments**2).sum(axis=0), 0.0)
    losses = []
    for penalty in PENALTIES:
        gain = 1.0 + values / penalty
        left = (moments**2 / gain[:, None]).sum(axis=0) + rest
        losses.append(n * np.log(np.maximum(left, np.finfo(float).tiny)) + np.log(gain).sum())
    return np.asarray(PENALTIES[np.argmin(losses, axis=0)])
