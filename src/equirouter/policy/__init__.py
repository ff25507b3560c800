"""Policies: the only place where scores and predicted costs become a choice.

base.py is the contract, and what a caller may ask for. constraints.py rules models out before any
policy, by what is known of them. order.py has the order of the models by value and cost, budget.py
the paper's per-query budget, utility.py performance minus priced cost, or minus priced collapse,
and the strongest model alone, path.py every setting at which one of their decisions changes,
quality.py finds the operating point that keeps a stated share of the strongest's performance.
dual.py is the price of money along a stream, pacer.py decides one by it at a mean spend per query.
certainty.py says how sure a choice is, collapse_score.py how often it is matched for less. plan.py
asks two cheap models at once where that pays, by plans.py, what was fitted for it, and replies.py,
what models replied; pool_plans.py says at which price it decides, and at which the agreement rule,
which learns nothing. baseline.py holds the behaviour of a pipeline when it was made, for those who
watch it in service.
"""

from equirouter.policy.base import Control, Policy
from equirouter.policy.baseline import PROBES, Baseline, Probe, ShareCurve, share_curve
from equirouter.policy.budget import BudgetPolicy, EvenBudgetPolicy
from equirouter.policy.certainty import Certainty, fit_certainty
from equirouter.policy.constraints import (
    ABILITIES,
    ModelFacts,
    Needs,
    read_model_facts,
    removed_by,
)
from equirouter.policy.order import NOTHING_FITS
from equirouter.policy.pacer import Paced, PacedStream, Pacer, PacingPolicy, PacingState
from equirouter.policy.path import DecisionPath, utility_path
from equirouter.policy.quality import (
    Calibration,
    OperatingPoint,
    calibrate,
    check_confidence,
    check_quality,
)
from equirouter.policy.utility import LessCollapsePolicy, StrongestPolicy, UtilityPolicy

__all__ = [
    "ABILITIES",
    "NOTHING_FITS",
    "PROBES",
    "Baseline",
    "BudgetPolicy",
    "Calibration",
    "Certainty",
    "Control",
    "DecisionPath",
    "EvenBudgetPolicy",
    "LessCollapsePolicy",
    "ModelFacts",
    "Needs",
    "OperatingPoint",
    "Paced",
    "PacedStream",
    "Pacer",
    "PacingPolicy",
    "PacingState",
    "Policy",
    "Probe",
    "ShareCurve",
    "StrongestPolicy",
    "UtilityPolicy",
    "calibrate",
    "check_confidence",
    "check_quality",
    "fit_certainty",
    "read_model_facts",
    "removed_by",
    "share_curve",
    "utility_path",
]
