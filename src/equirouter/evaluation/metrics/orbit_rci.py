"""RCI as the authors' toolbox computes it."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans


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
