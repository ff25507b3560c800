"""The models of the pool, each with its upstream, its price and whether it can be called now."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import aiohttp

from equirouter.cost.prices import Price
from equirouter.serve.call.breaker import CircuitState, Guard
from equirouter.serve.call.translation import TranslatingUpstream
from equirouter.serve.call.upstream import HttpUpstream, Upstream
from equirouter.serve.charging import model_prices
from equirouter.serve.settings import GatewaySettings, ModelSettings, UpstreamSettings

__all__ = ["ModelPool", "Route"]


@dataclass(frozen=True, slots=True)
class Route:
    """How a model of the pool is reached. upstream_model: its name there."""

    model: str
    upstream_model: str
    upstream_name: str
    upstream: Upstream
    upstream_settings: UpstreamSettings
    settings: ModelSettings
    guard: Guard
    price: Price


class ModelPool:
    """All models of the pool. told: hears of every change of an upstream's circuit.

    Raises ConfigError for a key or a price that is not there.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        session: aiohttp.ClientSession,
        *,
        told: Callable[[str, CircuitState], None] = lambda _name, _state: None,
    ) -> None:
        prices = model_prices(settings)
        self.regions = settings.limits.regions
        self.guards = {
            name: Guard(upstream, told=partial(told, name))
            for name, upstream in settings.upstreams.items()
        }
        most_bytes = settings.limits.max_answer_bytes
        upstreams = {
            name: _upstream(upstream, session, most_bytes)
            for name, upstream in settings.upstreams.items()
        }
        self.routes = {
            name: Route(
                model=name,
                upstream_model=model.upstream_model or name,
                upstream_name=model.upstream,
                upstream=upstreams[model.upstream],
                upstream_settings=settings.upstreams[model.upstream],
                settings=model,
                guard=self.guards[model.upstream],
                price=prices[name],
            )
            for name, model in settings.models.items()
        }

    def available(self, model: str) -> str | None:
        """None if a model can be called now, else why not."""
        return self.routes[model].guard.why_not()


def _upstream(
    settings: UpstreamSettings, session: aiohttp.ClientSession, most_bytes: int
) -> Upstream:
    if settings.kind == "litellm":
        from equirouter.serve.call.litellm_sdk import LiteLLMUpstream

        upstream: Upstream = LiteLLMUpstream(settings)
    else:
        upstream = HttpUpstream(settings, session)
    if settings.responses:
        return upstream
    return TranslatingUpstream(upstream, settings, most_bytes=most_bytes)
