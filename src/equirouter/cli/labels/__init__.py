"""Commands from a log to an outcomes table: each parses, calls `equirouter.labelling` and prints.

importing.py  data import: queries of a log
collect.py    every model of the pool answers
score.py      graders score the answers
review.py     a person labels some in a browser
start.py      a pipeline without any label
"""

from equirouter.cli.labels import collect, importing, review, score, start

__all__ = ["collect", "importing", "review", "score", "start"]
