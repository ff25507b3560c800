"""Measuring: what a router's choices scored, cost and wasted.

    benchmark.py    run_benchmark: fit on train, choose on validation, measure on test
    collapse.py     RCI (App. D), call shares
    metrics/        the metrics, a class each: nAUC, P_s, QNC, cost at quality, RCI, call share
    curve.py        from choices to the curve, the metrics and their bootstrap draws
    exact.py        the curve along a path: at every change of a decision
    bootstrap.py    paired resamples of queries, percentile intervals
    reliability.py  calibration of the estimates of performance
    aggregate.py    means and intervals over seeds
    estimate.py     a figure with its interval
    results.py      results.json: what is in it, written and read
    decisions.py    every choice with its outcome, as a table
    diagnostics.py  margins (Eq. 4) and ties of a table
    noise.py        the oracle with noise on its labels
    winner.py       the maximum-mean-winner claim (Eq. 11) by simulation
    costs.py        errors of predicted costs, in USD and relative
    insample.py     training and measuring on the same queries (App. B.1)
    sweeps.py       one fitted router over a sweep of operating points
    tasks.py        on which tasks, and from which budget on, a router collapses
served.py       a saved pipeline's decisions on a table
    diagnosis.py    diagnose: all of that; findings.py: what it gives; routerfindings.py: of routers
    published.py    the paper's Table 1 and Table A1
    checks.py       what every measure asks of its arrays

Formulas, directions and traps: docs/metrics.md.
"""

from equirouter.evaluation.bootstrap import interval, pooled_interval, reached_share
from equirouter.evaluation.collapse import call_shares, collapse_scores, routing_collapse_index
from equirouter.evaluation.costs import cost_errors
from equirouter.evaluation.curve import Measurement, SweepOutcomes, measure, sweep_outcomes
from equirouter.evaluation.diagnostics import margin_distribution, margins, need_of, tie_rate
from equirouter.evaluation.metrics import COLUMNS, METRICS, Metric
from equirouter.evaluation.noise import noise_sweep
from equirouter.evaluation.published import published_for
from equirouter.evaluation.reliability import Reliability, reliability
from equirouter.evaluation.results import Results, read_results
from equirouter.evaluation.tasks import collapse_by_task
from equirouter.evaluation.winner import check_claim, win_shares

__all__ = [
    "COLUMNS",
    "METRICS",
    "Measurement",
    "Metric",
    "Reliability",
    "Results",
    "SweepOutcomes",
    "call_shares",
    "check_claim",
    "collapse_by_task",
    "collapse_scores",
    "cost_errors",
    "interval",
    "margin_distribution",
    "margins",
    "measure",
    "need_of",
    "noise_sweep",
    "pooled_interval",
    "published_for",
    "reached_share",
    "read_results",
    "reliability",
    "routing_collapse_index",
    "sweep_outcomes",
    "tie_rate",
    "win_shares",
]
