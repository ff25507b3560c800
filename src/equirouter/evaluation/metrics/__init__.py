"""The metrics of a router: one class each, with its formula, direction and source.

    base.py    Metric, and the means that every metric is computed from
    curves.py  functions on performance-cost curves that several of them use

    nauc.py, common_nauc.py, orbit_nauc.py                 the height of the curve
    peak.py, peak_quality.py, peak_cost.py                 its peak
    cost_at_quality.py, qnc.py                             the cost of a quality
    rci.py, mean_rci.py, rci_at_quality.py, orbit_rci.py   routing collapse
    call_share.py, strongest_share.py                      which models are called

`RouterMetrics` lists them: a field is the name in results.json, and the metric that computes it.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict

from equirouter.evaluation.measured import Measured, MeasuredByKey
from equirouter.evaluation.metrics.base import Column, Draws, Metric, SweepMeans
from equirouter.evaluation.metrics.call_share import CallShare
from equirouter.evaluation.metrics.common_nauc import CommonNAUC
from equirouter.evaluation.metrics.cost_at_quality import CostAtQuality
from equirouter.evaluation.metrics.mean_rci import MeanRCI
from equirouter.evaluation.metrics.nauc import NAUC
from equirouter.evaluation.metrics.orbit_nauc import OrbitNAUC
from equirouter.evaluation.metrics.orbit_rci import OrbitRCI
from equirouter.evaluation.metrics.peak import PeakScore
from equirouter.evaluation.metrics.peak_cost import PeakCost
from equirouter.evaluation.metrics.peak_quality import PeakQuality
from equirouter.evaluation.metrics.qnc import QNC
from equirouter.evaluation.metrics.rci import RCI
from equirouter.evaluation.metrics.rci_at_quality import RCIAtQuality
from equirouter.evaluation.metrics.strongest_share import StrongestShare

__all__ = [
    "COLUMNS",
    "METRICS",
    "Column",
    "Draws",
    "Metric",
    "RouterMetrics",
    "SweepMeans",
]


class RouterMetrics(BaseModel):
    """Every metric of one router, over the seeds; each is documented by its class."""

    model_config = ConfigDict(frozen=True)

    nauc: Annotated[Measured, NAUC()]
    nauc_common: Annotated[Measured, CommonNAUC()]
    nauc_orbit: Annotated[Measured, OrbitNAUC()]
    peak_score: Annotated[Measured, PeakScore()]
    peak_cost_usd: Annotated[Measured, PeakCost()]
    peak_quality: Annotated[Measured, PeakQuality()]
    qnc: Annotated[Measured, QNC()]
    rci: Annotated[Measured, RCI()]
    rci_mean: Annotated[Measured, MeanRCI()]
    rci_orbit: Annotated[Measured, OrbitRCI()]
    rci_at_quality: Annotated[MeasuredByKey, RCIAtQuality()]
    cost_at_quality: Annotated[MeasuredByKey, CostAtQuality()]
    strongest_share: Annotated[Measured, StrongestShare()]
    call_share: Annotated[MeasuredByKey, CallShare()]

    def measured(self, column: Column) -> Measured:
        """The figure in a column of the tables."""
        figure: Measured | MeasuredByKey = getattr(self, column.metric)
        return figure[column.key or ""] if isinstance(figure, MeasuredByKey) else figure


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        name: next(part for part in field.metadata if isinstance(part, Metric))
        for name, field in RouterMetrics.model_fields.items()
    }
)
"""Name in results.json -> metric."""

COLUMNS = tuple(
    replace(
        column,
        metric=name,
        direction=metric.direction,
        least_quality=metric.least_quality,
    )
    for name, metric in METRICS.items()
    for column in metric.columns
)
"""The columns of every table of results, in order."""
