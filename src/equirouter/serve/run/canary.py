"""A canary looked after: begun, watched, and ended by itself.

Each worker reads the same rows of the store and so comes to the same verdict; the first to enter it
also writes the pipeline's history. A worker that was killed between the two is made up for.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Self

import numpy as np
import sqlalchemy as sa

from equirouter.errors import ConfigError, EquiRouterError, StoreGoneError
from equirouter.pipeline.versions import PipelineVersions
from equirouter.serve.learning_settings import CanarySettings
from equirouter.serve.money.store.canaries import (
    Ended,
    Reader,
    Trial,
    begin_trial,
    end_trial,
    find_trial,
    usual_of,
)
from equirouter.serve.money.store.store import Store
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.plan.loading import LoadedPipeline
from equirouter.serve.plan.planner import RoutingPlanner
from equirouter.serve.watch.prometheus import Metrics
from equirouter.serve.watch.side_by_side import Measure, MeasureEvidence, SideBySide

_LOG = logging.getLogger("equirouter.serve")

LOOK_SECONDS = 5.0
HOW = "canary"
_OTHERS_SECONDS = 30.0
"""After it another worker than the one that ended a trial writes what that one should have."""
_MOST_COST = 20.0
"""A request that costs more than so many usual ones counts as so many."""


def compared(trial: Trial, settings: CanarySettings) -> SideBySide:
    """The comparison of a trial, in which nothing is counted yet."""
    usual = trial.usual
    measures = {
        "cost": Measure(1.0, _MOST_COST, settings.cost_margin),
        "errors": Measure(usual.errors, 1.0, settings.error_margin),
        "feedback": Measure(
            0.5 if usual.score is None else 1.0 - usual.score, 1.0, settings.score_margin
        ),
    }
    return SideBySide(trial.share, measures, settings.false_alarm)


def tally(trial: Trial, test: SideBySide, reader: Reader) -> Callable[[sa.Connection], None]:
    """The function that reads the log once more, given a connection, and counts new requests."""

    def count(connection: sa.Connection) -> None:
        outcome = reader.read(connection)
        is_new = np.array(outcome.is_new, bool)
        test.add("cost", is_new, np.array(outcome.cost_nusd) / trial.usual.cost_nusd)
        test.add("errors", is_new, np.array(outcome.failed, float))
        test.add("feedback", np.array(outcome.rated_new, bool), 1.0 - np.array(outcome.scores))

    return count


@dataclass(frozen=True, kw_only=True)
class CanaryState:
    """How the trial of a version stands.

    over: the version beside which it is tried, on a share of the conversations, since a Unix time;
    evidence: by measure. All four are None before it has begun. state: "running", how it ended, or
    why it has not begun; why: more on that in words, None where there is no more to say.
    """

    version: str | None
    over: str | None = None
    share: float | None = None
    since: float | None = None
    state: str
    why: str | None = None
    evidence: Mapping[str, MeasureEvidence] | None = None

    @classmethod
    def of(cls, trial: Trial, evidence: Mapping[str, MeasureEvidence]) -> Self:
        """That of a trial which has begun."""
        return cls(
            version=trial.version,
            over=trial.over_version,
            share=trial.share,
            since=trial.at_us / 1e6,
            state=trial.verdict or "running",
            why=trial.why,
            evidence=evidence,
        )

    def document(self) -> dict[str, object]:
        """The fields that are known, for JSON; why always."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value is not None or name == "why"
        }


class CanaryKeeper:
    """Tries canary.version beside the current one, "latest": one after the other.

    state: for /admin/status.
    """

    def __init__(
        self,
        settings: CanarySettings,
        versions: PipelineVersions,
        store: Store,
        decider: DecisionThread,
        planner: RoutingPlanner,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._versions, self._store = settings, versions, store
        self._decider, self._planner, self._metrics = decider, planner, metrics
        self._clock = clock
        self._loaded: LoadedPipeline | None = None
        self._trial: Trial | None = None
        self._test: SideBySide | None = None
        self._count: Callable[[sa.Connection], None] | None = None
        self.state = CanaryState(version=settings.version, state="starting")

    async def run(self, seconds: float = LOOK_SECONDS) -> None:
        """Look again and again, until the trial of a version that is named is over."""
        while True:
            try:
                if await self.look() and self._settings.version != "latest":
                    return
            except StoreGoneError:
                pass  # the writer says so
            except EquiRouterError as error:
                _LOG.error("the canary %s is not tried: %s", self.state.version, error)
                self._stop("failed", str(error))
                return
            except Exception:
                _LOG.exception("the canary %s cannot be looked after", self._settings.version)
            await asyncio.sleep(seconds)

    async def look(self) -> bool:
        """Do what is to be done now; whether nothing will be again for this version.

        Raises UserError for a version that cannot be loaded.
        """
        name, champion = await asyncio.to_thread(self._name), self._decider.loaded
        if name is None:
            return self._wait("no version has passed the gate")
        if champion.version is None or champion.version == name:
            return self._stop("current" if champion.version else "failed", _NO_VERSIONS)
        if self._loaded is None or self._loaded.version != name:
            self.state = CanaryState(version=name, state="starting")
            loaded = await self._decider.load(self._versions.path(name))
            self._loaded = replace(loaded, version=name)
        if self._loaded.id == champion.id:
            return self._stop("failed", f"it is the same pipeline as {champion.version}")
        database = self._store.database
        trial = await database.read(find_trial, self._loaded.id, champion.id)
        if trial is None:
            await self._begin(self._loaded, champion)
            return False
        if trial.verdict is not None:
            self._stop(trial.verdict, str(trial.why))
            if self._now_us() - (trial.ended_at_us or 0) > _OTHERS_SECONDS * 1e6:
                await asyncio.to_thread(self._write, trial)
                return True
            return False
        if self._trial is None or self._trial.id != trial.id:
            self._resume(trial, self._loaded)
        assert self._count is not None  # noqa: S101  # see _resume
        await database.read(self._count)
        await self._judge(trial)
        return False

    def _name(self) -> str | None:
        """The version that is tried or, as none is to be, was tried last."""
        if self._settings.version != "latest":
            return self._settings.version
        before = None if self._loaded is None else self._loaded.version
        return self._versions.to_be_tried() or before

    async def _begin(self, loaded: LoadedPipeline, champion: LoadedPipeline) -> None:
        before = self._trial
        if before is not None:  # another version became current meanwhile
            await self._end(before, "withdrawn", f"{champion.version} became current meanwhile")
        usual = await self._store.database.read(usual_of, champion.id)
        if isinstance(usual, int):
            self._wait(
                f"{usual} of 100 requests that {champion.version} decided, which tell what is usual"
            )
            return
        values = {
            "pipeline": loaded.id,
            "over": champion.id,
            "version": loaded.version,
            "over_version": champion.version,
            "share": self._settings.share,
            "salt": secrets.token_hex(16),
            "at_us": self._now_us(),
        }
        if await self._store.database.write(begin_trial, values, usual):
            why = f"{self._settings.share:.0%} of the conversations"
            await asyncio.to_thread(
                self._versions.note, str(loaded.version), "tried", how=HOW, why=why
            )

    def _resume(self, trial: Trial, loaded: LoadedPipeline) -> None:
        """Let conversations go to it, and count from the beginning."""
        self._trial = trial
        self._test = compared(trial, self._settings)
        self._count = tally(trial, self._test, Reader(trial))
        self._planner.try_out(loaded, trial.share, trial.salt)
        _LOG.info(
            "version %s is tried beside %s on %.3g %% of the conversations",
            *(trial.version, trial.over_version, 100 * trial.share),
        )

    async def _judge(self, trial: Trial) -> None:
        assert self._test is not None  # noqa: S101  # see _resume
        evidence = self._test.evidence()
        self._metrics.canary(evidence)
        self.state = CanaryState.of(trial, evidence)
        verdict = self._test.verdict(self._settings.enough)
        if verdict is not None:
            await self._end(trial, "rolled back" if verdict.is_worse else "promoted", verdict.why)

    async def _end(self, trial: Trial, verdict: Ended, why: str) -> None:
        self._stop(verdict, why)
        now = self._now_us()
        if not await self._store.database.write(end_trial, trial.id, verdict, why, now):
            return  # another worker was first
        level = logging.WARNING if verdict == "rolled back" else logging.INFO
        _LOG.log(level, "the canary %s is %s: %s", trial.version, verdict, why)
        self._metrics.canary_ended(verdict)
        ended = replace(trial, verdict=verdict, why=why, ended_at_us=now)
        await asyncio.to_thread(self._write, ended)

    def _wait(self, why: str) -> bool:
        self.state = replace(self.state, state="waiting", why=why)
        return False

    def _stop(self, state: str, why: str) -> bool:
        self._trial = None
        self._planner.try_out(None)
        self._metrics.canary(None)
        self.state = replace(self.state, state=state, why=None if state == "current" else why)
        return True

    def _write(self, trial: Trial) -> None:
        """Write the end of a trial into the pipeline's history, unless it is there."""
        versions, name, why = self._versions, trial.version, str(trial.why)
        begun = datetime.fromtimestamp(trial.at_us // 1_000_000, UTC)
        events = [e for e in versions.history if e.version == name and e.how == HOW]
        if any(event.at >= begun and event.did != "tried" for event in events):
            return
        if trial.verdict != "promoted":
            is_worse = trial.verdict == "rolled back"
            versions.note(name, "refused" if is_worse else "withdrawn", how=HOW, why=why)
            return
        usual = asdict(trial.usual)
        try:
            versions.promote(name, over=trial.over_version, how=HOW, why=why, figures=usual)
        except ConfigError as error:  # somebody made another one current
            _LOG.warning("the canary %s is not made current: %s", name, error)
            versions.note(name, "withdrawn", how=HOW, why=str(error))

    def _now_us(self) -> int:
        return round(self._clock() * 1e6)


_NO_VERSIONS = (
    "the pipeline has no versions: `equirouter train DATASET --out DIR` makes another one in its "
    "folder"
)
