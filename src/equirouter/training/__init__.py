"""Training: what makes a pipeline, and what changes its pool.

fit.py          fit_pipeline: one pipeline, calibrated and measured
calibrating.py  the promises of a pipeline, and what it does when it is made
pool.py         a pipeline at other prices, or without a model
joining.py      a model joins a pipeline
fitted.py       a stage of a pipeline, fitted on one split, and its choices there
described.py    descriptions of the models, for the routers that read them
protocol.py     the parts of a table, encoded, and a timed fit
"""

__all__: list[str] = []
