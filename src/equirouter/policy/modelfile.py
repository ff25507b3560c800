"""Facts about models from a file, TOML or JSON: a table per model.

["gpt-4-1106-preview"]
context_tokens = 128000
abilities = ["tools", "json"]
regions = ["us"]
"""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equirouter.errors import ConfigError, DataError
from equirouter.policy.constraints import ModelFacts, check_names

__all__ = ["read_model_facts"]

FIELDS = ("context_tokens", "abilities", "regions")


def read_model_facts(path: str | Path, models: Sequence[str]) -> dict[str, ModelFacts]:
    """Read the facts about some of these models, by name; a field that is left out is not known.

    Raises DataError for a file that cannot be read or is neither TOML nor JSON, ConfigError for
    a name that none of the models has, an unknown field, or a value that makes no sense.
    """
    path = Path(path)
    document = _document(path)
    check_names(document, models, what=str(path))
    return {model: _facts(f"{path}: {model}", table) for model, table in document.items()}


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    is_json = path.suffix.lower() == ".json"
    try:
        document = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:  # of either parser
        raise DataError(f"{path}: not {'JSON' if is_json else 'TOML'}: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected a table per model, found {type(document).__name__}")
    return document


def _facts(place: str, table: object) -> ModelFacts:
    if not isinstance(table, dict):
        raise ConfigError(f"{place}: expected a table of {', '.join(FIELDS)}, found {table!r}")
    unknown = sorted(set(table) - set(FIELDS))
    if unknown:
        raise ConfigError(f"{place}: no field {unknown[0]!r}; expected {', '.join(FIELDS)}")
    for name in ("abilities", "regions"):
        if not isinstance(table.get(name, []), list):
            raise ConfigError(f"{place}: {name} is {table[name]!r}; expected a list of names")
    try:
        return ModelFacts(**table)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
