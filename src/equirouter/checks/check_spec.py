"""From what a user types to a check: NAME[:key=value ...]."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

from equirouter.checks.base import ResponseCheck
from equirouter.checks.model_calls import AskingCheck
from equirouter.errors import ConfigError
from equirouter.registry import CHECKS, Registry, setting_value
from equirouter.routers.settings import check_settings


def make_check(spec: str, **settings: Any) -> ResponseCheck | AskingCheck:  # noqa: ANN401
    """A check, for example "json:schema=answer.json" or "command:run=python tests_pass.py".

    Values are JSON, or texts as they stand. settings: count more than the spec's. Raises
    UnknownNameError and ConfigError, which name the part that is wrong and the known ones.

    >>> from equirouter.checks import Response
    >>> make_check("json")(Response("Name two.", '["a", "b"]'))
    1.0
    """
    check: ResponseCheck | AskingCheck = made_from_spec(CHECKS, spec, settings)
    return check


def signal_checks(specs: Sequence[str]) -> dict[str, ResponseCheck | AskingCheck]:
    """Signal -> its check, for specs with each name once. Raises as make_check."""
    checks: dict[str, ResponseCheck | AskingCheck] = {}
    for spec in specs:
        name = spec.partition(":")[0]
        if name in checks:
            raise ConfigError(f"the check {name} is named twice, and its signal is one column")
        checks[name] = make_check(spec)
    return checks


def made_from_spec(registry: Registry, spec: str, settings: dict[str, Any]) -> Any:  # noqa: ANN401
    """An object of a registered class, by the name and the settings of a spec.

    settings: count more than the spec's; those that the class does not have are left out. Errors:
    as make_check.
    """
    name, _, rest = spec.partition(":")
    kind = registry.load(name)
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
        is_text = known[key].annotation in (str, str | None)  # a text may look like JSON
        chosen[key] = value if is_text else setting_value(value)
    chosen |= {key: value for key, value in settings.items() if key in known}
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in chosen:
            raise ConfigError(f"{name} has no default for {key}: write {name}:{key}=VALUE")
    check_settings(kind, {key: chosen.get(key, known[key].default) for key in known})
    return kind(**chosen)
