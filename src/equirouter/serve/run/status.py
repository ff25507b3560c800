"""How the loop stands, read from the store and the pipeline's folder: no gateway needs to run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from equirouter.pipeline.folder import digest_of_description, read_description
from equirouter.pipeline.stored import described
from equirouter.pipeline.versions import (
    PipelineVersions,
    current_folder,
    current_since,
    last_retraining,
)
from equirouter.serve.learning_settings import ExploreSettings, ShadowSettings
from equirouter.serve.money.store.canaries import Reader, latest_trial
from equirouter.serve.money.store.learned import learned_in
from equirouter.serve.money.store.log_columns import record_of
from equirouter.serve.money.store.reports import totals_in
from equirouter.serve.money.store.tail import Tail, seen_in
from equirouter.serve.records import usd
from equirouter.serve.run.canary import compared, tally, trial_document
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.watch.collapse_alarm import AgreementWatch, CollapseWatch
from equirouter.serve.watch.drift import Alarm, DriftWatch, all_alarms
from equirouter.serve.watch.prometheus import Metrics

_DAY = 86_400


def status_of(connection: sa.Connection, settings: GatewaySettings, now: float) -> dict[str, Any]:
    """As JSON: pipeline, canary, alarms, exploration and shadow answers of today, money, retrain.

    Alarms are what the log of the current version says, an even sample of it where it is long. Days
    are in UTC. now: Unix seconds. Raises PipelineError.
    """
    path = settings.pipeline.path
    alarms = [] if path is None else _alarms(connection, settings, path)
    return {
        "pipeline": None if path is None else _pipeline(path),
        "canary": _canary(connection, settings),
        "alarms": [asdict(alarm) for alarm in alarms if alarm.is_on],
        "watched": len(alarms),
        **_learning(connection, settings, now),
        "money": {
            name: _money(connection, since, now)
            for name, since in (("today", now // _DAY * _DAY), ("30 days", now - 30 * _DAY))
        },
        "retrain": None
        if path is None or settings.retrain.every is None
        else {"every": settings.retrain.every, "last_at": last_retraining(path) or None},
    }


def _pipeline(path: Path) -> dict[str, Any]:
    versions = PipelineVersions(path)
    history = versions.history
    return {
        "path": str(path),
        "id": _id(current_folder(path)),
        "current": versions.current,
        "since": current_since(path) or None,
        "versions": len(versions.names),
        "last": history[-1].model_dump(mode="json", exclude={"figures"}) if history else None,
    }


def _id(folder: Path) -> str:
    return digest_of_description(read_description(folder))[:12]


def _canary(connection: sa.Connection, settings: GatewaySettings) -> dict[str, Any] | None:
    version = settings.canary.version
    if version is None:
        return None
    trial = latest_trial(connection, version)
    if trial is None:
        return {"version": version, "state": "not begun", "why": None}
    test = compared(trial, settings.canary)
    tally(trial, test, Reader(trial))(connection)
    return trial_document(trial, test.evidence())


def _alarms(connection: sa.Connection, settings: GatewaySettings, path: Path) -> list[Alarm]:
    """The alarms on the log of the current version."""
    folder = current_folder(path)
    strongest = described(folder).baseline.strongest
    drift, collapse = DriftWatch(settings.drift), CollapseWatch(settings.collapse)
    agreement = AgreementWatch(settings.collapse, Metrics(models=(), upstreams=()))
    rows, ratings = Tail(_id(folder), current_since(path)).read(connection)
    for row in rows:
        drift.note(seen_in(row))
        record = record_of(row)
        agreement.count(record)
        plan = record.plan
        if plan is not None and plan.class_ is not None and plan.candidates:
            is_strongest = plan.candidates[0].model == strongest
            collapse.observe(plan.class_, plan.expected_share, is_strongest)
    for rated in ratings:
        drift.rate(rated)
    return all_alarms(collapse.states(), agreement.state(), drift.alarms())


def _learning(
    connection: sa.Connection, settings: GatewaySettings, now: float
) -> dict[str, dict[str, Any]]:
    """The cost of exploration and shadow answers today, and what they taught in 30 days."""
    today = learned_in(connection, now // _DAY * _DAY, now).models

    def of(chosen: ExploreSettings | ShadowSettings, n: int, nusd: int) -> dict[str, Any]:
        limit = chosen.limit_usd_per_day
        figures = {"share": chosen.share, "requests": n, "cost_usd": usd(nusd)}
        return {**figures, "limit_usd_per_day": limit}

    return {
        "explore": of(
            settings.explore,
            sum(learned.explored for learned in today),
            sum(learned.explored_nusd for learned in today),
        ),
        "shadow": of(
            settings.shadow,
            sum(learned.shadow for learned in today),
            sum(learned.shadow_nusd for learned in today),
        ),
        "learned": learned_in(connection, now - 30 * _DAY, now).document(),
    }


def _money(connection: sa.Connection, since: float, now: float) -> dict[str, Any]:
    totals = totals_in(connection, since, now)
    return {
        "requests": totals.requests,
        "errors": totals.errors,
        "cost_usd": usd(totals.cost_nusd),
        "saved_usd": usd(totals.strongest_nusd - totals.compared_nusd),
    }
