"""Cost: what a call will cost, predicted from the query.

base.py       CostPredictor: from embeddings to amounts, and by prices to USD; CostError
predictor.py  CostModel: the amounts are costs as they were paid
tokens.py     TokenCostModel: the amounts are tokens
pricing.py    ModelPrice: what a model cost in the outcomes, and what it costs now
fit.py        fit_costs: which of the two a table gets
prices.py     the one place that knows prices: Price, cost_usd, tables of published outcomes
pricetable.py tables of prices: the shipped one (price_table.toml), and a user's own
usage.py      what a call used, in tokens, and how providers report it
"""

from equirouter.cost.base import CostError, CostPredictor
from equirouter.cost.predictor import CostModel
from equirouter.cost.pricing import ModelPrice
from equirouter.cost.tokens import TokenCostModel

__all__ = ["CostError", "CostModel", "CostPredictor", "ModelPrice", "TokenCostModel"]
