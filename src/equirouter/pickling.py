"""Objects that travel to another process: what they hold open stays behind."""

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
