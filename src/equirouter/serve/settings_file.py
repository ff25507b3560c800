"""gateway.toml read: its errors in words, its paths relative to its folder."""

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from equirouter.errors import ConfigError
from equirouter.serve.settings import GatewaySettings


def read_settings(path: str | Path) -> GatewaySettings:
    """Read gateway.toml; paths in it are relative to its folder.

    Raises ConfigError, which names the setting, what was found and what was expected.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        settings = GatewaySettings.model_validate(document, context=path.parent)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise ConfigError(f"{path}: {'; '.join(map(_in_words, details))}") from error
    url = _absolute_url(settings.store.url, path.parent)
    store = settings.store.model_copy(update={"url": url})
    settings = settings.model_copy(update={"store": store})
    settings._file = path.absolute()
    return settings


def _absolute_url(url: str, folder: Path) -> str:
    """The URL, the file of a SQLite database relative to the folder."""
    kind, slashes, path = url.partition(":///")
    if not (slashes and kind == "sqlite" and path) or Path(path).is_absolute():
        return url
    return f"{kind}:///{(folder / path).absolute()}"


def _in_words(detail: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    """One error of a validation: its place, the value, and the settings known there."""
    place = ".".join(str(step) for step in detail["loc"])
    if detail["type"] == "extra_forbidden":
        # its value is not shown: it may be a key, from somebody who thinks that it belongs here
        *above, name = detail["loc"]
        return f"{place}: no such setting{_known(above, str(name))}"
    if detail["type"] == "missing":
        return f"{place}: missing, and needed; `equirouter serve --example` prints a whole file"
    message = str(detail["msg"]).removeprefix("Value error, ")
    value = detail.get("input")
    shown = f" (found {value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"{place}: {message}{shown}" if place else message


def _known(above: Sequence[object], name: str) -> str:
    """The settings of that section, the nearest one first."""
    section: type[BaseModel] | None = GatewaySettings
    rest = list(above)
    while rest and section is not None:
        field = section.model_fields.get(str(rest.pop(0)))
        section = None if field is None else _section_in(field.annotation, rest)
    if section is None or rest:
        return ""
    known = list(section.model_fields)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f": {hint}known: {', '.join(known)}"


def _section_in(annotation: Any, rest: list[object]) -> type[BaseModel] | None:  # noqa: ANN401
    """The section that a field holds; of a table or a list, its entry is taken off `rest`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        section = _section_in(inner, [])
        if section is not None:
            if get_origin(annotation) in (dict, list) and rest:
                rest.pop(0)
            return section
    return None
