"""The texts of the simulated data set: eight task families, no text twice."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.data.simulated_arithmetic import arithmetic
from equirouter.data.simulated_chat import chat
from equirouter.data.simulated_code import code
from equirouter.data.simulated_draft import Family, Pick
from equirouter.data.simulated_knowledge import knowledge
from equirouter.data.simulated_reading import reading
from equirouter.data.simulated_science import science
from equirouter.data.simulated_stories import continuation, pronouns
from equirouter.errors import ConfigError

__all__ = ["FAMILIES", "make_texts"]

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "knowledge": knowledge,
        "chat": chat,
        "code": code,
        "continuation": continuation,
        "pronouns": pronouns,
        "arithmetic": arithmetic,
        "science": science,
        "reading": reading,
    }
)
_MAX_TRIES = 200


def make_texts(task: str, size: int, rng: np.random.Generator) -> tuple[list[str], FloatArray]:
    """Different texts of one family, and the difficulty that is visible in each.

    Returns the texts and an array (size,) with mean 0 and standard deviation 1, larger is harder.
    Raises ConfigError if the family's templates do not have that many texts.
    """
    family, pick = FAMILIES[task], Pick(rng)
    drafts: dict[str, float] = {}
    while len(drafts) < size:
        for _ in range(_MAX_TRIES):
            text, difficulty = family(pick)
            if text not in drafts:
                drafts[text] = difficulty
                break
        else:
            raise ConfigError(
                f"the simulated data set has no more than about {len(drafts)} different texts of "
                f"the family {task!r}, {size} were asked for: choose a smaller n_queries"
            )
    visible = np.array(list(drafts.values()))
    spread = visible.std()
    return list(drafts), (visible - visible.mean()) / (spread if spread > 0 else 1.0)
