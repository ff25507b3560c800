"""Measuring policies on a log with one outcome per query and its propensity.

estimates.py   a policy's mean performance and cost, three ways, with intervals
comparing.py   two pipelines on the queries of such a log
"""

from equirouter.evaluation.off_policy.comparing import LoggedComparison, compare_from_log
from equirouter.evaluation.off_policy.estimates import (
    METHODS,
    WHAT,
    Estimate,
    LoggedOutcomes,
    PolicyValue,
)

__all__ = [
    "METHODS",
    "WHAT",
    "Estimate",
    "LoggedComparison",
    "LoggedOutcomes",
    "PolicyValue",
    "compare_from_log",
]
