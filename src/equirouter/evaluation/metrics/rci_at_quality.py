"""RCI at equal quality."""

from equirouter.arrays import FloatArray
from equirouter.evaluation.metrics.base import Metric, SweepMeans


class RCIAtQuality(Metric):
    """RCI where `cost_at_quality` is read, so that routers of equal quality are compared.

    A value per quality, in [0, 1]; lower is better. Where only always calling the reference model
    has the quality, it is that model's.
    """

    direction = -1

    def values(self, means: SweepMeans) -> dict[str, FloatArray]:
        """Quality -> (R,)."""
        return {name: point.collapse for name, point in means.at_quality.items()}
