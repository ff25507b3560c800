"""The models of the pool, each with its upstream, its price and whether it can be called now.

A guard stands before each upstream: a circuit breaker, a limit on calls at once, one per minute.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from equirouter.cost.prices import Price
from equirouter.errors import NotCalledError
from equirouter.serve.call.client.pool import HttpClient
from equirouter.serve.call.parameters import Fitting, RefusedParameters, fitting
from equirouter.serve.call.translation import TranslatingUpstream
from equirouter.serve.call.upstream import HttpUpstream, Upstream
from equirouter.serve.charging import model_prices
from equirouter.serve.settings import GatewaySettings, ModelSettings, UpstreamSettings

CircuitState: TypeAlias = Literal["closed", "open", "half-open"]

WINDOW_SECONDS = 60.0


class Guard:
    """Lets calls of one upstream through, or says why not.

    The circuit opens after breaker_failures failures in a row and lets nothing through for
    breaker_seconds. Then one call is let through as a probe: it closes the circuit or opens it for
    as long again. A probe that takes longer than that is no reason to wait: the next one follows.
    clock: seconds that only go forward. told: hears of every change of state.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[CircuitState], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._told = told
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._probing_until: float | None = None
        self._slots = (
            None
            if settings.max_concurrency is None
            else asyncio.BoundedSemaphore(settings.max_concurrency)
        )
        self._starts: deque[float] = deque()

    @property
    def state(self) -> CircuitState:
        """Of the circuit."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half-open"

    def why_not(self) -> str | None:
        """None if a call would be let through by the circuit, else the reason."""
        if self._open_until is None:
            return None
        now = self._clock()
        left = self._open_until - now
        if left > 0:
            return f"circuit open for {left:.1f} s after {self._failures} failures in a row"
        is_probing = self._probing_until is not None and now < self._probing_until
        return "circuit half-open, a probe is under way" if is_probing else None

    async def enter(self, wait_seconds: float) -> None:
        """Take a slot for one call, waiting at most so long. Raises NotCalledError.

        Whoever entered calls `leave`, whatever happens.
        """
        reason = self.why_not()
        if reason is not None:
            left = (self._open_until or 0.0) - self._clock()
            raise NotCalledError(reason, max(left, 1.0))
        is_probe = self._open_until is not None
        if is_probe:
            self._probing_until = self._clock() + self._settings.breaker_seconds
            self._told("half-open")
        try:
            await self._take_turn(wait_seconds)
        except BaseException:
            if is_probe:
                self._probing_until = None
            raise

    def leave(self) -> None:
        """The call is over."""
        if self._slots is not None:
            self._slots.release()

    def judge(self, is_healthy: bool | None) -> None:
        """Count a call for the circuit; None: it says nothing, the client hung up."""
        was_probe, self._probing_until = self._probing_until is not None, None
        if is_healthy:
            self._failures = 0
            if self._open_until is not None:
                self._open_until = None
                self._told("closed")
        elif is_healthy is False:
            self._failures += 1
            if was_probe or self._failures >= self._settings.breaker_failures:
                self._open_until = self._clock() + self._settings.breaker_seconds
                self._told("open")

    async def _take_turn(self, wait_seconds: float) -> None:
        if self._slots is not None and wait_seconds <= 0 and self._slots.locked():
            raise NotCalledError(f"{self._settings.max_concurrency} calls are under way", 1.0)
        limit = self._settings.requests_per_minute
        if limit is None:
            await self._take_slot(wait_seconds)
            return
        start = self._start(limit, wait_seconds)
        try:
            wait = start - self._clock()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._take_slot(wait_seconds)
        except BaseException:
            with suppress(ValueError):  # a call that is not made counts nothing
                self._starts.remove(start)
            raise

    async def _take_slot(self, wait_seconds: float) -> None:
        if self._slots is None:
            return
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise NotCalledError(
                f"{self._settings.max_concurrency} calls were under way for {wait_seconds} s", 1.0
            ) from None

    def _start(self, limit: int, wait_seconds: float) -> float:
        """Book the next start within the limit per minute; returns when that is."""
        now = self._clock()
        while self._starts and self._starts[0] <= now - WINDOW_SECONDS:
            self._starts.popleft()
        start = now
        if len(self._starts) >= limit:
            start = max(now, self._starts[-limit] + WINDOW_SECONDS)
        if start - now > wait_seconds:
            raise NotCalledError(f"{limit} calls in the last minute", start - now)
        self._starts.append(start)
        return start


@dataclass(frozen=True, slots=True)
class Route:
    """How a model of the pool is reached. upstream_model: its name there.

    fitting: what is changed in a request for it.
    """

    model: str
    upstream_model: str
    upstream_name: str
    upstream: Upstream
    upstream_settings: UpstreamSettings
    settings: ModelSettings
    guard: Guard
    price: Price
    fitting: Fitting


class ModelPool:
    """All models of the pool. told: hears of every change of an upstream's circuit.

    refused: what models refused of late. http: the upstreams that are not of kind "litellm". Raises
    ConfigError for a key or a price that is not there.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        client: HttpClient,
        *,
        told: Callable[[str, CircuitState], None] = lambda _name, _state: None,
    ) -> None:
        prices = model_prices(settings)
        self.regions = settings.limits.regions
        self.refused = RefusedParameters()
        self.guards = {
            name: Guard(upstream, told=partial(told, name))
            for name, upstream in settings.upstreams.items()
        }
        most_bytes = settings.limits.max_answer_bytes
        upstreams = {
            name: _upstream(upstream, client) for name, upstream in settings.upstreams.items()
        }
        self.http = {
            name: upstream
            for name, upstream in upstreams.items()
            if isinstance(upstream, HttpUpstream)
        }
        self.routes: dict[str, Route] = {}
        for name, model in settings.models.items():
            known, fitted = settings.upstreams[model.upstream], fitting(name, settings)
            upstream = upstreams[model.upstream]
            if not (known.responses and known.messages):
                upstream = TranslatingUpstream(upstream, known, fitted, most_bytes=most_bytes)
            self.routes[name] = Route(
                model=name,
                upstream_model=model.upstream_model or name,
                upstream_name=model.upstream,
                upstream=upstream,
                upstream_settings=known,
                settings=model,
                guard=self.guards[model.upstream],
                price=prices[name],
                fitting=fitted,
            )

    def available(self, model: str) -> str | None:
        """None if a model can be called now, else why not."""
        return self.routes[model].guard.why_not()


def _upstream(settings: UpstreamSettings, client: HttpClient) -> Upstream:
    if settings.kind == "litellm":
        from equirouter.serve.call.litellm_sdk import LiteLLMUpstream

        return LiteLLMUpstream(settings)
    return HttpUpstream(settings, client)
