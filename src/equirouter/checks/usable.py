"""Responses that are empty, refused or cut: they are never accepted while another may be had."""

from equirouter.checks.base import Response

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
