"""The figures behind the simulated data set: who is right how often, and how much they say.

Accuracies of seven families are RouterBench's 5-shot ones (arXiv:2403.12031); those of `reading`
are made up: the mean of the other seven. Family sizes and all token counts are made up too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["ACCURACY", "PROFILES", "VERBOSITY", "Profile"]

_TASKS = ("knowledge", "chat", "code", "continuation", "pronouns", "arithmetic", "science")
# per model: MMLU, MT-Bench, MBPP, HellaSwag, WinoGrande, GSM8K, ARC-Challenge
_PUBLISHED = {
    "WizardLM/WizardLM-13B-V1.2": (0.568, 0.796, 0.364, 0.636, 0.512, 0.510, 0.660),
    "claude-instant-v1": (0.384, 0.863, 0.550, 0.801, 0.512, 0.626, 0.821),
    "claude-v1": (0.475, 0.938, 0.527, 0.841, 0.570, 0.653, 0.889),
    "claude-v2": (0.619, 0.854, 0.605, 0.421, 0.446, 0.664, 0.546),
    "gpt-3.5-turbo-1106": (0.720, 0.908, 0.651, 0.816, 0.630, 0.601, 0.855),
    "gpt-4-1106-preview": (0.828, 0.971, 0.682, 0.923, 0.858, 0.654, 0.921),
    "meta/code-llama-instruct-34b-chat": (0.569, 0.796, 0.465, 0.525, 0.617, 0.462, 0.644),
    "meta/llama-2-70b-chat": (0.647, 0.854, 0.302, 0.736, 0.504, 0.529, 0.794),
    "mistralai/mistral-7b-chat": (0.562, 0.779, 0.349, 0.541, 0.562, 0.409, 0.642),
    "mistralai/mixtral-8x7b-chat": (0.733, 0.921, 0.573, 0.707, 0.677, 0.515, 0.844),
    "zero-one-ai/Yi-34B-Chat": (0.743, 0.938, 0.333, 0.931, 0.748, 0.552, 0.882),
}

ACCURACY: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        model: MappingProxyType(
            {**dict(zip(_TASKS, row, strict=True)), "reading": round(sum(row) / len(row), 3)}
        )
        for model, row in _PUBLISHED.items()
    }
)
"""Model -> family -> expected mean performance, in [0, 1]. Its order is that of the columns."""

VERBOSITY: Mapping[str, float] = MappingProxyType(
    {
        "WizardLM/WizardLM-13B-V1.2": 1.25,
        "claude-instant-v1": 1.1,
        "claude-v1": 1.15,
        "claude-v2": 1.3,
        "gpt-3.5-turbo-1106": 0.9,
        "gpt-4-1106-preview": 1.05,
        "meta/code-llama-instruct-34b-chat": 1.1,
        "meta/llama-2-70b-chat": 1.4,
        "mistralai/mistral-7b-chat": 1.15,
        "mistralai/mixtral-8x7b-chat": 1.0,
        "zero-one-ai/Yi-34B-Chat": 1.0,
    }
)
"""Model -> factor on the length of its answers."""


@dataclass(frozen=True)
class Profile:
    """One task family.

    share: its part of the queries. overhead_tokens: instructions and few-shot
    examples that are charged with every query but are not in its text. output_tokens: median
    length of an answer to a query of mean difficulty. levels: outcomes are whole multiples of
    1 / levels (1 = right or wrong, 10 = a judge's tenths).
    """

    share: float
    overhead_tokens: int
    output_tokens: float
    levels: int = 1


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "knowledge": Profile(0.24, 320, 12),
        "chat": Profile(0.06, 30, 300, levels=10),
        "code": Profile(0.08, 280, 90),
        "continuation": Profile(0.16, 380, 10),
        "pronouns": Profile(0.12, 180, 8),
        "arithmetic": Profile(0.15, 420, 110),
        "science": Profile(0.11, 260, 12),
        "reading": Profile(0.08, 120, 30),
    }
)
"""Family -> its profile; the shares add up to 1."""
