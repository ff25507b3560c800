"""The final answer in a model's response, written so that equal answers are equal texts.

One extractor reads the responses of a table and those of a running gateway, so its name carries a
version: what it gives for a text never changes under one name.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, NoReturn

from equirouter.errors import ConfigError

NO_ANSWER = ""
"""The answer of a response that has none; an answer that is not known is None."""

VERSION = 1
"""Of all extractors here. A change of what any of them gives is a new version."""


@dataclass(frozen=True)
class Extractor:
    """Reads the final answer out of a response.

    spec: `number`, `choice`, `boxed`, `json:/path`, `label` or `exact`.

    >>> make_extractor("number")("So she pays $1,234.50 in total.")
    '1234.5'
    """

    spec: str

    @property
    def name(self) -> str:
        """The spec with its version, as tables and pipelines keep it: "number@1"."""
        return f"{self.spec}@{VERSION}"

    def __call__(self, response: str) -> str:
        """The answer in a response, NO_ANSWER where there is none."""
        kind, _, path = self.spec.partition(":")
        return _read_json(response, path) if kind == "json" else _READERS[kind](response)


def make_extractor(name: str) -> Extractor:
    """The extractor of a spec, or of a name that a table or a pipeline keeps.

    number: the last number; thousands separators, a currency and trailing zeros are dropped, and
    one that is not whole is rounded to six digits, or to two behind the point where that is more.
    choice: the letter A to J that is chosen. boxed: what the last box of LaTeX holds. json:/path:
    the value at a JSON pointer (RFC 6901). label: the whole text in lower case, without the marks
    around it. exact: the whole text without white space around it.
    Raises ConfigError for another spec or version.
    """
    spec, _, version = name.rpartition("@") if re.search(r"@\d+$", name) else (name, "", "")
    if version and int(version) != VERSION:
        raise ConfigError(
            f"answers were read by {name!r}, and this version of equirouter has {spec}@{VERSION}: "
            "read the responses again"
        )
    if not (spec in _READERS or spec == "json:" or spec.startswith("json:/")):
        raise ConfigError(
            f"{name!r} is not an answer extractor: expected {', '.join(_READERS)} or json:/path"
        )
    return Extractor(spec)


_SIGN = r"(?<![\w.])(?:(?<![)\]}])[-+])?"
_EXPONENT = r"(?:[eE][-+]?\d{1,3})?"
_GROUPED = r"\d{1,3}(?:,\d{3}){1,33}(?![\d,]\d)"
_NUMBER = re.compile(rf"{_SIGN}(?:(?:{_GROUPED}|\d+)(?:\.\d+)?|\.\d+){_EXPONENT}")
DIGITS = 6
MOST_DIGITS = 100
"""A number of more is no answer that a person would compare."""
_EXACT = Context(prec=MOST_DIGITS + 10)


def _read_number(response: str) -> str:
    numbers = _NUMBER.findall(_plain_signs(response))
    return _canonical_number(numbers[-1]) if numbers else NO_ANSWER


def _plain_signs(text: str) -> str:
    return text.replace("\N{MINUS SIGN}", "-").replace("$", " ").replace("\\", " ")


def _canonical_number(text: str) -> str:
    """A number as the shortest text of its value."""
    digits = text.replace(",", "")
    if len(digits) > MOST_DIGITS:
        return digits
    value = Decimal(digits)
    if value == 0:
        return "0"
    if value != value.to_integral_value():
        value = Context(prec=max(DIGITS, value.adjusted() + 3)).plus(value)
    value = value.normalize(_EXACT)
    return f"{value:f}" if abs(value.adjusted()) < MOST_DIGITS else str(value)


# Bounded repeats, so that no text takes longer than its length.
_STATED = re.compile(
    r"\b(?i:answer|choice|option)\b(?:\s{1,9}(?i:is|would be))?\s{0,9}[:=]?[\s*\"'`(\[{$]{0,9}"
    r"(?:\\(?:boxed|text|mathbf|textbf)\{){0,2}([A-J])(?![\w'])"
)
_LEADING = re.compile(r"[\s*\"'`(\[]*([A-J])[*\"'`]{0,9}(?:[.:)\]]|[ \t]{0,9}\r?\n)")
_ENCLOSED = re.compile(r"[(\[{]([A-J])[)\]}]|\*\*([A-J])\*\*")
_ALONE = re.compile(r"\s*[*\"'`(\[]*([A-Ja-j])[*\"'`)\].:]*\s*")


def _read_choice(response: str) -> str:
    """The letter that stands alone, or is stated last, or leads, or is set off last."""
    last_line = response.rstrip().rpartition("\n")[2]
    stated = _STATED.findall(response)
    alone, last = _ALONE.fullmatch(response), _ALONE.fullmatch(last_line)
    leading, enclosed = _LEADING.match(response), _ENCLOSED.findall(response)
    if alone:
        return alone.group(1).upper()
    if stated:
        return str(stated[-1])
    line = leading or last
    if line:
        return line.group(1).upper()
    return "".join(enclosed[-1]) if enclosed else NO_ANSWER


_BOXED = "\\boxed{"
_SPACING = re.compile(r"\\[,;:!]|\\(?:left|right)(?![a-zA-Z])|\\(?:text|mathrm)(?=\{)|[\s$]")


def _read_boxed(response: str) -> str:
    start = response.rfind(_BOXED)
    if start < 0:
        return NO_ANSWER
    start += len(_BOXED)
    depth = 1
    for place in range(start, len(response)):
        depth += {"{": 1, "}": -1}.get(response[place], 0)
        if depth == 0:
            return _canonical_latex(response[start:place])
    return NO_ANSWER  # cut off


def _canonical_latex(text: str) -> str:
    plain = _SPACING.sub("", re.sub(r"\\[dt]frac", r"\\frac", text)).rstrip(".")
    while plain.startswith("{") and plain.endswith("}") and "{" not in plain[1:]:
        plain = plain[1:-1]
    return _number_or(plain)


def _number_or(text: str) -> str:
    """A text that is a number and nothing else, as that number; any other as it is."""
    plain = text.strip()
    return _canonical_number(plain) if _NUMBER.fullmatch(plain) else plain


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_int=Decimal, parse_float=Decimal, parse_constant=_no_number)
_FENCED = re.compile(r"```[a-zA-Z]*\n(.*?)```", re.DOTALL)


def fenced(text: str) -> list[str]:
    """The blocks of code in a text of Markdown."""
    return _FENCED.findall(text)


def json_document(response: str) -> Any:  # noqa: ANN401  # any JSON
    """The JSON in a response: all of it, a fenced block, or from { to }.

    Raises ValueError where there is none.
    """
    for text in _with_json(response):
        try:
            return json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            continue
    raise ValueError("there is no JSON in it")


def _with_json(response: str) -> list[str]:
    """The parts of a response that may be JSON, all of it first."""
    inner = response[response.find("{") : response.rfind("}") + 1]
    return [response, *fenced(response)[-1:], inner]


def _read_json(response: str, path: str) -> str:
    """The value at a path of the response's JSON."""
    for text in _with_json(response):
        try:
            return _json_text(_at(_DECODER.decode(text), path))
        except (ValueError, LookupError, RecursionError, ArithmeticError):
            continue
    return NO_ANSWER


def _at(value: object, path: str) -> object:
    """Raises LookupError or ValueError where the path leads nowhere."""
    for step in path.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise LookupError(key)
    return value


def _json_text(value: object) -> str:
    if value is None:
        return NO_ANSWER
    if isinstance(value, str | Decimal):
        return _number_or(str(value))
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=_json_text)


_AROUND = " *_\"'`.,;:!?()[]{}<>“”‘’«»"


def _read_label(response: str) -> str:
    return " ".join(response.casefold().split()).strip(_AROUND)


_READERS: dict[str, Callable[[str], str]] = {
    "number": _read_number,
    "choice": _read_choice,
    "boxed": _read_boxed,
    "label": _read_label,
    "exact": str.strip,
}
