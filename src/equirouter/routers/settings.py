"""The settings of a router: which there are, what each means, and whether a value fits.

A setting is a field of the router's dataclass. Its annotation says which values it takes, in
types of Python and pydantic (`PositiveInt`, `Literal["a", "b"]`, `Annotated[float, Field(lt=1)]`),
and the docstring under it says what it means.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, TypeAlias, cast, get_type_hints

from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError

from equirouter.errors import ConfigError
from equirouter.registry import ROUTERS

LARGEST = 2**31 - 1
"""Of a whole number: what the libraries that fit can count in."""

Iterations: TypeAlias = Annotated[int, Field(ge=1, le=100_000)]
"""A setting that counts how often a fit goes over its data; more is a slip of the keyboard, and
would not end."""

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "null": "null",
}


@dataclass(frozen=True)
class Setting:
    """One setting of a router: its name, the values it takes in words, and what it means.

    meaning is empty where the class has no docstring under the field.
    """

    name: str
    type: str
    default: Any
    meaning: str

    @property
    def required(self) -> bool:
        """Whether a router cannot be made without it."""
        return self.default is inspect.Parameter.empty


def settings_of(kind: type) -> tuple[Setting, ...]:
    """The settings of a router's class, its own before those that it inherits.

    A class with an `__init__` of its own has the annotations of that in place of types.
    """
    adapters, meanings = _adapters(kind), _docstrings(kind)
    settings = [
        Setting(
            name,
            _in_words(adapters[name].json_schema())
            if name in adapters
            else inspect.formatannotation(parameter.annotation),
            parameter.default,
            meanings.get(name, ""),
        )
        for name, parameter in inspect.signature(kind).parameters.items()
    ]
    declared = {
        name: depth
        for depth, base in enumerate(kind.__mro__)
        for name in inspect.get_annotations(base)
    }
    return tuple(sorted(settings, key=lambda setting: declared.get(setting.name, 0)))


def check_settings(kind: type, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError unless every setting of a router's class is of its type and in its range.

    Types are taken strictly: 2.0 is no whole number, true is no number, NaN fits nowhere.
    """
    for name, adapter in _adapters(kind).items():
        value = settings[name]
        place = f"{ROUTERS.name_of(kind)}: {name} is {value!r}: expected"
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ConfigError(f"{place} {_in_words(adapter.json_schema())}") from error
        numbers = value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(number, int) and abs(number) > LARGEST for number in numbers):
            raise ConfigError(f"{place} a whole number of at most {LARGEST}")


def check_plain(kind: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, if a saved pipeline may carry them: numbers, truth values and named choices.

    A text that the class does not list could name a file, a host or code, so it is neither saved
    nor read. Raises ConfigError.
    """
    for name, value in settings.items():
        adapter = _adapters(kind).get(name)
        choices = () if adapter is None else _choices(adapter.json_schema())
        if not _is_plain(value, choices):
            raise ConfigError(
                f"{ROUTERS.name_of(kind)}: {name} is {value!r}: a saved pipeline carries numbers, "
                "true, false, null, and texts that the class lists as Literal, because any other "
                "text could name a file, a host or code"
            )
    return dict(settings)


def _is_plain(value: object, choices: Sequence[object]) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item, choices) for item in value)
    return value is None or isinstance(value, bool | int | float) or value in choices


def _choices(schema: Mapping[str, Any]) -> list[object]:
    """The texts that a JSON schema lists."""
    choices = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    inner = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    return [*choices, *(choice for part in inner for choice in _choices(part))]


@cache
def _adapters(kind: type) -> Mapping[str, TypeAdapter[Any]]:
    """A check for each field; none for a class that is no dataclass."""
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind, include_extras=True)
    try:
        return {field.name: TypeAdapter(hints[field.name], config=STRICT) for field in fields(kind)}
    except PydanticUserError as error:
        raise ConfigError(
            f"{kind.__name__} has a setting of a type that cannot be checked, and could not be "
            f"saved: {error.message}"
        ) from error


def _docstrings(kind: type) -> dict[str, str]:
    """Field -> the docstring under it, on one line; a subclass may say it anew."""
    meanings: dict[str, str] = {}
    for base in filter(is_dataclass, reversed(kind.__mro__)):
        try:
            source = inspect.getsource(base)
        except OSError:  # typed into an interpreter
            continue
        body = cast(ast.ClassDef, ast.parse(textwrap.dedent(source)).body[0]).body
        for field, text in pairwise(body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(meaning))),
                ):
                    meanings[name] = " ".join(meaning.split())
    return meanings


def _in_words(schema: Mapping[str, Any]) -> str:
    """A JSON schema of a setting as an English phrase."""
    if "anyOf" in schema:
        return ", or ".join(map(_in_words, schema["anyOf"]))
    if "enum" in schema:
        *most, last = map(str, schema["enum"])
        return f"{', '.join(most)} or {last}"
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type", "")
    if kind == "array":
        empty = "" if schema.get("minItems", 0) == 0 else " that is not empty"
        return f"a list{empty}, each item {_in_words(schema['items'])}"
    bounds = {name: schema[name] for name in BOUNDS if name in schema}
    if kind == "integer" and "exclusiveMinimum" in bounds:
        bounds = {"minimum": bounds.pop("exclusiveMinimum") + 1} | bounds
    limits = " and ".join(f"{BOUNDS[name]} {bound:g}" for name, bound in bounds.items())
    return ", ".join(filter(None, (KINDS.get(kind, "any value"), limits)))
