"""Who is right on what, in the simulated data sets: an item-response model, and draws from it."""

import numpy as np

from equirouter.arrays import FloatArray

__all__ = ["drawn", "expected"]

DISCRIMINATION = 2.2
"""How steeply the chance of a right answer falls with difficulty (a of the item-response model)."""
JUDGE_NOISE = 0.8
"""Standard deviation, in logits, of a judge's opinion of one answer."""


def expected(
    accuracy: float, difficulty: FloatArray, rng: np.random.Generator, *, levels: int = 1
) -> FloatArray:
    """Expected performance (N,) of a model whose ability makes the mean equal its accuracy.

    sigmoid(a * (ability - difficulty)), the two-parameter item-response model (Birnbaum, 1968);
    the ability is found by bisection, as the mean rises with it. levels: above 1 a judge's opinion
    of each answer is added.
    """
    noise = JUDGE_NOISE * rng.standard_normal(len(difficulty)) if levels > 1 else 0.0
    low, high = -20.0, 20.0
    for _ in range(60):
        ability = (low + high) / 2
        chance = 1 / (1 + np.exp(-DISCRIMINATION * (ability - difficulty) - noise))
        low, high = (ability, high) if chance.mean() < accuracy else (low, ability)
    return np.asarray(chance)


def drawn(chance: FloatArray, rng: np.random.Generator, *, levels: int = 1) -> FloatArray:
    """Random outcomes (N,) in multiples of 1 / levels, each with its expected value as mean.

    Systematic sampling in random order: each cell alone is as random as an independent draw, but
    the total is off by less than one level, so the realised mean does not stray from the expected.
    """
    order = rng.permutation(len(chance))
    passed = np.floor(np.cumsum(chance[order] * levels) + rng.random())
    outcome = np.empty(len(chance))
    outcome[order] = np.diff(passed, prepend=0.0) / levels
    return outcome
