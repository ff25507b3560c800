"""The settings tried without serving: keys, prices and the pipeline are there."""

import asyncio
from typing import Any

from equirouter.serve.settings import GatewaySettings

__all__ = ["check_settings"]


def check_settings(settings: GatewaySettings) -> dict[str, Any]:
    """Put the gateway together as for serving; returns what it would serve.

    Raises UserError that names the setting which cannot be followed.
    """
    from equirouter.serve.assembly import open_gateway

    async def opened() -> dict[str, Any]:
        async with open_gateway(settings) as gateway:
            return {
                "models": {
                    route.model: {
                        "upstream": route.upstream_name,
                        "input_usd_per_mtok": route.price.input_usd_per_mtok,
                        "output_usd_per_mtok": route.price.output_usd_per_mtok,
                    }
                    for route in gateway.pool.routes.values()
                },
                "pipeline": None if settings.pipeline.path is None else str(settings.pipeline.path),
                "is_local": settings.is_local,
            }

    return asyncio.run(opened())
