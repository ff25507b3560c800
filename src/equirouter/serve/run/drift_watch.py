"""The watch for drift, fed from the log beside the requests."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equirouter.errors import EquiRouterError
from equirouter.pipeline.versions import current_since
from equirouter.serve.money.store.engine import Database
from equirouter.serve.money.store.tail import Rated, Tail, seen_in
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.watch.drift import KINDS, Alarm, DriftWatch
from equirouter.serve.watch.prometheus import Metrics
from equirouter.serve.watch_settings import DriftSettings

_LOG = logging.getLogger("equirouter.serve")

LOOK_SECONDS = 30.0


class LogWatch:
    """The watch over one pipeline, and where in the log it is. since: Unix seconds."""

    def __init__(self, settings: DriftSettings, pipeline: str, since: float) -> None:
        self.pipeline = pipeline
        self.watch = DriftWatch(settings)
        self._tail = Tail(pipeline, since)

    async def look(self, database: Database) -> list[Alarm]:
        """Read what is new; the alarms that were raised or ended."""
        changed: list[Alarm] = []
        await database.read(self._tail.look)
        while rows := await database.read(self._tail.rows):
            changed += await asyncio.to_thread(self._noted, rows)
        ratings = await database.read(self._tail.ratings)
        return changed + await asyncio.to_thread(self._rated, ratings)

    def _noted(self, rows: Sequence[Mapping[str, Any]]) -> list[Alarm]:
        return [alarm for row in rows for alarm in self.watch.note(seen_in(row))]

    def _rated(self, ratings: Sequence[Rated]) -> list[Alarm]:
        return [alarm for rating in ratings for alarm in self.watch.rate(rating)]


@dataclass(slots=True)
class DriftKeeper:
    """Looks into the log again and again; begins anew when another pipeline decides."""

    settings: DriftSettings
    folder: Path
    database: Database
    decider: DecisionThread
    metrics: Metrics
    watching: LogWatch | None = None

    def alarms(self) -> list[Alarm]:
        """All that is watched, as it is now."""
        return [] if self.watching is None else self.watching.watch.alarms()

    async def run(self, seconds: float = LOOK_SECONDS) -> None:
        """Look without end."""
        while True:
            try:
                await self.look()
            except EquiRouterError as error:  # the store is gone, or the folder's history damaged
                _LOG.warning("drift cannot be watched now: %s", error)
            except Exception:
                _LOG.exception("the watch for drift failed")
            await asyncio.sleep(seconds)

    async def look(self) -> None:
        """Count what is new, and say what changed."""
        watching, pipeline = self.watching, self.decider.loaded.id
        if watching is None or watching.pipeline != pipeline:
            for alarm in self.alarms():  # they were about the other one
                if alarm.is_on:
                    self.metrics.drift(alarm.kind, alarm.about, is_on=False)
            since = await asyncio.to_thread(current_since, self.folder)
            watching = self.watching = LogWatch(self.settings, pipeline, since)
        for alarm in await watching.look(self.database):
            self.metrics.drift(alarm.kind, alarm.about, is_on=alarm.is_on)
            _LOG.log(
                logging.WARNING if alarm.is_on else logging.INFO,
                "drift, %s: %s%s, %s: %.3g over the last %d, %.3g expected",
                "alarm" if alarm.is_on else "over",
                alarm.kind,
                f", {alarm.about}" if alarm.about else "",
                KINDS[alarm.kind],
                alarm.value,
                alarm.n,
                alarm.expected or 0.0,
            )
