"""From what a user types to a router: NAME[:PRESET][:key=value ...], or FILE.py:CLASS[...]."""

import inspect
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from equirouter.errors import ConfigError
from equirouter.registry import ROUTERS, setting_value
from equirouter.routers.base import Router
from equirouter.routers.settings import check_plain


def make_router(spec: str, **settings: Any) -> Router:  # noqa: ANN401
    """An unfitted router, for example "knn", "equirouter:paper" or "equirouter:paper:tie_weight=0".

    spec: a registered name, or a class in a file as "path/to/file.py:MyRouter"; then a preset, then
    settings as key=value with JSON values, each optional. settings: keyword arguments that count
    more than the spec's. Raises UnknownNameError or ConfigError, which name the part that is wrong
    and the known ones. Whoever names a file runs it, so a spec must not come from data.

    >>> make_router("knn:k=5").settings["k"]
    5
    """
    name, *rest = _parts(spec)
    kind = router_class(name)
    chosen: dict[str, Any] = {}
    preset: Mapping[str, Any] | None = None
    for part in rest:
        key, equals, value = part.partition("=")
        if key in chosen or (not equals and preset is not None):
            raise ConfigError(f"{spec}: expected one preset at most, and each setting once")
        if equals:
            chosen[key] = setting_value(value)
        elif part in kind.presets:
            preset = kind.presets[part]
        else:
            raise ConfigError(
                f"{name} has no preset {part!r}: known: {', '.join(kind.presets)}; "
                "a setting is written key=value"
            )
    return _made(name, kind, {**(preset or {}), **chosen, **settings})


def registered_router(name: str, settings: dict[str, Any]) -> Router:
    """An unfitted router of a registered name, from what a saved pipeline says; no file is run.

    Raises UnknownNameError for another name, ConfigError for settings that the router refuses or
    that a saved pipeline cannot carry.
    """
    kind = ROUTERS.load(name)
    return _made(name, kind, check_plain(kind, settings))


def check_registered(spec: str) -> None:
    """Raise ConfigError for a router that a saved pipeline could not name, or not its settings."""
    name = _parts(spec)[0]
    if _is_file(name):
        raise ConfigError(
            f"{name}: a saved pipeline could not load a router from a file; register the class by "
            "an entry point in the group equirouter.routers of a package, or measure it "
            "with `equirouter bench`"
        )
    check_plain(router_class(name), make_router(spec).settings)


def router_class(name: str) -> type[Router]:
    """The class of a registered name, or of FILE.py:CLASS.

    Raises UnknownNameError with the nearest name, ConfigError for a file without such a router.
    """
    if not _is_file(name):
        registered: type[Router] = ROUTERS.load(name)
        return registered
    file, _, class_name = name.partition(":")
    kind = _class_in(Path(file).resolve(), class_name)
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise ConfigError(f"{name} is not complete: it lacks {missing}")
    return kind


def _parts(spec: str) -> list[str]:
    """The name, then presets and settings; a file and its class are one name."""
    name, *rest = spec.split(":")
    if name.endswith(".py") and rest:
        return [f"{name}:{rest[0]}", *rest[1:]]
    return [name, *rest]


def _is_file(name: str) -> bool:
    return name.partition(":")[0].endswith(".py")


@cache
def _class_in(path: Path, class_name: str) -> type[Router]:
    """A router's class in a file of Python, which is run once."""
    module_name = f"{path.stem} in {path.parent}"  # no module that is imported has such a name
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a router in a file is written FILE.py:CLASS")
    spec = spec_from_file_location(module_name, path)
    if module_name not in sys.modules and spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses and type hints look their module up there
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # the file may do anything
            del sys.modules[module_name]
            raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    classes = {
        name: kind
        for name, kind in vars(sys.modules[module_name]).items()
        if isinstance(kind, type) and issubclass(kind, Router) and kind.__module__ == module_name
    }
    if class_name not in classes:
        known = ", ".join(classes) or "none"
        raise ConfigError(
            f"{path} has no router {class_name!r}: routers in it: {known}; a router in a file is "
            "written FILE.py:CLASS"
        )
    return classes[class_name]


def _made(name: str, kind: type[Router], settings: dict[str, Any]) -> Router:
    known = inspect.signature(kind).parameters
    for key in settings:
        if key not in known:
            raise ConfigError(f"{name} has no setting {key!r}: known: {', '.join(known) or 'none'}")
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in settings:
            raise ConfigError(f"{name} has no default for {key}: write {name}:{key}=VALUE")
    return kind(**settings)
