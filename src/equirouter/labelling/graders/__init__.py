"""Graders, one per file; another package joins by an entry point in `equirouter.graders`.

base.py         Grader, EachGrader: the contract, what is graded, and make_grader
exact.py        equal to the reference
choice.py       the letter of the reference
number.py       the number of the reference
mathematics.py  equal as mathematics
pattern.py      regex: a regular expression
contains.py     the reference stands in the answer
json_form.py    json: valid, by a schema, with the fields of the reference
reference.py    words shared with the reference
command.py      a program of your own
feedback.py     what users said
agreement.py    answers compared with each other
judge.py        a model, on a rubric
verdicts.py     asks until the answer can be read
compare.py      a model, against the answer of one model
"""

from equirouter.labelling.graders.base import Case, EachGrader, Grade, Grader, make_grader

__all__ = ["Case", "EachGrader", "Grade", "Grader", "make_grader"]
