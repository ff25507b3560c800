"""The Routing Collapse Index along a sweep; `collapse_score.py` has the score of a choice."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Column, Metric, SweepMeans


class RCI(Metric):
    """The mean collapse score at the largest budget, in [0, 1].

    Lower is better at equal performance: always calling a cheap model lowers it too. Source: paper,
    App. D.
    """

    direction = -1
    is_paired = True
    least_quality = "0.95"
    columns = (
        Column(
            "RCI",
            3,
            "Routing Collapse Index at the largest budget, 0 to 1: how often, and how badly, a "
            "more expensive model was called although a cheaper one did as well. Always calling a "
            "cheap model also lowers it, so no value is marked of a router that does not reach "
            "95 % of the strongest model's mean performance in every seed.",
        ),
    )

    def values(self, means: SweepMeans) -> FloatArray:
        """At the last operating point."""
        return np.asarray(means.swept_collapse[:, -1])
