"""JSON: valid, as a schema says, with the fields of the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equirouter.answers import json_document
from equirouter.checks.json_form import schema_validator
from equirouter.errors import DataError
from equirouter.labelling.graders.base import Case, EachGrader, Grade


@dataclass(kw_only=True, eq=False)
class JsonGrader(EachGrader):
    """0 where the answer is no JSON, or breaks the schema; else the share of right fields.

    An answer may have words around a block of JSON. Where there is a reference, an object of JSON,
    the score is the share of its fields, those of objects within it too, that the answer has with
    equal values; else 1.
    """

    schema: str | None = None
    """File of a JSON Schema that the answer must fit; needs the extra `grade`."""

    def __post_init__(self) -> None:
        self._validator: Any = None if self.schema is None else schema_validator(Path(self.schema))

    def one(self, case: Case) -> Grade:
        """Read, validate, compare. Raises DataError for a reference that is no JSON."""
        right = None if case.reference is None else self._right(case.query_id, case.reference)
        try:
            document = json_document(case.answer)
        except ValueError:
            return Grade(0.0, "no JSON")
        if self._validator is not None and not self._validator.is_valid(document):
            return Grade(0.0, "breaks the schema")
        if right is None:
            return Grade(1.0)
        given = dict(_leaves(document))
        equal = sum(path in given and _is_same(given[path], right[path]) for path in right)
        return Grade(equal / len(right))

    @staticmethod
    def _right(query_id: str, reference: str) -> dict[str, Any]:
        try:
            return dict(_leaves(json_document(reference)))
        except ValueError:
            raise DataError(
                f"query {query_id!r}: the reference {reference!r} is no JSON, which json compares "
                "with; leave it out to score the form alone, or compare texts by exact or contains"
            ) from None


def _leaves(document: Any, path: str = "") -> "list[tuple[str, Any]]":  # noqa: ANN401  # any JSON
    """Path -> value of all that is no object."""
    if not isinstance(document, Mapping) or not document:
        return [(path, document)]
    return [leaf for name, value in document.items() for leaf in _leaves(value, f"{path}/{name}")]


def _is_same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Whether two values of JSON are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
