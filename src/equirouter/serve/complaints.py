"""What is wrong with gateway.toml, in words: the place, what was found, and what is known there."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

__all__ = ["in_words"]


def in_words(settings: type[BaseModel], error: ValidationError) -> str:
    """All complaints of a validation, in a line. settings: the class that was validated."""
    return "; ".join(_one(settings, one) for one in error.errors(include_url=False))


def _one(settings: type[BaseModel], one: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    place = ".".join(str(step) for step in one["loc"])
    if one["type"] == "extra_forbidden":
        # its value is not shown: it may be a key, from somebody who thinks that it belongs here
        *above, name = one["loc"]
        return f"{place}: no such setting{_known(settings, above, str(name))}"
    said = str(one["msg"]).removeprefix("Value error, ")
    found = one.get("input")
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
    return f"{place}: {said}{shown}" if place else said


def _known(settings: type[BaseModel], above: Sequence[object], name: str) -> str:
    """Which settings that section has, the nearest one first."""
    section: type[BaseModel] | None = settings
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
