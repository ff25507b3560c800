"""Training: what makes a pipeline, and what changes its pool.

collapse.py     predicted collapse scores, for the policy that has a price on them
pool_changes.py a pipeline at other prices, or without a model
joining.py      a model joins a pipeline
fitted.py       a router, or a stage of a pipeline, fitted on one split, its choices there, and the
                promises that a pipeline makes of them
floor.py        how many complete queries a promise needs; what counts where in a partial table
needs.py        what fitting needs beside the core, said before it begins
off_policy.py   the outcomes that means are taken of, of a log
plan_fit.py     plans of more than one call, fitted
plan_choice.py  at which price they pay, the agreement rule pays, or one model per query does
protocol.py     the parts of a table, encoded, with predicted costs; descriptions of the models
"""
