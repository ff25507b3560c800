"""Equal to the reference."""

from dataclasses import dataclass

from equirouter.answers import make_extractor
from equirouter.labelling.graders.base import Case, EachGrader, Grade


@dataclass(kw_only=True, eq=False)
class ExactGrader(EachGrader):
    """1 where the answer is the reference, else 0."""

    needs_reference = True

    by_answer: str = "label"
    """How both are read: label (the whole text, whatever its case and the marks around it), exact,
    number, choice, boxed or json:/path."""

    @property
    def answers_by(self) -> str:
        """As by_answer says."""
        return self.by_answer

    def __post_init__(self) -> None:
        self._extract = make_extractor(self.by_answer)

    def one(self, case: Case) -> Grade:
        """Compare what is read out of both."""
        return Grade(float(self._extract(case.answer) == self._extract(case.reference or "")))
