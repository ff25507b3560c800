"""Cost: what a call will cost, predicted from the query.

predictor.py    CostPredictor: from embeddings to amounts, and by prices to USD; CostErrors;
                CostModel: the amounts are costs as they were paid; TokenCostModel: tokens
model_price.py  ModelPrice: the price of a model in the outcomes, and its price now
fit.py          fit_costs: which of the two a table gets
prices.py       Price, and what a call costs at it
published_prices.py  prices of the models of published outcomes
price_table.py  tables of prices: the shipped one (price_table.toml), or a user's own
usage.py        the tokens of a call, and how providers report them
"""

from equirouter.cost.model_price import ModelPrice
from equirouter.cost.predictor import CostErrors, CostModel, CostPredictor, TokenCostModel

__all__ = ["CostErrors", "CostModel", "CostPredictor", "ModelPrice", "TokenCostModel"]
