"""The reference stands in the answer."""

from dataclasses import dataclass

from equirouter.labelling.graders.base import Case, EachGrader, Grade


@dataclass(kw_only=True, eq=False)
class ContainsGrader(EachGrader):
    """The share of the lines of the reference that stand in the answer, whatever case and space."""

    needs_reference = True

    def one(self, case: Case) -> Grade:
        """Look for each line."""
        text = _plain(case.answer)
        lines = [line for line in map(_plain, (case.reference or "").splitlines()) if line]
        if not lines:
            return Grade(None, "the reference is empty")
        return Grade(sum(line in text for line in lines) / len(lines))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
