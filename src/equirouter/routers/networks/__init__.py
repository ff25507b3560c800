"""Routers that are trained with torch in `fit` and run in NumPy or ONNX to decide.

    mlp.py           a network with one hidden layer
    equirouter.py    the paper's router; pool_head.py scores the models, and picks those of a large
                     pool that are scored in full
    template.py      settings of a training run, and fit; a Task says what is trained
    embedllm.py      a product of query and model embeddings
    routerdc.py      model embeddings by contrast
    graphrouter.py   message passing
    irt.py           item response theory, with abilities read from descriptions of the models
    causal.py        the choice with the least regret, also from logs with one outcome per query
    forward.py       layers in NumPy

Importing this loads no torch.
"""
