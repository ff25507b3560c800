"""Training in torch: networks, their losses and the training loop.

    loop.py              minibatches, Adam, early stopping
    losses.py            squared error, cross-entropy and pairwise ranking with unknown outcomes
    equirouter_net.py    the network of equirouter
    networks.py          those of the other routers and of the cost models, with their own losses

Every module imports torch, so only `fit` methods import from here, when they run.
"""
