"""From what a user types to a grader: NAME[:key=value ...]."""

import inspect
import json
import re
from typing import Any

from equirouter.errors import ConfigError
from equirouter.labelling.graders.base import Grader
from equirouter.registry import GRADERS
from equirouter.routers.settings import check_settings

__all__ = ["make_grader", "split_specs"]


def make_grader(spec: str, **settings: Any) -> Grader:  # noqa: ANN401
    """A grader, for example "exact" or "number:tolerance=0.01".

    Values are JSON, or texts as they stand. settings: count more than the spec's. Raises
    UnknownNameError and ConfigError, which name the part that is wrong and the known ones.

    >>> make_grader("number:tolerance=0.01").tolerance
    0.01
    """
    name, _, rest = spec.partition(":")
    kind: type[Grader] = GRADERS.load(name)
    known = inspect.signature(kind).parameters
    # a colon or a comma may belong to a value, as in a pattern: settings begin with a known name
    names = "|".join(map(re.escape, known)) or "$^"
    chosen: dict[str, Any] = {}
    for part in filter(None, re.split(rf":(?=(?:{names})=|[a-z_]+=)", rest)):
        key, equals, value = part.partition("=")
        if not equals or key not in known:
            raise ConfigError(
                f"{name} has no setting {key!r}: known: {', '.join(known) or 'none'}; a setting is "
                "written key=value"
            )
        chosen[key] = _value(value)
    chosen |= {key: value for key, value in settings.items() if key in known}
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in chosen:
            raise ConfigError(f"{name} has no default for {key}: write {name}:{key}=VALUE")
    check_settings(kind, {key: chosen.get(key, known[key].default) for key in known})
    return kind(**chosen)


def split_specs(text: str) -> list[str]:
    """The specs in a list with commas; a comma in a setting belongs to it."""
    names = "|".join(map(re.escape, GRADERS.names()))
    return [part.strip() for part in re.split(rf",(?=\s*(?:{names})(?:[:,]|\s*$))", text)]


def _value(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
