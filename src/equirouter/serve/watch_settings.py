"""[collapse] and [telemetry] of gateway.toml: what is watched, and who may see it."""

from typing import Annotated

from pydantic import BaseModel, Field

from equirouter.serve.setting_types import SECTION, Count

__all__ = ["CollapseSettings", "TelemetrySettings"]


class _Section(BaseModel):
    model_config = SECTION


class CollapseSettings(_Section):
    """The alarm for routing collapse: the strongest model's share against the expected one."""

    window: Count = 500
    """Decisions of a class whose share is shown."""
    minimum: Count = 50
    """Decisions below which no alarm is raised."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.1
    """How far the strongest model's share may exceed the expected one."""
    false_alarm_every: Count = 100_000
    """Mean number of decisions of a class before a false alarm, at least."""


class TelemetrySettings(_Section):
    """Metrics, dashboard and traces."""

    metrics: bool = True
    """Whether /metrics is served."""
    metrics_open: bool = False
    """Whether other machines may read the metrics without an admin key."""
    metrics_by_key: bool = False
    """Whether the ids of keys are a label of the metrics: a series per key and model."""
    dashboard: bool = True
    """Whether /dashboard and its data are served."""
    otel: bool = False
    """Whether traces are sent, to where the OTEL_ variables say (extra serve)."""
