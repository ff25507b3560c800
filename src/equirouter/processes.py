"""Work in several processes: how many pay, and objects that travel to another one."""

import os
from functools import cached_property
from typing import Any


class WithoutCached:
    """Pickled and copied without what its cached properties keep, which is made again when asked.

    So an open model, a client or a path of this machine is a cached property, and whatever else an
    instance has is data.
    """

    def __getstate__(self) -> dict[str, Any]:
        kind = type(self)
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(kind, name, None), cached_property)
        }


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; elsewhere a process may use them all
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
