"""aiohttp's runner of a server, with connections of our own before it."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from aiohttp import web

from equirouter.serve.front.asked import Handler
from equirouter.serve.front.plain_connection import Fronts
from equirouter.serve.settings import LimitSettings


class FrontRunner(web.AppRunner):
    """aiohttp's runner with Fronts before its server: see there."""

    def __init__(
        self,
        app: web.Application,
        handlers: Mapping[str, Handler],
        limits: LimitSettings,
        is_draining: Callable[[], bool],
        **options: Any,  # noqa: ANN401  # of AppRunner
    ) -> None:
        super().__init__(app, **options)
        self._fronts = handlers, limits, is_draining

    async def _make_server(self) -> web.Server:
        return cast("web.Server", Fronts(await super()._make_server(), *self._fronts))
