"""Cost: what a call will cost, predicted from the query."""

from equirouter.cost.predictor import CostModel

__all__ = ["CostModel"]
