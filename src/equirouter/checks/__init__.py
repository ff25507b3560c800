"""Checks: what is seen of a response before anybody has graded it.

    base.py         ResponseCheck, the contract; Response, what a check sees; responses that are
                    empty, refused or cut, which are never accepted
    json_form.py    whether it is JSON, and fits a schema
    sql.py          whether it is SQL that parses
    command.py      what a program of yours says, such as unit tests
    log_odds.py     how sure the model was, by the provider's log-probabilities
    model_calls.py  checks that ask a model: their contract, their price, a judge
    check_spec.py   a check from its name and settings

A number of a check is a signal: a column `signal.NAME` of a table, a feature of the fitted check,
never a threshold. Only an unusable response is one whatever was learned.
"""

from equirouter.checks.base import Response, ResponseCheck, unusable
from equirouter.checks.check_spec import make_check

__all__ = ["Response", "ResponseCheck", "make_check", "unusable"]
