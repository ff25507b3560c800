"""Routers: scores for every model on every query.

    base.py         Router, the contract; DescriptionRouter, of routers that read what models are
    make.py         a router from what a user types
    familiar.py     which queries are unlike all that a router was trained on
    scale.py        scores that only rank, made into expected performance
    joining.py      a new model, from few outcomes and the models that are there; distil.py
                    its embedding for equirouter
    equirouter.py   the paper's router; head.py the part of it that knows the models, firststage.py
                    which models of a large pool are scored in full
    factors.py      factors of the query and loadings of the models, in closed form
    mlp.py, linear.py, svm.py, embedllm.py, routerdc.py   routers that learn weights
    graphrouter.py, mirt.py, nirt.py   routers that read descriptions of the models; stargraph.py
                    passes the messages of graphrouter
    causal.py       least regret; logged.py completes logs with one outcome per query
    knn.py          the nearest training queries; neighbours.py finds them
    avengerspro.py  clusters of training queries; clusters.py makes them
    anchors.py      oracle, random, strongest, cheapest, task: what others are compared with
    networks.py, causal_network.py, embedllm_network.py, graph_networks.py, irt_networks.py,
    routerdc_network.py, losses.py, training.py   torch, for fit
    forward.py      what was trained, in NumPy

Importing this loads no torch.
"""

from equirouter.routers.base import DescriptionRouter, Router, Validation
from equirouter.routers.make import make_router

__all__ = ["DescriptionRouter", "Router", "Validation", "make_router"]
