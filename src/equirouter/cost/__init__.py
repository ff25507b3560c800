"""Cost: what a call will cost, predicted from the query.

predictor.py has CostModel and the error it makes.
"""

from equirouter.cost.predictor import CostModel

__all__ = ["CostModel"]
