"""JSON: valid, as a schema says, with the fields of the reference."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equirouter.answers import make_extractor
from equirouter.checks.json_form import schema_validator
from equirouter.labelling.graders.base import Case, EachGrader, Grade

_WHOLE = make_extractor("json:")


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
        """Read, validate, compare."""
        text = _WHOLE(case.answer)
        try:
            document = json.loads(text)
        except ValueError:
            return Grade(0.0, "no JSON")
        if self._validator is not None and not self._validator.is_valid(document):
            return Grade(0.0, "breaks the schema")
        if case.reference is None:
            return Grade(1.0)
        right = dict(_leaves(json.loads(_WHOLE(case.reference) or "null")))
        given = dict(_leaves(document))
        return Grade(sum(given.get(path) == right[path] for path in right) / len(right))


def _leaves(document: Any, path: str = "") -> "list[tuple[str, Any]]":  # noqa: ANN401  # any JSON
    """Path -> value of all that is no object."""
    if not isinstance(document, Mapping) or not document:
        return [(path, document)]
    return [leaf for name, value in document.items() for leaf in _leaves(value, f"{path}/{name}")]
