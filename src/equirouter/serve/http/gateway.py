"""The gateway: its parts in one object, which every handler is given."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from equirouter.serve.call.model_pool import ModelPool
from equirouter.serve.chat import ChatRequest
from equirouter.serve.contracts import Gatekeeper, Planner
from equirouter.serve.http.reply_checks import ReplyChecks
from equirouter.serve.money.feedback import Feedback
from equirouter.serve.plan.explore import Explorer, Shadows
from equirouter.serve.records import Key, Plan, RequestControl, RequestRecord
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.stopping import CUT_SECONDS
from equirouter.serve.watch.events import Hub
from equirouter.serve.watch.logs import LOGGER, log_request
from equirouter.serve.watch.prometheus import Metrics
from equirouter.serve.watch.tracing import Tracer


@dataclass(eq=False)
class Gateway:
    """All that answers requests, made of its parts.

    log: keeps a finished request, and never blocks. explorer, shadows: None where no other model
    answers to learn of it. routes: of parts that have pages of their own; under /admin they are for
    administrators. fault: why no new requests are welcome, None if they are.
    """

    settings: GatewaySettings
    pool: ModelPool
    checks: ReplyChecks
    planner: Planner
    admission: Gatekeeper
    log: Callable[[RequestRecord], None]
    feedback: Feedback
    metrics: Metrics
    events: Hub
    tracer: Tracer | None = None
    explorer: Explorer | None = None
    shadows: Shadows | None = None
    routes: Sequence[web.RouteDef] = ()
    fault: Callable[[], str | None] = lambda: None
    is_draining: bool = False
    is_cutting: bool = False
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._listeners: tuple[Callable[[RequestRecord], None], ...] = (
            self.planner.finished,
            *(() if self.explorer is None else (self.explorer.finished,)),
            self.log,
            self.metrics.observe,
            self.events.publish,
            log_request,
        )

    def explored(
        self, plan: Plan, chat: ChatRequest, control: RequestControl, key: Key | None
    ) -> Plan:
        """The plan, or now and then one with another model first: see Explorer."""
        return plan if self.explorer is None else self.explorer.drawn(plan, chat, control, key)

    def withdrawn(self, plan: Plan) -> Plan:
        """The router's own plan, in place of one with another model first."""
        assert self.explorer is not None  # noqa: S101  # it made that plan
        return self.explorer.withdrawn(plan)

    def runs(self) -> None:
        """The current task answers a request: it is waited for when the gateway stops."""
        task = asyncio.current_task()
        if task is not None and task not in self._running:
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on with the work on a request that is answered; it counts as running."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            LOGGER.error("work after an answer failed", exc_info=task.exception())

    async def stop(self) -> None:
        """Wait for running requests, for server.shutdown_seconds, and cut off those that are left.

        While is_cutting a request that ends early was ended by the gateway, not by its client.
        """
        await self.events.close()  # else the live feeds would never end
        seconds = self.settings.server.shutdown_seconds
        await self._all_ended(seconds)
        self.is_cutting = True
        if self._running:
            LOGGER.warning(
                "%d running requests are cut off after %g s", len(self._running), seconds
            )
        for task in self._running:
            task.cancel()
        await self._all_ended(CUT_SECONDS)

    async def _all_ended(self, seconds: float) -> None:
        """Wait until no request runs, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._running:
                    await asyncio.wait(self._running)

    def finished(self, record: RequestRecord, headers: Mapping[str, str]) -> None:
        """A request is over: log it, count it, tell who watches, once its answer is on its way.

        headers: the client's.
        """
        asyncio.get_running_loop().call_soon(self._tell, record, headers)

    def _tell(self, record: RequestRecord, headers: Mapping[str, str]) -> None:
        for tell in self._listeners:
            try:
                tell(record)
            except Exception:  # none of them may take the others' word, or the client's answer
                LOGGER.exception("work after a request failed")
        if self.tracer is not None:
            try:
                self.tracer.record(record, headers)
            except Exception:  # as above
                LOGGER.exception("the trace of a request failed")
