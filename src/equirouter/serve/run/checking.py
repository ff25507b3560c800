"""The settings tried without serving: keys, prices and the pipeline are there."""

import asyncio
from typing import Any

from equirouter.errors import ConfigError, StoreGoneError
from equirouter.serve.settings import GatewaySettings

__all__ = ["check_settings"]


def check_settings(settings: GatewaySettings) -> dict[str, Any]:
    """Put together what decides and calls, and look at the store; returns what would be served.

    Nothing is changed: the store is neither made nor brought up to date. Raises UserError that
    names the setting which cannot be followed.
    """
    from equirouter.serve.money.store.migrate import check_store
    from equirouter.serve.money.store.store import open_database
    from equirouter.serve.run.assembly import open_parts

    async def opened() -> dict[str, Any]:
        async with open_parts(settings) as parts:
            database = open_database(settings.store)
            try:
                await check_store(database)
            except StoreGoneError as error:
                raise ConfigError(
                    f"the store {database.shown} cannot be opened: {error}"
                ) from error
            finally:
                await database.close()
            return {
                "models": {
                    route.model: {
                        "upstream": route.upstream_name,
                        "input_usd_per_mtok": route.price.input_usd_per_mtok,
                        "output_usd_per_mtok": route.price.output_usd_per_mtok,
                    }
                    for route in parts.pool.routes.values()
                },
                "pipeline": None if settings.pipeline.path is None else str(settings.pipeline.path),
                "is_local": settings.is_local,
            }

    return asyncio.run(opened())
