"""How long a gateway takes to stop: the parts of that time, and their sums.

Each part is a limit that is kept to, so their sum is one, too. A process ends within
`stop_seconds`; the parent of workers kills one that does not. Whoever stops the gateway from
outside waits for `grace_seconds`: systemd, containers, Kubernetes.
"""

from equirouter.serve.settings import ServerSettings

CUT_SECONDS = 2.0
"""Until requests that were cut off have ended."""
CONNECTION_SECONDS = 1.0
"""Until the connections are closed."""
WRITE_SECONDS = 15.0
"""Until money and log are written."""
THREAD_SECONDS = 2.0
"""Until the decisions and the traces have ended."""
_AROUND_SECONDS = 5.0  # for the parent to see that all workers have ended


def stop_seconds(server: ServerSettings) -> float:
    """Longest time from SIGTERM to the end of a process."""
    after = CUT_SECONDS + CONNECTION_SECONDS + WRITE_SECONDS + THREAD_SECONDS
    return server.shutdown_seconds + after


def grace_seconds(server: ServerSettings) -> float:
    """How long to wait after SIGTERM before the gateway may be killed."""
    return stop_seconds(server) + _AROUND_SECONDS
