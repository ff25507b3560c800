"""Labelled queries of a world in which two cheap models err independently."""

import numpy as np

from equirouter.policy.replies import Replies
from equirouter.training.plan_fit import LabelledQueries

COSTS = np.array([0.01, 0.02, 1.0])
ACCURACY = np.array([0.7, 0.7, 0.95])


def world(n: int, seed: int, *, agree: bool = True, lost: float = 0.0) -> LabelledQueries:
    """Three models right by chance alone, so that the router knows each one's mean and no more.

    A right answer is number 0, a wrong one 1 to 50. agree: False writes each model's answers in a
    way of its own. lost: the share of answers that an extractor does not find.
    """
    rng = np.random.default_rng(seed)
    performance = (rng.random((n, 3)) < ACCURACY).astype(float)
    answers = np.where(performance > 0, 0, rng.integers(1, 51, (n, 3)))
    if not agree:
        answers = answers + 100 * np.arange(3)
    answered = (rng.random((n, 3)) >= lost).astype(float)
    unknown = np.full((n, 3), np.nan)
    costs = np.tile(COSTS, (n, 1))
    scores = np.tile(ACCURACY, (n, 1))
    return LabelledQueries(
        scores, costs, performance, costs, Replies(answers, answered, unknown, unknown)
    )
