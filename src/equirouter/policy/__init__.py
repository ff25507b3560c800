"""Policies: the only place where scores and predicted costs become a choice.

base.py is the contract, order.py the order of the models by value and cost, budget.py the paper's
per-query budget, utility.py performance minus priced cost, path.py every lambda at which one of its
decisions changes, quality.py finds the operating point that keeps a stated share of the
strongest's performance.
"""

from equirouter.policy.base import NOTHING_FITS, Policy
from equirouter.policy.budget import BudgetPolicy
from equirouter.policy.path import Path, utility_path
from equirouter.policy.quality import Calibration, calibrate, check_confidence, check_quality
from equirouter.policy.utility import UtilityPolicy

__all__ = [
    "NOTHING_FITS",
    "BudgetPolicy",
    "Calibration",
    "Path",
    "Policy",
    "UtilityPolicy",
    "calibrate",
    "check_confidence",
    "check_quality",
    "utility_path",
]
