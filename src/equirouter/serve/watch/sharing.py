"""Metrics of several workers in one: to be set up before prometheus_client is imported.

Any worker may be asked for the metrics, so all count in files of one folder, and the one that is
asked adds them up: prometheus_client's multi-process mode, which reads PROMETHEUS_MULTIPROC_DIR
when it is imported.
"""

import os
import sys
from pathlib import Path

__all__ = ["are_shared", "share_metrics", "worker_is_gone"]

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(folder: str | Path) -> None:
    """Let this process and those that it starts count together, in files of an empty folder.

    Raises RuntimeError where prometheus_client is already loaded: it would count alone.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("share_metrics comes too late: prometheus_client is already imported")
    os.environ[_FOLDER] = str(folder)


def are_shared() -> bool:
    """Whether the metrics of several processes are added up."""
    return _FOLDER in os.environ


def worker_is_gone(pid: int) -> None:
    """Forget the state of a worker that ended; what it has counted stays."""
    if are_shared():
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
