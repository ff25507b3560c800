"""From what a user types to a router: NAME[:PRESET][:key=value ...]."""

import inspect
import json
from typing import Any

from equirouter.errors import ConfigError
from equirouter.registry import ROUTERS
from equirouter.routers.base import Router

__all__ = ["make_router", "router_class"]


def router_class(name: str) -> type[Router]:
    """The class registered under a name. Raises UnknownNameError with the nearest name."""
    loaded: type[Router] = ROUTERS.load(name)
    return loaded


def make_router(spec: str, **settings: Any) -> Router:  # noqa: ANN401
    """An unfitted router, for example "knn", "equirouter:paper" or "equirouter:paper:tie_weight=0".

    spec: a registered name, then a preset, then settings as key=value with JSON values, each
    optional. settings: keyword arguments that count more than the spec's. Raises UnknownNameError
    or ConfigError, which name what was not understood and what is known.
    """
    name, *rest = spec.split(":")
    made = router_class(name)
    chosen: dict[str, Any] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if equals:
            chosen[key] = _value(value)
        elif part in made.presets:
            chosen = dict(made.presets[part]) | chosen
        else:
            raise ConfigError(
                f"{name} has no preset {part!r}: known: {', '.join(made.presets)}; "
                "a setting is written key=value"
            )
    chosen |= settings
    known = list(inspect.signature(made).parameters)
    for key in chosen:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}: known: {', '.join(known) or 'none'}")
    return made(**chosen)


def _value(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a bare word, as in loss=mse
