"""Similarity to a reference."""

import re
from collections import Counter
from dataclasses import dataclass

from equirouter.labelling.graders.base import Case, EachGrader, Grade

_WORD = re.compile(r"\w+")


@dataclass(kw_only=True, eq=False)
class ReferenceGrader(EachGrader):
    """The F1 of the words that answer and reference share: 1 for equal words, 0 for none.

    It sees words and not meaning: a judge sees both. Source: Rajpurkar et al. 2016, the measure of
    SQuAD, here with articles counted.
    """

    needs_reference = True

    def one(self, case: Case) -> Grade:
        """Count the words of both."""
        given, right = _words(case.answer), _words(case.reference or "")
        shared = (given & right).total()
        if not shared:
            return Grade(0.0)
        return Grade(2 * shared / (given.total() + right.total()))


def _words(text: str) -> "Counter[str]":
    return Counter(_WORD.findall(text.casefold()))
