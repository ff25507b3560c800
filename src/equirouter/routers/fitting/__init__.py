"""Training in torch: networks, their losses and the training loop.

    loop.py              minibatches, Adam, early stopping
    losses.py            squared error, cross-entropy and pairwise ranking with unknown outcomes
    mlp_net.py           of mlp and the cost models
    equirouter_net.py    of equirouter
    embedllm_net.py      of embedllm
    routerdc_net.py      of routerdc, and its two losses
    graph_nets.py        of graphrouter
    irt_nets.py          of mirt and nirt
    causal_net.py        of causal, and its loss

Every module imports torch, so only `fit` methods import from here, when they run.
"""

__all__: list[str] = []
