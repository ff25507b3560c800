"""[collapse], [drift], [log] and [telemetry] of gateway.toml: what is watched, and who sees it."""

from typing import Annotated, Literal

from pydantic import Field

from equirouter.serve.setting_types import Count, SettingsSection


class CollapseSettings(SettingsSection):
    """The alarm for routing collapse: the strongest model's share against the expected one."""

    window: Count = 500
    """Decisions of a class whose share is shown."""
    minimum: Count = 50
    """Decisions below which no alarm is raised."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.1
    """How far the strongest model's share may exceed the expected one."""
    false_alarm_every: Count = 100_000
    """Mean number of decisions of a class before a false alarm, at least."""


class DriftSettings(SettingsSection):
    """Alarms for what has changed since the version began to serve."""

    enabled: bool = False
    """Whether the gateway watches for drift; `equirouter status` does in any case."""
    usual: Annotated[int, Field(ge=50)] = 300
    """Observations of each kind that tell what is usual, from when the version became current."""
    window: Count = 500
    """Observations whose share or mean is shown."""
    tolerance: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """How far a share or a mean may be above the usual one."""
    false_alarm_every: Count = 100_000
    """Mean number of observations of each kind before a false alarm, at least."""


class LogSettings(SettingsSection):
    """The lines on stderr, and which texts are kept."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe lines that are written: "debug" has every request, "info" those that a fallback
    answered or that cost more than their budget, "warning" failures."""
    format: Literal["text", "json"] = "json"
    """Form of the lines."""
    log_texts: bool = False
    """Whether the store keeps prompts and answers; log lines, metrics and traces never do."""


class TelemetrySettings(SettingsSection):
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
