"""The parts of the gateway put together from the settings, and taken apart again."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial

from aiohttp import web

from equirouter import __version__
from equirouter.cost.prices import Price
from equirouter.errors import StoreGoneError
from equirouter.pipeline.evidence import latest_versions
from equirouter.pipeline.versions import PipelineVersions
from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.model_pool import ModelPool
from equirouter.serve.dashboard import View, dashboard_routes
from equirouter.serve.http.admin import admin_routes, key_routes
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.http.reply_checks import ReplyChecks
from equirouter.serve.money.admission import Admission
from equirouter.serve.money.api_keys import any_keys
from equirouter.serve.money.day_limit import DayLimit, Till
from equirouter.serve.money.feedback import Feedback
from equirouter.serve.money.store.engine import BUSY_SECONDS
from equirouter.serve.money.store.learned import learned_in
from equirouter.serve.money.store.migrate import check_store, migrate
from equirouter.serve.money.store.reports import StoreReports
from equirouter.serve.money.store.store import Store, connected
from equirouter.serve.money.writer import Writer
from equirouter.serve.plan.cascades import cascade_note
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.plan.explore import Explorer, Shadows
from equirouter.serve.plan.loading import follow
from equirouter.serve.plan.planner import RoutingPlanner
from equirouter.serve.records import RequestRecord
from equirouter.serve.run.canary import CanaryKeeper
from equirouter.serve.run.drift_watch import DriftKeeper
from equirouter.serve.run.retraining import RetrainClock, ScoreClock
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.stopping import THREAD_SECONDS, WRITE_SECONDS, grace_seconds
from equirouter.serve.watch.drift import Alarm
from equirouter.serve.watch.events import Hub
from equirouter.serve.watch.prometheus import Metrics
from equirouter.serve.watch.tracing import Tracer

_LOG = logging.getLogger("equirouter.serve")


@asynccontextmanager
async def open_gateway(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    """A gateway that is ready to serve. Raises UserError for settings that cannot be followed."""
    async with open_parts(settings) as parts:
        whole = _Whole(settings, parts, await Store.open(settings.store))
        works = (*whole.works(), *(limit.keep() for limit in whole.limits.values()))
        beside = [asyncio.create_task(work) for work in works]
        try:
            yield whole.gateway()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            with suppress(StoreGoneError):  # what is left of a day's money then counts as spent
                await asyncio.gather(*(limit.close() for limit in whole.limits.values()))
            await _close(whole.store, parts)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a gateway that keep nothing: they decide, call and count."""

    pool: ModelPool
    checks: ReplyChecks
    decider: DecisionThread | None
    planner: RoutingPlanner
    metrics: Metrics
    tracer: Tracer | None


@asynccontextmanager
async def open_parts(settings: GatewaySettings) -> AsyncIterator[Parts]:
    """The parts that need no store. Raises UserError for settings that cannot be followed."""
    metrics = Metrics(
        models=settings.models,
        upstreams=settings.upstreams,
        by_key=settings.telemetry.metrics_by_key,
    )
    tracer = Tracer.from_settings(settings)
    async with HttpClient() as client:
        pool = ModelPool(settings, client, told=metrics.breaker)
        decider = _decider(settings, metrics)
        prices = {name: route.price for name, route in pool.routes.items()}
        _compare_prices(prices, decider)
        if settings.canary.version not in (None, "latest") and settings.pipeline.path is not None:
            PipelineVersions(settings.pipeline.path).path(settings.canary.version)
        checks = ReplyChecks(settings, pool)

        def tell() -> None:
            note = _cascade(settings, decider, checks)
            if note is not None:
                _LOG.log(logging.INFO if note[1] else logging.WARNING, note[0])

        tell()
        planner = RoutingPlanner(settings, prices, pool.available, decider, metrics, told=tell)
        try:
            yield Parts(pool, checks, decider, planner, metrics, tracer)
        finally:
            checks.close()
            metrics.count()


def _decider(settings: GatewaySettings, metrics: Metrics) -> DecisionThread | None:
    if settings.pipeline.path is None:
        return None
    return DecisionThread(settings.pipeline, tuple(settings.models), metrics)


def _cascade(
    settings: GatewaySettings, decider: DecisionThread | None, checks: ReplyChecks
) -> tuple[str, bool] | None:
    """The note on cascades, None where they are off."""
    if not settings.cascade.enabled or decider is None:
        return None
    loaded = decider.loaded
    expensive = checks.too_expensive(loaded.strongest)
    return cascade_note(settings.cascade, loaded.pipeline.plans, checks.names, expensive)


def _compare_prices(prices: Mapping[str, Price], decider: DecisionThread | None) -> None:
    """Say where calls are paid at another price than the one by which they are decided."""
    if decider is None:
        return
    for known in decider.loaded.pipeline.prices:
        paid = prices.get(known.model)
        if paid is not None and known.now is not None and paid != known.now:
            _LOG.warning(
                "models.%s: its calls are counted at %s, and decided at %s, the price in the "
                "pipeline; `equirouter models price` changes that one",
                known.model,
                paid,
                known.now,
            )


class _Whole:
    """A gateway with its store, and what goes on beside the requests."""

    def __init__(self, settings: GatewaySettings, parts: Parts, store: Store) -> None:
        self.settings, self.parts, self.store = settings, parts, store
        self.started = time.time()
        self.reports = StoreReports(store.database)
        self.hub = Hub(self.reports)
        self.admission = Admission(store, settings.keys)
        self.retraining = RetrainClock(settings, parts.metrics.retrained)
        self.canary: CanaryKeeper | None = None
        self.drift: DriftKeeper | None = None
        path, decider, metrics = settings.pipeline.path, parts.decider, parts.metrics
        if path is not None and decider is not None:
            if settings.canary.version is not None:
                self.canary = CanaryKeeper(
                    settings.canary, PipelineVersions(path), store, decider, parts.planner, metrics
                )
            if settings.drift.enabled:
                self.drift = DriftKeeper(settings.drift, path, store.database, decider, metrics)
        self.limits = {
            name: DayLimit(
                section.limit_usd_per_day if section.share else None, Till(name, store.database)
            )
            for name, section in (("explore", settings.explore), ("shadow", settings.shadow))
        }
        shadows = Shadows(settings.shadow, self.limits["shadow"]) if settings.shadow.share else None
        self.shadows = shadows
        self.scoring = ScoreClock(settings, None if shadows is None else lambda: shadows.answered)

    def gateway(self) -> Gateway:
        settings, parts = self.settings, self.parts
        explore = settings.explore
        return Gateway(
            settings,
            pool=parts.pool,
            checks=parts.checks,
            planner=parts.planner,
            admission=self.admission,
            log=_counted(self.store.writer, parts.metrics),
            feedback=Feedback(self.store),
            metrics=parts.metrics,
            events=self.hub,
            tracer=parts.tracer,
            explorer=Explorer(explore, self.limits["explore"]) if explore.share else None,
            shadows=self.shadows,
            routes=self.routes(),
            fault=self.store.fault,
        )

    def works(self) -> Iterator[Coroutine[None, None, None]]:
        """Work that goes on beside the requests."""
        yield self.parts.metrics.keep()
        if self.canary is not None:
            yield self.canary.run()
        if self.drift is not None:
            yield self.drift.run()
        if self.settings.pipeline.path is not None:
            yield follow(self.settings.pipeline.path, self.parts.planner.reload)
            yield self.retraining.run()
        yield self.scoring.run()

    def routes(self) -> list[web.RouteDef]:
        """The dashboard, and what administrators ask for."""
        settings = self.settings
        routes = [
            *admin_routes(self.status, self.reload),
            *key_routes(self.store.database, settings.models, settings.limits, self.admission),
        ]
        return routes + (dashboard_routes(self.view()) if settings.telemetry.dashboard else [])

    def status(self) -> dict[str, object]:
        store, parts = self.store, self.parts
        return {
            "version": __version__,
            "started_at": self.started,
            "workers": self.settings.server.workers,
            "log_queued": store.writer.queued,
            "log_dropped": store.writer.dropped,
            "store_failing": store.lost() or store.writer.failing,
            "pipeline": parts.planner.status(),
            "retrain": self.retraining.last,
            "canary": self.canary_state(),
            "shadow_scores": self.scoring.last,
            "alarms": [asdict(alarm) for alarm in self.watched() if alarm.is_on],
            "refused_parameters": parts.pool.refused.document(),
        }

    def canary_state(self) -> dict[str, object] | None:
        return None if self.canary is None else self.canary.state.document()

    def watched(self) -> list[Alarm]:
        return self.parts.planner.alarms(() if self.drift is None else self.drift.alarms())

    async def reload(self, force: bool) -> dict[str, object]:
        taken = await self.parts.planner.reload(force=force)
        if self.settings.server.workers > 1:
            os.kill(os.getppid(), signal.SIGHUP)  # the parent tells all workers, this one too
        return {"pipeline": taken}

    def view(self) -> View:
        """The dashboard, with all that it shows."""
        settings, pool, planner = self.settings, self.parts.pool, self.parts.planner
        database = self.store.database
        return View(
            self.reports,
            self.hub,
            models=sorted(pool.routes, key=lambda name: _price_rank(pool.routes[name].price)),
            strongest=lambda: planner.strongest,
            collapse=planner.collapse.states,
            agreement=planner.agreement.state,
            alarms=self.parts.metrics.alarms,
            collapse_settings=settings.collapse,
            watched=self.watched,
            versions=partial(latest_versions, settings.pipeline.path),
            canary=self.canary_state,
            learned=lambda since, until: database.read(learned_in, since, until),
            explore=settings.explore,
            shadow=settings.shadow,
            breakers=lambda: {name: guard.state for name, guard in pool.guards.items()},
            status=self.status,
        )


def _price_rank(price: Price) -> float:
    return price.input_usd_per_mtok + price.output_usd_per_mtok


def _counted(writer: Writer, metrics: Metrics) -> Callable[[RequestRecord], None]:
    """The store's log; what it has no room for is counted."""
    dropped = 0

    def log(record: RequestRecord) -> None:
        nonlocal dropped
        writer.log(record)
        if writer.dropped != dropped:
            metrics.log_dropped(writer.dropped - dropped)
            dropped = writer.dropped

    return log


async def _close(store: Store, parts: Parts) -> None:
    """End all parts within their times; money and log first."""
    try:
        # cut off in a transaction, the store still waits for that
        async with asyncio.timeout(WRITE_SECONDS - BUSY_SECONDS):
            await store.close((WRITE_SECONDS - BUSY_SECONDS) / 2)
    except (StoreGoneError, TimeoutError) as error:
        why = str(error) or "it takes too long"
        _LOG.error("the store cannot be written, and what it had not yet is lost: %s", why)
    if parts.decider is not None:
        await parts.decider.close()
    if parts.tracer is not None:
        # nobody may listen any more: that is no reason to fail, or to wait for it
        sending = threading.Thread(target=parts.tracer.close, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, THREAD_SECONDS / 2)


async def has_keys(settings: GatewaySettings) -> bool:
    """Whether requests need a key. Raises ConfigError where the store cannot be opened."""
    if settings.keys.required is not None:
        return settings.keys.required
    async with connected(settings.store) as database:
        await migrate(database)
        return await database.read(any_keys)


@dataclass(frozen=True)
class ServedModel:
    """A model that would be served: who is asked for it, and its prices."""

    upstream: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float


@dataclass(frozen=True)
class CheckedSettings:
    """The models and the pipeline that would be served, as settings say.

    cascade: a note on answers that are compared, None where there is none to make. models: by name.
    pipeline: its folder. is_local: whether only this machine can reach it. grace_seconds: how long
    it takes to stop at most.
    """

    cascade: str | None
    models: Mapping[str, ServedModel]
    pipeline: str | None
    is_local: bool
    grace_seconds: float


def check_settings(settings: GatewaySettings) -> CheckedSettings:
    """Put together what decides and calls, and look at the store; returns what would be served.

    Nothing is changed: the store is neither made nor brought up to date. Raises UserError that
    names the setting which cannot be followed.
    """

    async def opened() -> CheckedSettings:
        async with open_parts(settings) as parts, connected(settings.store) as database:
            await check_store(database)
            note = _cascade(settings, parts.decider, parts.checks)
            return CheckedSettings(
                cascade=None if note is None else note[0],
                models={
                    route.model: ServedModel(
                        route.upstream_name,
                        route.price.input_usd_per_mtok,
                        route.price.output_usd_per_mtok,
                    )
                    for route in parts.pool.routes.values()
                },
                pipeline=None if settings.pipeline.path is None else str(settings.pipeline.path),
                is_local=settings.is_local,
                grace_seconds=grace_seconds(settings.server),
            )

    return asyncio.run(opened())
