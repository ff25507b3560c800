"""One process that serves: listens, drains on SIGTERM, reloads on SIGHUP."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from equirouter.errors import OutputError, UserError
from equirouter.serve.front.plain_connection import IDLE_SECONDS
from equirouter.serve.front.runner import FrontRunner
from equirouter.serve.http.endpoints import make_app, plain_handlers
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.run.assembly import open_gateway
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.stopping import CONNECTION_SECONDS, stop_seconds

_LOG = logging.getLogger("equirouter.serve")
BACKLOG = 1024
ACCEPTING_TURNS = 3
"""Of the event loop, before a listener is closed: connections that wait in it would be reset."""

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""More than were made than dropped. At 700, Python's default, collections are 5 % of a request at
64 at once: they walk over all that is under way, and find next to nothing."""
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def run_server(
    settings: GatewaySettings,
    listener: socket.socket,
    ready: Callable[[], None],
    *,
    alive: int | None = None,
) -> None:
    """Serve in this process on a bound socket until SIGTERM or SIGINT.

    ready: called when requests are answered. alive: a file that comes to its end when this process
    should stop, too.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, listener, ready, alive))


async def _serve(
    settings: GatewaySettings,
    listener: socket.socket,
    ready: Callable[[], None],
    alive: int | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if alive is not None:
        loop.add_reader(alive, stop.set)
    async with open_gateway(settings) as gateway:
        reload = _Reload(gateway)
        loop.add_signal_handler(signal.SIGHUP, reload.begin)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        runner = make_runner(gateway)
        await runner.setup()
        try:
            site = web.SockSite(runner, listener, backlog=BACKLOG)
            await site.start()
            # What is there now stays: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
            ready()
            await stop.wait()
            gateway.is_draining = True
            for _ in range(ACCEPTING_TURNS):
                await asyncio.sleep(0)
            await site.stop()
            _LOG.info(
                "stopping: no new connections; running requests may go on for %g s, and the "
                "process ends within %g s",
                settings.server.shutdown_seconds,
                stop_seconds(settings.server),
            )
        finally:
            await runner.cleanup()
            if alive is not None:
                loop.remove_reader(alive)


class _Reload:
    """Takes the pipeline again when it is told to; what that comes to is in the log."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def begin(self) -> None:
        """Reload, once more if one is under way: the folder may have changed meanwhile."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._gateway.planner.reload()
            except UserError as error:
                _LOG.error("nothing is reloaded: %s", error)
            except Exception:
                _LOG.exception("the pipeline cannot be reloaded; the old one goes on")


def bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket that is bound and does not listen yet; shared: by several processes.

    Raises OutputError where the address cannot be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OutputError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The event loop of uvloop; asyncio's own where uvloop does not exist (Windows)."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _quiet_logger() -> logging.Logger:
    """The logger of aiohttp's server: without what anybody could fill the log with.

    Bytes that are no HTTP are answered with a 400; that says enough.
    """
    logger = logging.getLogger("equirouter.serve.http")
    logger.addFilter(_is_our_failure)
    return logger


def _is_our_failure(record: logging.LogRecord) -> bool:
    wrong = (HttpProcessingError, web.RequestPayloadError)
    return not (record.exc_info and isinstance(record.exc_info[1], wrong))


def make_runner(gateway: Gateway) -> FrontRunner:
    """The server around a gateway; its `cleanup` stops it within the times of stopping.py."""
    settings = gateway.settings
    return FrontRunner(
        make_app(gateway),
        plain_handlers(gateway),
        settings.limits,
        lambda: gateway.is_draining,
        handler_cancellation=True,  # a client that hangs up cancels the call of the upstream
        access_log=None,
        logger=_quiet_logger(),
        auto_decompress=False,  # a body that would need it is refused before it is read
        shutdown_timeout=CONNECTION_SECONDS / 2,  # twice; requests were waited for before
        max_line_size=settings.limits.max_header_bytes,
        max_field_size=settings.limits.max_header_bytes,
        keepalive_timeout=IDLE_SECONDS,
        tcp_keepalive=True,
    )
