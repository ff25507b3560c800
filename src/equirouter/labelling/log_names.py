"""Names of models in a log that are not names of the pool: which models they may be.

A log has the name that a provider answered with, such as gpt-4o-mini-2024-07-18; a pool may have
openai/gpt-4o-mini. They are never taken for one by themselves: the price and the parameters may
differ.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from equirouter.data.query_table import AskedQuery
from equirouter.errors import ConfigError
from equirouter.serve.settings import GatewaySettings

_OF_BEDROCK = re.compile(r"^(?:[a-z]+\.)+|-v\d+(?::\d+)?$|:[a-z]+$")
_DATE = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|latest)$")
_MARKS = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class OtherName:
    """A model of the log that is not in the pool. answers: of it in the log.

    likely: models of the pool that it may be, none for no idea.
    """

    name: str
    answers: int
    likely: tuple[str, ...]


def other_names(asked: Sequence[AskedQuery], settings: GatewaySettings) -> tuple[OtherName, ...]:
    """The models of a log that answered and are not in the pool, most answers first."""
    counts = Counter(
        str(query.model) for query in asked if query.model and query.answer is not None
    )
    pool = {name: model for name, model in settings.models.items() if model.kind == "chat"}
    return tuple(
        OtherName(
            name,
            n,
            tuple(
                known
                for known, model in pool.items()
                if _plain(name) in {_plain(known), _plain(model.upstream_model or known)}
            ),
        )
        for name, n in counts.most_common()
        if name not in pool
    )


def under_pool_names(
    asked: Sequence[AskedQuery], same: Mapping[str, str], settings: GatewaySettings
) -> list[AskedQuery]:
    """The queries with the names of the pool. same: name in the log -> name in the pool.

    Raises ConfigError for a name that is in neither.
    """
    in_log = {query.model for query in asked if query.model}
    for logged, known in same.items():
        if known not in settings.models:
            raise ConfigError(
                f"--same {logged}={known}: {known} is not in the pool, whose models are "
                f"{', '.join(settings.models)}"
            )
        if logged not in in_log:
            names = ", ".join(sorted(in_log)) or "nobody: it has no column model"
            raise ConfigError(f"--same {logged}={known}: in these queries answered {names}")
    return [replace(query, model=same.get(query.model or "", query.model)) for query in asked]


def _plain(name: str) -> str:
    """A name without its provider, date and punctuation."""
    last = _OF_BEDROCK.sub("", name.rpartition("/")[2].lower())
    return _MARKS.sub("", _DATE.sub("", last))
