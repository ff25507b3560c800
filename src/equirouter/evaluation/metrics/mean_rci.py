"""RCI averaged over a sweep."""

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans


class MeanRCI(Metric):
    """RCI averaged over the operating points, in [0, 1]; lower is better at equal performance."""

    direction = -1

    def values(self, means: SweepMeans) -> FloatArray:
        """Over the sweep."""
        return np.asarray(means.swept_collapse.mean(axis=-1))
