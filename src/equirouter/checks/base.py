"""The contract of a check of one response."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """All that a check sees.

    query, text: of the user and of the model. finish_reason: as the provider says it. log_probs: of
    the tokens of the text, natural logarithms, None where they were not asked for.
    """

    query: str
    text: str
    finish_reason: str | None = None
    log_probs: Sequence[float] | None = None


class ResponseCheck(ABC):
    """A number that tells more often than not whether a response is right.

    A subclass is a keyword-only dataclass: its fields are settings, checked against their types.
    One of another package joins by an entry point in the group `equirouter.checks`.
    """

    @abstractmethod
    def __call__(self, response: Response) -> float | None:
        """From 0 to 1, higher is better; None where it cannot be said.

        The same response gives the same number, from several threads at once. Raises ConfigError
        where the check cannot work at all here; never for what a response says.
        """


UNUSABLE_REASONS = {
    "length": "cut",
    "max_tokens": "cut",
    "content_filter": "refused",
    "refusal": "refused",
    "empty": "empty",
}
"""Finish reason -> what is wrong with such a response, in a word."""


def unusable(response: Response) -> str | None:
    """Why a response cannot be used: "empty", "refused" or "cut"; None for one that can be.

    A refusal is what the provider says is one; the words of a response are not judged.
    """
    if not response.text.strip():
        return "empty"
    return UNUSABLE_REASONS.get(response.finish_reason or "")
