"""Several processes that serve on one port, and the one that looks after them.

Each worker has its own socket with SO_REUSEPORT, so the kernel spreads connections over them. The
parent forks them, passes SIGHUP on, starts a new one where one died, and on SIGTERM waits until all
have finished what they were doing. A worker whose parent is gone stops as on SIGTERM.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from equirouter.errors import EquiRouterError, OutputError
from equirouter.serve.run.assembly import has_keys
from equirouter.serve.run.server import SIGNALS, bind, run_server
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.stopping import stop_seconds
from equirouter.serve.watch.logs import set_up_logging
from equirouter.serve.watch.prometheus import worker_is_gone

_LOG = logging.getLogger("equirouter.serve")
LEAST_LIFE_SECONDS = 5.0  # a worker that ends sooner was not able to work
MOST_EARLY_ENDS = 3
LONGEST_PAUSE_SECONDS = 30.0  # until the next try, where other workers serve meanwhile


def run_workers(settings: GatewaySettings, ready: Callable[[str], None]) -> None:
    """Serve with server.workers processes until SIGTERM or SIGINT.

    ready: called with the address when every worker answers requests. Raises EquiRouterError
    where they cannot start.
    """
    secrets = [secret for upstream in settings.upstreams.values() if (secret := upstream.secret())]
    set_up_logging(settings.log, secrets=secrets)
    settings = _safe(settings)
    _take_files()
    host, count = settings.server.host, settings.server.workers
    listener = bind(host, settings.server.port, shared=count > 1)
    port = listener.getsockname()[1]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    with listener:
        if count == 1:
            # it waits until it can be handled: unhandled it would end the process
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
            run_server(settings, listener, lambda: ready(address))
        else:  # it never listens: it keeps the port
            _Parent(settings, host, port).run(lambda: ready(address))


def _take_files() -> None:
    """Let this process, and the workers that it starts, open as many files as the system allows.

    A request takes two connections, and shells and systemd allow 1024 unless asked for more.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says that there is no limit, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _safe(settings: GatewaySettings) -> GatewaySettings:
    """Settings with which nobody else can use a gateway that has no keys.

    Where there are keys they stay needed, even if the last one is revoked while it runs.
    """
    if settings.is_local or settings.keys.required is not None:
        return settings
    if asyncio.run(has_keys(settings)):
        keys = settings.keys.model_copy(update={"required": True})
        return settings.model_copy(update={"keys": keys})
    _LOG.warning(
        "there are no keys, so the gateway listens on 127.0.0.1 and not on %s: "
        "equirouter keys create, then start it again",
        settings.server.host,
    )
    server = settings.server.model_copy(update={"host": "127.0.0.1"})
    return settings.model_copy(update={"server": server})


class _Parent:
    """The process that looks after the workers and answers nothing itself."""

    def __init__(self, settings: GatewaySettings, host: str, port: int) -> None:
        self._settings = settings
        self._host = host
        self._port = port
        self._started: dict[int, float] = {}
        self._early_ends = 0
        self._missing: list[float] = []  # when workers are started that could not work before
        self._gave_up = False
        self._deadline: float | None = None
        # workers read from it, and see its end when this process ends in whatever way
        self._alive, self._life = os.pipe()

    def run(self, ready: Callable[[], None]) -> None:
        # Signals wait until they are asked for, in workers until they can be handled: none is lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, {*SIGNALS, signal.SIGCHLD})
        pipes = [self._start() for _ in range(self._settings.server.workers)]
        words = [_is_ready(pipe) for pipe in pipes]
        has_begun = all(words)
        if has_begun:
            ready()
        else:
            self._stop()
        while self._started:
            self._handle(signal.sigtimedwait({*SIGNALS, signal.SIGCHLD}, 0.5))
        if not has_begun or self._gave_up:
            raise OutputError("the workers could not start; their errors are above")

    def _start(self) -> int:
        """Fork a worker; returns the end of a pipe in which it says that it is ready."""
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            os.close(self._life)
            self._work(write_end)
        os.close(write_end)
        self._started[pid] = time.monotonic()
        return read_end

    def _handle(self, info: "signal.struct_siginfo | None") -> None:
        if info is not None and info.si_signo == signal.SIGHUP:
            self._tell(signal.SIGHUP)
        elif info is not None and info.si_signo != signal.SIGCHLD:
            self._stop()
        if self._deadline is not None and time.monotonic() > self._deadline:
            _LOG.error("workers that did not stop in time are killed: %s", [*self._started])
            self._tell(signal.SIGKILL)
        for pid in list(self._started):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._replace(pid, os.waitstatus_to_exitcode(status))
        if self._deadline is None and self._missing and self._missing[0] < time.monotonic():
            del self._missing[0]
            os.close(self._start())

    def _replace(self, pid: int, code: int) -> None:
        """Start another worker where one ended without being told."""
        lived = time.monotonic() - self._started.pop(pid)
        worker_is_gone(pid)
        if self._deadline is not None:
            return
        self._early_ends = self._early_ends + 1 if lived < LEAST_LIFE_SECONDS else 0
        again = self._early_ends - MOST_EARLY_ENDS
        if again < 0:
            _LOG.error("worker %d ended with %d; another takes its place", pid, code)
            os.close(self._start())
        elif self._started:  # what is wrong now may be right again before they end
            pause = min(2.0 ** min(again, 10), LONGEST_PAUSE_SECONDS)
            _LOG.error(
                "worker %d ended with %d as soon as it started; the others serve on, and it is "
                "tried again in %g s",
                pid,
                code,
                pause,
            )
            self._missing = sorted([*self._missing, time.monotonic() + pause])
        else:
            _LOG.error("workers end as soon as they start: the gateway stops")
            self._gave_up = True
            self._stop()

    def _stop(self) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + stop_seconds(self._settings.server)
            self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for pid in self._started:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _work(self, pipe: int) -> NoReturn:
        """Be a worker."""
        code = 1
        # or it never hears that a process ended that it started, to retrain or to score
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        try:
            listener = bind(self._host, self._port, shared=True)
            run_server(self._settings, listener, lambda: _say_ready(pipe), alive=self._alive)
            code = 0
        except EquiRouterError as error:
            sys.stderr.write(f"error: {error}\n")
        except BaseException:
            _LOG.exception("a worker failed")
        finally:
            sys.stderr.flush()
            os._exit(code)  # what the parent has registered for its own end is not run here


def _say_ready(pipe: int) -> None:
    # nobody listens any more where a worker took another one's place
    with suppress(BrokenPipeError):
        os.write(pipe, b"1")
    os.close(pipe)


def _is_ready(pipe: int) -> bool:
    """Wait for a worker's word; False if it ended without one."""
    try:
        return os.read(pipe, 1) == b"1"
    finally:
        os.close(pipe)
