"""The dashboard behind a server on 127.0.0.1, in a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from aiohttp import web

from equirouter.errors import GatewayError
from equirouter.pipeline.evidence import DescribedVersion, Evidence
from equirouter.serve.dashboard import View, dashboard_routes
from equirouter.serve.learning_settings import ExploreSettings
from equirouter.serve.money.store.learned import Learned, Learning
from equirouter.serve.money.store.reports import Logged
from equirouter.serve.watch.collapse_alarm import AgreementState, CollapseState
from equirouter.serve.watch.drift import Alarm, all_alarms
from equirouter.serve.watch.events import Hub
from tests.serve.reports_made import MadeReports
from tests.serve.traffic_made import POOL, STRONGEST

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CALM = {
    "auto": CollapseState(500, 0.196, 0.18, evidence=0.02),
    "budget up to 0.002": CollapseState(241, 0.05, 0.04),
    "quality 0.98": CollapseState(31, 0.35, 0.42),
    "lambda up to 50": CollapseState(120, 0.1, None),
}
COLLAPSED = CALM | {"auto": CollapseState(500, 0.682, 0.18, is_alarm=True, evidence=1.0)}


EVIDENCE = Evidence(
    data="mine",
    n_rows=None,
    n_queries=1840,
    quality=0.95,
    confidence=0.9,
    expected_cost=0.31,
    n_tested=None,
    kept=0.981,
    interval=None,
    cost=0.312,
)
NEWEST = DescribedVersion(
    version="0003",
    current=False,
    canary=True,
    made_at=datetime(2026, 11, 28, 3, tzinfo=UTC),
    made_by="ada",
    how="retrain",
    refused=None,
    damaged=None,
    evidence=EVIDENCE,
)
VERSIONS = [
    NEWEST,
    replace(
        NEWEST,
        version="0002",
        canary=False,
        refused="quality: the interval begins at -0.041",
        evidence=replace(EVIDENCE, n_queries=1610, kept=0.962, cost=None, expected_cost=0.27),
    ),
    replace(
        NEWEST,
        version="0001",
        current=True,
        canary=False,
        how="train",
        evidence=replace(EVIDENCE, n_queries=1420, kept=0.974, cost=0.334),
    ),
]
CANARY = {
    "version": "0003",
    "over": "0001",
    "share": 0.1,
    "state": "running",
    "why": None,
    "evidence": {
        "cost": {"n": (4410, 490), "mean": (1.02, 0.94), "worse": 0.0, "not_worse": 0.62},
        "errors": {"n": (4410, 490), "mean": (0.006, 0.0082), "worse": 0.08, "not_worse": 0.4},
        "feedback": {"n": (402, 0), "mean": (0.27, None), "worse": 0.0, "not_worse": 0.0},
    },
}
LEARNED = Learning(
    (
        Learned("gpt-5", 41, 12, 310_000_000, 95_000_000, 21, 0.81, 0.86),
        Learned("claude-haiku-4-5", 96, 0, 88_000_000, 0, 22, 0.74),
    ),
    queries=12,
    complete=9,
)
DRIFT = (
    Alarm("long answers", "gpt-5", True, 0.38, 0.15, 212, 1.0),
    Alarm("errors", "gpt-5", True, 0.25, 0.02, 55, 1.0),
    Alarm("far queries", "", False, 0.04, 0.01, 500, 0.31),
    Alarm("slow", "gpt-5", False, 0.09, 0.15, 500, 0.0),
)


@dataclass
class Made:
    """What is shown, and may be changed while it is. key: what /admin asks for."""

    entries: Sequence[Logged] = ()
    collapse: Mapping[str, CollapseState] = field(default_factory=lambda: CALM)
    alarms: frozenset[str] = frozenset()
    breakers: Mapping[str, str] = field(
        default_factory=lambda: dict.fromkeys(
            ("anthropic", "ollama", "openai", "together"), "closed"
        )
    )
    pacing: Mapping[str, float] | None = None
    versions: Sequence[DescribedVersion] = ()
    canary: Mapping[str, object] | None = None
    learned: Learning = field(default_factory=Learning)
    drift: Sequence[Alarm] = ()
    key: str | None = None
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.reports = MadeReports(self.entries)
        self.hub = Hub(self.reports, pause_seconds=0.0, poll_seconds=0.05)

    async def _learned(self, since: float, until: float) -> Learning:
        del since, until
        return self.learned

    def app(self) -> web.Application:
        """An application with the routes of the dashboard, and the check before /admin."""
        view = View(
            reports=self.reports,
            hub=self.hub,
            models=POOL,
            strongest=lambda: STRONGEST,
            collapse=lambda: self.collapse,
            alarms=lambda: self.alarms,
            watched=lambda: all_alarms(self.collapse, AgreementState(), self.drift),
            versions=lambda: self.versions,
            canary=lambda: None if self.canary is None else dict(self.canary),
            learned=self._learned,
            explore=ExploreSettings(share=0.02 if self.learned.models else 0, limit_usd_per_day=5),
            breakers=lambda: self.breakers,
            status=lambda: {
                "version": "0.1.0",
                "pipeline": {"id": "5d1c07a2", "pacing": self.pacing},
                "workers": 2,
                "store_failing": None,
            },
            clock=self.clock,
            keep_seconds=0.0,
        )

        @web.middleware
        async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
            said = request.headers.get("Authorization")
            is_admin = self.key is None or said == f"Bearer {self.key}"
            if request.path.startswith("/admin") and not is_admin:
                return web.json_response({"error": {"message": "no admin key"}}, status=401)
            try:
                return await handler(request)
            except GatewayError as error:
                return web.json_response(error.body(), status=error.status)

        async def stop(_: web.Application) -> None:
            await self.hub.close()

        app = web.Application(middlewares=[checked])
        app.add_routes(dashboard_routes(view))
        app.on_shutdown.append(stop)
        return app


@contextmanager
def served(made: Made) -> Iterator[str]:
    """The address of a server that shows what was made."""
    loop = asyncio.new_event_loop()
    address: list[str] = []
    is_ready = threading.Event()
    stopping = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(made.app(), shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        address.append(f"http://{host}:{port}")
        is_ready.set()
        await stopping.wait()
        await runner.cleanup()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    is_ready.wait()
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
