"""Routers: scores for every model on every query.

base.py is the contract, make.py reads what a user types, scale.py makes an order into expected
performance, equirouter.py is the paper's router,
mlp.py, knn.py and anchors.py are the others; networks.py, losses.py and training.py train with
torch, forward.py runs what was trained in NumPy.
"""

from equirouter.routers.base import Router, Validation
from equirouter.routers.make import make_router

__all__ = ["Router", "Validation", "make_router"]
