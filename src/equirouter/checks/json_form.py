"""Whether a response is JSON, and as a schema says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equirouter.answers import json_document
from equirouter.checks.base import Response, ResponseCheck
from equirouter.errors import ConfigError
from equirouter.extras import require


@dataclass(kw_only=True, eq=False)
class JsonCheck(ResponseCheck):
    """1 for JSON that fits the schema, words around a block of it allowed; else 0."""

    schema: str | None = None
    """File of a JSON Schema; needs the extra `grade`. None: any JSON will do."""

    def __post_init__(self) -> None:
        self._validator = None if self.schema is None else schema_validator(Path(self.schema))

    def __call__(self, response: Response) -> float:
        """Read and validate."""
        try:
            document = json_document(response.text)
        except ValueError:
            return 0.0
        return float(self._validator is None or self._validator.is_valid(document))


def schema_validator(path: Path) -> Any:  # noqa: ANN401  # of a package without types
    """A validator of the JSON Schema in a file. Raises ConfigError, MissingExtraError."""
    rules = require("jsonschema_rs", extra="grade", purpose="check answers against a JSON Schema")
    try:
        return rules.validator_for(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (ValueError, rules.ValidationError) as error:
        raise ConfigError(f"{path}: this is no JSON Schema: {error}") from error
