"""Data sets by name: two simulations, and published benchmarks from the hub or a local copy.

by_name.py      Dataset, a name that gives a table; NAME[:key=value ...] -> Dataset
routerbench.py, mmrbench.py, mixinstruct.py, llmrouterbench.py, routereval.py: a benchmark each
zeroeval.py, alpacaeval.py, mathv.py: answers that a repository publishes, graded and priced here
clones.py       files of a local clone; priced_outcomes: answers -> a table
real.py         ZeroEval as numbers, in the package
simulated.py    the embedded simulation; simulated_texts.py: its templates
simulated_multimodal.py  the same with pictures
descriptions.py descriptions of RouterBench's models
hub.py          fetch: pinned downloads
reach.py        whether the hub answers
archives.py     files in a folder, a tar or a zip
"""
