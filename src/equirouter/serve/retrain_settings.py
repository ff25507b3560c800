"""[retrain] of gateway.toml: when a challenger is trained, from what, and what it must show."""

from typing import Annotated

from pydantic import BaseModel, Field

from equirouter.serve.setting_types import SECTION, Count, FilePath, Positive

__all__ = ["RetrainSettings"]

_SECONDS = {"h": 3600.0, "d": 86400.0}


class RetrainSettings(BaseModel):
    """How `equirouter retrain` makes a new version, and when the gateway runs it."""

    model_config = SECTION

    table: FilePath | None = None
    """Outcomes to learn from beside the log, on a scale from 0 to 1; none: the log alone."""
    every: Annotated[str, Field(pattern="^[1-9][0-9]{0,3}[hd]$")] | None = None
    """How often the gateway retrains, in a process of its own, such as "12h" or "7d"; none: only
    where `equirouter retrain` is run."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    """What makes no difference: a share of the strongest model's quality, and of its cost."""
    minimum_rows: Annotated[int, Field(ge=30)] = 200
    """Held-out queries, new to both versions, below which no version takes another's place."""
    threads: Count = 1
    """Threads of the training."""
    memory_gb: Positive = 4.0
    """Most memory of the training, in gigabytes."""

    @property
    def every_seconds(self) -> float | None:
        """`every` in seconds."""
        return None if self.every is None else int(self.every[:-1]) * _SECONDS[self.every[-1]]
