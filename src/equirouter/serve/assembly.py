"""The parts of the gateway put together from the settings, and taken apart again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from equirouter.serve.app import Gateway
from equirouter.serve.metrics import Metrics
from equirouter.serve.pool import Pool
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.temporary import NamedPlanner, NoAdmission, Nothing
from equirouter.serve.upstream import open_session

__all__ = ["open_gateway"]


@asynccontextmanager
async def open_gateway(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    """A gateway that is ready to serve. Raises UserError for settings that cannot be followed."""
    async with open_session() as session:
        pool = Pool(settings, session)
        metrics = Metrics(models=settings.models, upstreams=settings.upstreams)
        yield Gateway(
            settings,
            pool=pool,
            planner=NamedPlanner(pool),
            admission=NoAdmission(),
            log=Nothing(),
            metrics=metrics,
            events=Nothing(),
        )
