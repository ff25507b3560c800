"""From what a user types to a grader: NAME[:key=value ...]."""

import re
from typing import Any

from equirouter.checks.check_spec import made_from_spec
from equirouter.labelling.graders.base import Grader
from equirouter.registry import GRADERS


def make_grader(spec: str, **settings: Any) -> Grader:  # noqa: ANN401
    """A grader, for example "exact" or "number:tolerance=0.01".

    Values are JSON, or texts as they stand. settings: count more than the spec's. Raises
    UnknownNameError and ConfigError, which name the part that is wrong and the known ones.

    >>> make_grader("number:tolerance=0.01").tolerance
    0.01
    """
    grader: Grader = made_from_spec(GRADERS, spec, settings)
    return grader


def split_specs(text: str) -> list[str]:
    """The specs in a list with commas; a comma in a setting belongs to it."""
    names = "|".join(map(re.escape, GRADERS.names()))
    return [part.strip() for part in re.split(rf",(?=\s*(?:{names})(?:[:,]|\s*$))", text)]
