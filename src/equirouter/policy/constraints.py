"""Constraints: which models may answer a query at all, before any policy chooses.

A constraint that cannot be checked is not met: a model is removed if it lacks what is needed, and
also if nobody said whether it has it. Facts about models are read from a file, TOML or JSON, with a
table per model:

["gpt-4-1106-preview"]
context_tokens = 128000
abilities = ["tools", "json"]
regions = ["us"]
"""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from equirouter.errors import ConfigError, DataError

ABILITIES = ("vision", "tools", "json")
"""Images in the query; calls of functions; answers that follow a JSON schema."""


@dataclass(frozen=True)
class ModelFacts:
    """The known facts about a model; None is "not known".

    context_tokens: of query and answer together. abilities: those of ABILITIES that it has, an
    empty set for none of them. regions: where the data of a call may be processed or stored, all of
    them, in words of your own such as "eu"; compared in lower case. Raises ConfigError.
    """

    context_tokens: int | None = None
    abilities: frozenset[str] | None = None
    regions: frozenset[str] | None = None

    def __post_init__(self) -> None:
        _check_tokens(self.context_tokens)
        if self.abilities is not None:
            object.__setattr__(self, "abilities", _abilities(self.abilities))
        if self.regions is not None:
            object.__setattr__(self, "regions", _regions(self.regions))
            if not self.regions:
                raise ConfigError("regions is empty: name at least one, or None for not known")


@dataclass(frozen=True)
class Needs:
    """The requirements of a query on a model; the default requires nothing.

    exclude: names of models. context_tokens: that the model must hold, answer included. abilities:
    that it must have. regions: the only ones that the data may go to; None is anywhere, an empty
    set nowhere. Raises ConfigError.
    """

    exclude: frozenset[str] = frozenset()
    context_tokens: int | None = None
    abilities: frozenset[str] = frozenset()
    regions: frozenset[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "exclude", _names("exclude", self.exclude))
        _check_tokens(self.context_tokens)
        object.__setattr__(self, "abilities", _abilities(self.abilities))
        if self.regions is not None:
            object.__setattr__(self, "regions", _regions(self.regions))

    def joined(self, other: "Needs") -> "Needs":
        """Both at once: what meets it meets either."""
        tokens = [n for n in (self.context_tokens, other.context_tokens) if n is not None]
        regions = [allowed for allowed in (self.regions, other.regions) if allowed is not None]
        return Needs(
            exclude=self.exclude | other.exclude,
            context_tokens=max(tokens, default=None),
            abilities=self.abilities | other.abilities,
            regions=frozenset.intersection(*regions) if regions else None,
        )


def facts_to(facts: ModelFacts | None) -> dict[str, Any] | None:
    """The facts as JSON can hold them; None where nothing is known."""
    if facts is None:
        return None
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in asdict(facts).items()
    }


def removed_by(
    needs: Needs, models: Sequence[str], facts: Mapping[str, ModelFacts]
) -> dict[str, str]:
    """The models that must not answer, in the order of models, each with the reason in words.

    facts: by name; a model without any is one of which nothing is known. What is needed and not
    known is a reason.
    Raises ConfigError for an excluded name that no model has.
    """
    check_names(needs.exclude, models, what="exclude")
    removed = {}
    for model in models:
        reasons = _reasons(needs, facts.get(model, ModelFacts()))
        if model in needs.exclude:
            reasons.insert(0, "excluded by name")
        if reasons:
            removed[model] = "; ".join(reasons)
    return removed


def check_names(names: Iterable[str], models: Sequence[str], *, what: str) -> None:
    """Raise ConfigError, with the nearest names, for a name that none of the models has."""
    for name in sorted(set(names) - set(models)):
        near = get_close_matches(name, models, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ConfigError(
            f"{what}: no model named {name!r}; {hint or 'the models are ' + ', '.join(models)}"
        )


def _reasons(needs: Needs, facts: ModelFacts) -> list[str]:
    reasons = []
    tokens, most = needs.context_tokens, facts.context_tokens
    if tokens is not None and most is None:
        reasons.append(_unknown("context_tokens"))
    elif tokens is not None and most is not None and tokens > most:
        reasons.append(f"context_tokens: {tokens} needed, {most} at most")
    if needs.abilities and facts.abilities is None:
        reasons.append(_unknown("abilities"))
    elif facts.abilities is not None and (missing := needs.abilities - facts.abilities):
        reasons.append(f"abilities: no {', no '.join(sorted(missing))}")
    if needs.regions is not None and facts.regions is None:
        reasons.append(_unknown("regions"))
    elif needs.regions is not None and facts.regions is not None:
        outside = facts.regions - needs.regions
        if outside:
            allowed = ", ".join(sorted(needs.regions)) or "none"
            reasons.append(f"regions: {', '.join(sorted(outside))}, allowed {allowed}")
    return reasons


def _unknown(what: str) -> str:
    return f"{what}: not known, state it in model_facts (--model-facts FILE)"


def _abilities(given: Iterable[str]) -> frozenset[str]:
    abilities = _names("abilities", given)
    unknown = sorted(abilities - set(ABILITIES))
    if unknown:
        raise ConfigError(f"abilities: {unknown[0]!r} is none; expected {', '.join(ABILITIES)}")
    return abilities


def _regions(given: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in _names("regions", given))


def _names(what: str, given: Iterable[object]) -> frozenset[str]:
    if isinstance(given, str):  # whose letters would be taken for names
        raise ConfigError(f"{what} is {given!r}: expected a set of names, such as {{{given!r}}}")
    names = set()
    for name in given:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"{what}: {name!r} is not a name")
        names.add(name.strip())
    return frozenset(names)


def _check_tokens(given: object) -> None:
    if given is not None and (not isinstance(given, int) or given is True or given < 1):
        raise ConfigError(f"context_tokens is {given!r}: expected a whole number of 1 or more")


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
