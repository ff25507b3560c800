"""Measuring: what a router's choices scored, cost and wasted.

    benchmark.py       benchmark: fit on train, choose on validation, measure on test
    seed_runs.py       one router on one seed: fitted, swept, measured, apart from all others
    train.py           train: one pipeline, fitted and measured on the test part
    results.py         results.json: its fields, written and read; facts.py: those that are no
                       figures; measured.py: its leaves
    aggregate.py       from a measurement per seed to results
    metrics/           a class per metric
    curve.py           from choices to the curve, the metrics and their bootstrap draws
    bootstrap.py       paired resamples of queries, percentile intervals
    reliability.py     calibration of the estimates of performance, errors of predicted costs
    pipeline_metrics.py  the metrics that train keeps with a pipeline
    text_free.py       whether a router needs less than what reads no text
    plan_runs.py       plans and the anchors that compare answers, on one split
    plan_figures.py    what asking more than one model comes to, and what a check knows
    decision_log.py    decisions.parquet: every choice with its outcome
    sweeps.py          a fitted router, or a saved pipeline, over a sweep of operating points
    off_policy/        policies on a log with one outcome per query and its propensity
    promotion/         two pipelines compared, and the gate before a new version
    published.py       the paper's Table 1 and Table A1
    diagnosis/         why routing collapses, or pays, on a table

Formulas, directions and traps: docs/metrics.md.
"""
