"""The Routing Collapse Index along a sweep; `collapse.py` has the score of a single choice."""

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


class MeanRCI(Metric):
    """RCI averaged over the operating points, in [0, 1]; lower is better at equal performance."""

    direction = -1

    def values(self, means: SweepMeans) -> FloatArray:
        """Over the sweep."""
        return np.asarray(means.swept_collapse.mean(axis=-1))


class OrbitRCI(Metric):
    """RCI as the authors' toolbox (ORBIT) computes it, at the largest budget, in [0, 1].

    The share of the queries whose chosen model is not among the best, or is the most expensive one
    on average although another is also among the best. Lower is better at equal performance. It is
    another measure than the paper's: only calls of one model count as collapse. Source:
    collapse_score.orbit_collapse_table.
    """

    direction = -1

    def values(self, means: SweepMeans) -> FloatArray:
        """At the last operating point."""
        return np.asarray(means.orbit_collapse[:, 0])


class RCIAtQuality(Metric):
    """RCI where `cost_at_quality` is read, so that routers of equal quality are compared.

    A value per quality, in [0, 1]; lower is better. Where only always calling the reference model
    has the quality, it is that model's.
    """

    direction = -1

    def values(self, means: SweepMeans) -> dict[str, FloatArray]:
        """Quality -> (R,)."""
        return {name: point.collapse for name, point in means.at_quality.items()}
