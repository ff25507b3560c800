"""Whether a new version may take the place of the one that is served.

comparison.py  two pipelines on the same queries, paired
gate.py        whether a challenger may take the champion's place
retrain.py     a challenger, trained and compared on what neither has learned from
"""
