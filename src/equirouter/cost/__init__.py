"""Cost: what a call will cost, predicted from the query.

predictor.py    CostPredictor: from embeddings to amounts, and by prices to USD; CostError;
                CostModel: the amounts are costs as they were paid; TokenCostModel: tokens
model_price.py  ModelPrice: the price of a model in the outcomes, and its price now
fit.py          fit_costs: which of the two a table gets
prices.py       Price, cost_usd, and the prices of published outcomes
published_prices.py  prices of models whose answers are published without costs
price_table.py  tables of prices: the shipped one (price_table.toml), or a user's own
usage.py        the tokens of a call, and how providers report them
"""

from equirouter.cost.model_price import ModelPrice
from equirouter.cost.predictor import CostError, CostModel, CostPredictor, TokenCostModel

__all__ = ["CostError", "CostModel", "CostPredictor", "ModelPrice", "TokenCostModel"]
