"""Routers: scores for every model on every query.

    base.py          Router, the contract; DescriptionRouter, of routers that read what models are
    make.py          a router from a name or a file, a preset and settings
    settings.py      types and meanings of settings, checked when a router is made
    ridge.py         ridge regression in closed form, with leave-one-out values
    factors.py       factors of the query and loadings of the models, in closed form
    linear.py        ridge and support vector regression; outcomes of a log, estimated by ridge
    knn.py           the nearest training queries
    avengerspro.py   clusters of training queries
    neighbours.py    finds the nearest rows, and groups of like rows
    anchors.py       oracle, random, strongest, cheapest, task: what others are compared with
    networks/        routers that learn the weights of a network; fitting/ trains them, with torch
    new_model.py     a new model, from few outcomes and the models that are there
    scale.py         scores made into expected performance

Importing this loads no torch.
"""

from equirouter.routers.base import DescriptionRouter, Router, Validation
from equirouter.routers.make import make_router

__all__ = ["DescriptionRouter", "Router", "Validation", "make_router"]
