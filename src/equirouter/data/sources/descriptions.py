"""Descriptions of models, for routers that read them: descriptions.toml."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from equirouter.data.outcomes import Outcomes
from equirouter.words import first_of

_TABLE = tomllib.loads(Path(__file__).with_name("descriptions.toml").read_text("utf-8"))

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    _TABLE["descriptions"]
    | {name: _TABLE["descriptions"][other] for name, other in _TABLE["same_model"].items()}
)
"""By the names that RouterBench and RouteLLM give the models."""


def model_texts(outcomes: Outcomes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The text (K,) that stands for each model, and notes for the user on what is missing.

    What the table says of a model comes first, then DESCRIPTIONS; of a model that neither describes
    the name is read, and a note says so.
    """
    given = outcomes.model_descriptions or (None,) * outcomes.n_models
    known = [
        text or DESCRIPTIONS.get(model) for model, text in zip(outcomes.models, given, strict=True)
    ]
    unknown = [model for model, text in zip(outcomes.models, known, strict=True) if text is None]
    texts = tuple(text or model for model, text in zip(outcomes.models, known, strict=True))
    if not unknown:
        return texts, ()
    note = (
        f"no description of {first_of([*map(repr, unknown)])}: routers that read descriptions read "
        "the name instead; give one in a column model_description"
    )
    return texts, (note,)
