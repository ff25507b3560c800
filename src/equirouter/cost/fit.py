"""Which cost model a table gets, and the prices in its outcomes."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import Float32Array, IntArray
from equirouter.cost.model_price import ModelPrice, counted, input_share, price_that_explains
from equirouter.cost.predictor import CostModel, CostPredictor, TokenCostModel, Tokens
from equirouter.cost.price_table import shipped_prices
from equirouter.cost.prices import price_of
from equirouter.data.outcomes import Outcomes

__all__ = ["FittedCosts", "fit_costs"]


@dataclass(frozen=True)
class FittedCosts:
    """A fitted cost model, the price of each of its models, and what a user should know of both."""

    model: CostPredictor
    prices: tuple[ModelPrice, ...]
    notes: tuple[str, ...] = ()


def fit_costs(
    outcomes: Outcomes,
    train: tuple[Float32Array, IntArray],
    validation: tuple[Float32Array, IntArray],
    *,
    cost_model: CostModel | None = None,
    device: str = "auto",
    rng: np.random.Generator,
) -> FittedCosts:
    """Learn tokens where the table has them and its costs follow from them, else costs.

    train, validation: embeddings (n, d), and their rows of the table. cost_model: fitted in place
    of a new one; it learns costs. device: of a new one.
    """
    embeddings, rows = train
    notes: tuple[str, ...] = ()
    if cost_model is None and outcomes.tokens is not None:
        prices = _explained(outcomes, outcomes.tokens, rows)
        without = [price.model for price in prices if price.now is None]
        if not without:
            made = TokenCostModel(device=device).fit(
                embeddings,
                _at(outcomes.tokens, rows),
                validation=(validation[0], _at(outcomes.tokens, validation[1])),
                rng=rng,
            )
            return FittedCosts(made.set_prices(prices), prices)
        notes = (
            f"tokens are not used: no price explains what the calls of {without[0]!r} cost from "
            "their tokens, so costs are predicted as they were paid",
        )
    model = (cost_model or CostModel(device=device)).fit(
        embeddings,
        outcomes.cost_usd[rows],
        validation=(validation[0], outcomes.cost_usd[validation[1]]),
        rng=rng,
    )
    return FittedCosts(model, _paid(outcomes, rows), notes)


def _at(tokens: Tokens, rows: IntArray) -> Tokens:
    return tokens[0][rows], tokens[1][rows]


def _explained(outcomes: Outcomes, tokens: Tokens, rows: IntArray) -> tuple[ModelPrice, ...]:
    """The price of each model that explains its costs, None where there is none."""
    read, written = _at(tokens, rows)
    prices = []
    for column, model in enumerate(outcomes.models):
        published = (price_of(model), shipped_prices().get(model))
        price = price_that_explains(
            (read[:, column], written[:, column]),
            outcomes.cost_usd[rows, column],
            tuple(price for price in published if price is not None),
        )
        prices.append(ModelPrice(model, price, price))
    return tuple(prices)


def _paid(outcomes: Outcomes, rows: IntArray) -> tuple[ModelPrice, ...]:
    """The published price of each model, and which part of its costs was for the prompts."""
    tokens = counted(tuple(outcomes.texts[row] for row in rows.tolist()))
    prices = []
    for column, model in enumerate(outcomes.models):
        price = price_of(model)
        share = input_share(tokens, outcomes.cost_usd[rows, column], price)
        prices.append(ModelPrice(model, price, price, share))
    return tuple(prices)
