"""Access to the gateway itself: /admin and /metrics."""

from aiohttp import web

from equirouter.errors import GatewayError
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.http.local import check_local, is_loopback
from equirouter.serve.money.admission import admin_only

__all__ = ["admin", "metrics_reader"]


async def admin(gateway: Gateway, request: web.Request) -> None:
    """Let an administrator's key in, and without any keys whoever is on this machine.

    Raises GatewayError 401 or 403.
    """
    key = await gateway.admission.authenticate(request.headers)
    admin_only(key)
    if key is not None:
        return
    check_local(request, is_local=True)
    if not _is_here(request):
        raise GatewayError(
            403,
            "without keys /admin is for this machine only: "
            "equirouter keys create gateway.toml --name NAME --admin",
            type_="permission_error",
            code="local_only",
        )


async def metrics_reader(gateway: Gateway, request: web.Request) -> None:
    """Let in who may read the metrics: this machine, an administrator, or all where that is set."""
    if not (gateway.settings.telemetry.metrics_open or _is_here(request)):
        await admin(gateway, request)


def _is_here(request: web.Request) -> bool:
    """Whether a program of this machine asks, and not a proxy on it for somebody else."""
    is_passed_on = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    return is_loopback(request.remote) and not is_passed_on
