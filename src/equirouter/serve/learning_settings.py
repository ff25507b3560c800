"""[explore], [shadow], [retrain] and [canary]: how the log teaches, and a new version is tried."""

from typing import Annotated

from pydantic import Field

from equirouter.serve.setting_types import Count, FilePath, Positive, SettingsSection

_SECONDS = {"h": 3600.0, "d": 86400.0}


class RetrainSettings(SettingsSection):
    """How `equirouter retrain` makes a new version, and when the gateway runs it."""

    table: FilePath | None = None
    """Outcomes to learn from beside the log, on a scale from 0 to 1; none: the log alone."""
    every: Annotated[str, Field(pattern="^[1-9][0-9]{0,3}[hd]$")] | None = None
    """How often the gateway retrains, in a process of its own, such as "12h" or "7d"; none: only
    where `equirouter retrain` is run."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    """Difference that does not matter, as a share of the strongest model's quality, and of its
    cost."""
    minimum_rows: Annotated[int, Field(ge=30)] = 200
    """Held-out queries, new to both versions, below which no version takes another's place."""
    key_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Of the ratings that are learned from, those of one key at most, where others rated too: so
    many of its latest as a third of what all others gave, for 0.25, or as the median of the other
    keys gave, if that is more; 1: all."""
    threads: Count = 1
    """Threads of the training."""
    memory_gb: Positive = 4.0
    """Most memory of the training, in gigabytes."""

    @property
    def every_seconds(self) -> float | None:
        """`every` in seconds."""
        return None if self.every is None else int(self.every[:-1]) * _SECONDS[self.every[-1]]


class CanarySettings(SettingsSection):
    """A version that a share of the conversations goes to, until it is shown to be worse or not."""

    version: Annotated[str, Field(pattern="^([0-9]{4,9}|latest)$")] | None = None
    """A version in pipeline.path beside the current one; "latest": what `equirouter retrain` makes,
    where it passes the gate; none: no canary."""
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Share of the conversations, or requests without one, that go to it."""
    false_alarm: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Highest probability that a version that is no worse is ever rolled back."""
    cost_margin: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Difference in mean cost that does not matter, as a share of the current version's."""
    error_margin: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Difference in the share of failed requests that does not matter."""
    score_margin: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Difference in the mean feedback score that does not matter."""
    enough: Count = 2000
    """Conversations of the canary after which it is made current if nothing was found worse."""


class ExploreSettings(SettingsSection):
    """Which routed requests may go to another model that may answer them."""

    share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the requests that the router decides which go to another model; 0: none."""
    limit_usd_per_day: Positive | None = None
    """Most that explored requests cost in a day (UTC), over all workers and restarts; no call is
    made whose highest cost has no room; none: no limit."""
    except_models: frozenset[str] = frozenset()
    """Models that exploration never chooses."""
    except_keys: frozenset[str] = frozenset()
    """Names of keys whose requests are never explored."""


class ShadowSettings(SettingsSection):
    """Which answered requests other models answer once more, for the log alone."""

    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the routed requests that other models answer too, once the client has its answer;
    0: none."""
    models: frozenset[str] = frozenset()
    """Models that answer; none: all that might have answered."""
    limit_usd_per_day: Positive | None = None
    """Most that their answers and the scores cost in a day (UTC), over all workers and restarts;
    none: no limit. No key is charged."""
    score: tuple[str, ...] = ()
    """Graders of `equirouter score`, such as "judge:model=large", that score the answers, the
    client's too, in a process of its own; needs log.log_texts. Empty: nobody scores them."""
    except_keys: frozenset[str] = frozenset()
    """Names of keys whose requests no shadow answers."""
