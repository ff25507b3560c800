"""A regular expression."""

import re
from dataclasses import dataclass

from equirouter.errors import ConfigError
from equirouter.labelling.graders.base import Case, EachGrader, Grade


@dataclass(kw_only=True, eq=False)
class RegexGrader(EachGrader):
    """1 where a regular expression of Python is found in the answer, else 0."""

    pattern: str
    """The expression, found anywhere; ^ and $ stand for the begin and the end of a line."""

    def __post_init__(self) -> None:
        try:
            self._pattern = re.compile(self.pattern, re.MULTILINE)
        except re.error as error:
            raise ConfigError(
                f"regex: the pattern {self.pattern!r} cannot be read: {error}"
            ) from error

    def one(self, case: Case) -> Grade:
        """Search the answer."""
        return Grade(float(self._pattern.search(case.answer) is not None))
