"""How the loop stands, read from the store and the pipeline's folder: no gateway needs to run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from equirouter.pipeline.folder import digest_of_description, read_description
from equirouter.pipeline.stored import described
from equirouter.pipeline.versions import (
    Event,
    PipelineVersions,
    current_folder,
    current_since,
    last_retraining,
)
from equirouter.serve.learning_settings import ExploreSettings, ShadowSettings
from equirouter.serve.money.store.canaries import Reader, latest_trial
from equirouter.serve.money.store.learned import Learning, learned_in
from equirouter.serve.money.store.log_columns import record_of
from equirouter.serve.money.store.reports import totals_in
from equirouter.serve.money.store.tail import Tail, seen_in
from equirouter.serve.records import usd
from equirouter.serve.run.canary import CanaryState, compared, tally
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.watch.collapse_alarm import AgreementWatch, CollapseWatch
from equirouter.serve.watch.drift import Alarm, DriftWatch, all_alarms
from equirouter.serve.watch.prometheus import Metrics

_DAY = 86_400


@dataclass(frozen=True)
class PipelineStatus:
    """The pipeline in a folder.

    id: of the one that is served. current: its version, since a Unix time; None where the folder
    holds one without versions. versions: how many there are. last: the latest event.
    """

    path: str
    id: str
    current: str | None
    since: float | None
    versions: int
    last: Event | None


@dataclass(frozen=True)
class AskedToLearn:
    """Answers of today that were asked for to learn. share: of requests, as the settings say."""

    share: float
    requests: int
    cost_usd: float
    limit_usd_per_day: float | None


@dataclass(frozen=True)
class Money:
    """Requests of a period. saved_usd: against the strongest model, where both costs are known."""

    requests: int
    errors: int
    cost_usd: float
    saved_usd: float


@dataclass(frozen=True)
class RetrainStatus:
    """every: as the settings say it. last_at: Unix seconds, None for never."""

    every: str
    last_at: float | None


@dataclass(frozen=True)
class LoopStatus:
    """How the loop stands; a part is None where the settings do without it.

    alarms: those that are on, of so many that are watched. explore, shadow: of today. learned: in
    30 days. money: by period, "today" and "30 days".
    """

    pipeline: PipelineStatus | None
    canary: CanaryState | None
    alarms: Sequence[Alarm]
    watched: int
    explore: AskedToLearn
    shadow: AskedToLearn
    learned: Learning
    money: Mapping[str, Money]
    retrain: RetrainStatus | None

    def document(self) -> dict[str, Any]:
        """All of it for JSON, without the figures of the latest event."""
        document = asdict(self) | {"learned": self.learned.document()}
        if self.canary is not None:
            document["canary"] = self.canary.document()
        if self.pipeline is not None and self.pipeline.last is not None:
            last = self.pipeline.last.model_dump(mode="json", exclude={"figures"})
            document["pipeline"]["last"] = last
        return document


def status_of(connection: sa.Connection, settings: GatewaySettings, now: float) -> LoopStatus:
    """How the loop stands at a Unix time.

    Alarms are what the log of the current version says, an even sample of it where it is long. Days
    are in UTC. Raises PipelineError.
    """
    path, retrain = settings.pipeline.path, settings.retrain.every
    alarms = [] if path is None else _alarms(connection, settings, path)
    day = now // _DAY * _DAY
    today = learned_in(connection, day, now).models
    return LoopStatus(
        pipeline=None if path is None else _pipeline(path),
        canary=_canary(connection, settings),
        alarms=[alarm for alarm in alarms if alarm.is_on],
        watched=len(alarms),
        explore=_asked(
            settings.explore,
            sum(learned.explored for learned in today),
            sum(learned.explored_nusd for learned in today),
        ),
        shadow=_asked(
            settings.shadow,
            sum(learned.shadow for learned in today),
            sum(learned.shadow_nusd for learned in today),
        ),
        learned=learned_in(connection, now - 30 * _DAY, now),
        money={
            name: _money(connection, since, now)
            for name, since in (("today", day), ("30 days", now - 30 * _DAY))
        },
        retrain=None
        if path is None or retrain is None
        else RetrainStatus(retrain, last_retraining(path) or None),
    )


def _pipeline(path: Path) -> PipelineStatus:
    versions = PipelineVersions(path)
    history = versions.history
    return PipelineStatus(
        path=str(path),
        id=_id(current_folder(path)),
        current=versions.current,
        since=current_since(path) or None,
        versions=len(versions.names),
        last=history[-1] if history else None,
    )


def _id(folder: Path) -> str:
    return digest_of_description(read_description(folder))[:12]


def _canary(connection: sa.Connection, settings: GatewaySettings) -> CanaryState | None:
    version = settings.canary.version
    if version is None:
        return None
    trial = latest_trial(connection, version)
    if trial is None:
        return CanaryState(version=version, state="not begun")
    test = compared(trial, settings.canary)
    tally(trial, test, Reader(trial))(connection)
    return CanaryState.of(trial, test.evidence())


def _alarms(connection: sa.Connection, settings: GatewaySettings, path: Path) -> list[Alarm]:
    """The alarms on the log of the current version."""
    folder = current_folder(path)
    strongest = described(folder).baseline.strongest
    drift, collapse = DriftWatch(settings.drift), CollapseWatch(settings.collapse)
    agreement = AgreementWatch(settings.collapse, Metrics(models=(), upstreams=()))
    tail = Tail(_id(folder), current_since(path))
    tail.look(connection)
    for row in chain.from_iterable(iter(partial(tail.rows, connection), [])):
        drift.note(seen_in(row))
        record = record_of(row)
        agreement.count(record)
        plan = record.plan
        if plan is not None and plan.class_ is not None and plan.candidates:
            is_strongest = plan.candidates[0].model == strongest
            collapse.observe(plan.class_, plan.expected_share, is_strongest)
    for rated in tail.ratings(connection):
        drift.rate(rated)
    return all_alarms(collapse.states(), agreement.state(), drift.alarms())


def _asked(settings: ExploreSettings | ShadowSettings, n: int, nusd: int) -> AskedToLearn:
    return AskedToLearn(settings.share, n, usd(nusd), settings.limit_usd_per_day)


def _money(connection: sa.Connection, since: float, now: float) -> Money:
    totals = totals_in(connection, since, now)
    return Money(
        requests=totals.requests,
        errors=totals.errors,
        cost_usd=usd(totals.cost_nusd),
        saved_usd=usd(totals.strongest_nusd - totals.compared_nusd),
    )
