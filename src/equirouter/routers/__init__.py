"""Routers: scores for every model on every query.

base.py is the contract, equirouter.py the paper's router, mlp.py, knn.py and anchors.py the others;
networks.py, losses.py and training.py train with torch, forward.py runs what was trained in NumPy.
"""

from equirouter.routers.base import Router, Validation
from equirouter.routers.make import make_router

__all__ = ["Router", "Validation", "make_router"]
