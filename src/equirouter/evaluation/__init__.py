"""Measuring: what a router's choices scored, cost and wasted.

    benchmark.py       benchmark: fit on train, choose on validation, measure on test
    train.py           train: one pipeline, fitted and measured on the test part
    results.py         results.json: its fields, written and read; measured.py: its leaves
    aggregate.py       from a measurement per seed to results
    metrics/           a class per metric
    curve.py           from choices to the curve, the metrics and their bootstrap draws
    exact.py           the curve along a path: at every change of a decision
    collapse_score.py  the collapse score of a choice (App. D), call shares
    bootstrap.py       paired resamples of queries, percentile intervals
    reliability.py     calibration of the estimates of performance
    costs.py           errors of predicted costs, in USD and relative
    decision_log.py    decisions.parquet: every choice with its outcome
    sweeps.py          one fitted router over a sweep of operating points
    served.py          a saved pipeline's decisions on a table
    published.py       the paper's Table 1 and Table A1
    checks.py          the checks of all arrays to measure
    diagnosis/         why routing collapses, or pays, on a table

Formulas, directions and traps: docs/metrics.md.
"""

from equirouter.evaluation.bootstrap import interval, pooled_interval, reached_share
from equirouter.evaluation.collapse_score import (
    call_shares,
    collapse_scores,
    routing_collapse_index,
)
from equirouter.evaluation.costs import cost_errors
from equirouter.evaluation.curve import Measurement, SweepOutcomes, measure, sweep_outcomes
from equirouter.evaluation.diagnosis.noise import noise_sweep
from equirouter.evaluation.diagnosis.noisy_winner import check_claim, win_shares
from equirouter.evaluation.diagnosis.per_task import collapse_by_task
from equirouter.evaluation.diagnosis.ties import margin_distribution, margins, need_of, tie_rate
from equirouter.evaluation.metrics import COLUMNS, METRICS, Metric
from equirouter.evaluation.published import published_for
from equirouter.evaluation.reliability import Reliability, reliability
from equirouter.evaluation.results import Results, read_results

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
