"""Training: what makes a pipeline, and what changes its pool.

fit.py          fit_pipeline: one pipeline, fitted and calibrated
calibrating.py  the promises of a pipeline, and what it does when it is made
pool.py         a pipeline at other prices, or without a model
joining.py      a model joins a pipeline
fitted.py       a stage of a pipeline, fitted on one split, and its choices there
described.py    descriptions of the models, for the routers that read them
fit_router.py   fit_router: one router fitted and calibrated, for `bench` and `train` alike
protocol.py     the parts of a table, encoded, with predicted costs
"""

__all__: list[str] = []
