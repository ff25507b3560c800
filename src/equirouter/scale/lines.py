"""JSON lines of queries in, each line with its decision out."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import orjson

from equirouter.errors import DataError
from equirouter.pipeline.decision import Ask, ByModel, Decision
from equirouter.pipeline.pipeline import STREAMED_AT_ONCE
from equirouter.scale.asked_rows import FIELDS, Asking, Decide, decided_at

_MARK = b"\xef\xbb\xbf"  # that some programs begin a file with


def decided_lines(
    lines: Iterable[tuple[str, bytes]],
    asking: Asking,
    decide: Decide,
    keep: Sequence[str] | None = None,
) -> Iterator[list[bytes]]:
    """Each line as it came, with the fields of its decision behind its own; blank ones left out.

    lines: each with its place in words. keep: of a line's own fields, None for all of them. Results
    come in blocks of lines, in order. Raises DataError that names the place for a line that is no
    object or cannot be asked.
    """
    read = _read(lines, asking, keep)
    while block := list(islice(read, STREAMED_AT_ONCE)):
        places, written, asks = zip(*block, strict=True)
        decisions = decided_at(places, asks, decide)
        yield [
            b"%b,%b\n" % (line[:-1], orjson.dumps(decision_fields(decision))[1:])
            for line, decision in zip(written, decisions, strict=True)
        ]


def decision_fields(decision: Decision) -> dict[str, Any]:
    """The fields of a decision; JSON has no infinity: the value is null where nothing limits."""
    fields: dict[str, Any] = dict(zip(FIELDS, decision, strict=False))
    for name in ("scores", "predicted_costs_usd", "removed"):
        numbers = fields[name]
        fields[name] = numbers.as_dict() if isinstance(numbers, ByModel) else dict(numbers)
    if not math.isfinite(decision.value):
        fields["value"] = None
    return fields


def _read(
    lines: Iterable[tuple[str, bytes]], asking: Asking, keep: Sequence[str] | None
) -> Iterator[tuple[str, bytes, Ask]]:
    for place, raw in lines:
        line = raw.strip()
        if not line:
            continue
        if line.startswith(_MARK):
            line = line[len(_MARK) :]
        ask = asking.ask(read_line(line, place, asking.text), place)
        if keep is not None:
            whole = _parse_exactly(line, place)
            line = json.dumps({name: whole.get(name) for name in keep}).encode()
        yield place, line, ask


def read_line(line: bytes, place: str, text: str) -> dict[str, Any]:
    """The object of a line. text: the field of the query. Raises DataError that names the place."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = _parse_exactly(line, place)
    if not isinstance(row, dict):
        kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
        kind = kinds.get(type(row), "a number")
        raise DataError(f'{place}: the line is {kind}; expected {{"{text}": "..."}}')
    return row


def _parse_exactly(line: bytes, place: str) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Python's own reader: it says what is wrong, and takes half a surrogate pair."""
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: byte {error.start} is not valid UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON; write null")
