"""Which cost model a table gets, and the prices in its outcomes."""

from dataclasses import dataclass

import numpy as np

from equirouter.arrays import Float32Array, FloatArray, IntArray
from equirouter.cost.model_price import ModelPrice, counted, input_share, price_that_explains
from equirouter.cost.predictor import CostModel, CostPredictor, TokenCostModel, Tokens
from equirouter.cost.price_table import shipped_prices
from equirouter.cost.prices import Price
from equirouter.cost.published_prices import price_of
from equirouter.data.outcomes import Outcomes

NETWORK_WIDTH = 64
"""Hidden units of the paper's cost network, which leaves them open (App. C.1)."""


@dataclass(frozen=True)
class FittedCosts:
    """A fitted cost model, the price of each of its models, and what a user should know of both."""

    model: CostPredictor
    prices: tuple[ModelPrice, ...]
    notes: tuple[str, ...] = ()


def fit_costs(
    outcomes: Outcomes,
    embeddings: Float32Array,
    rows: IntArray,
    n_train: int,
    *,
    network: bool = False,
    device: str = "auto",
    rng: np.random.Generator,
) -> tuple[FittedCosts, FloatArray]:
    """Learn tokens where the table has them and its costs follow from them, else costs.

    Returns the costs, and the amounts (n + V, A) that the model predicts of the training and
    validation queries, in this order; a linear one, of each without that query.

    embeddings (n + V, d), rows (n + V,): of both parts, and which of the table they are; the first
    n_train are the training queries. A linear model learns from all, a network from these. network,
    device: the paper's network (App. C.1) on a device of torch.
    """
    prices, notes = _prices(outcomes, rows)
    hidden = NETWORK_WIDTH if network else 0
    tokens = None if prices is None else outcomes.tokens
    kind: type[CostPredictor] = CostModel if tokens is None else TokenCostModel
    model = kind(hidden=hidden, device=device)
    if prices is None:
        prices = _paid(outcomes, rows)
    known = np.hstack(tokens) if tokens is not None else outcomes.cost_usd
    learned = slice(n_train) if model.hidden else first_of_each(rows)
    model.fit(
        embeddings[learned],
        known[rows[learned]],
        validation=(embeddings[n_train:], known[rows[n_train:]]),
        rng=rng,
    )
    amounts = model.amounts(embeddings)
    if model.held_out is not None:
        amounts[learned] = model.held_out
    return FittedCosts(model.set_prices(prices), prices, notes), amounts


def first_of_each(rows: IntArray) -> IntArray | slice:
    """Where each row of a table stands first, in their order: a part may hold another's rows.

    A slice where no row stands twice, so that nothing need be copied.
    """
    first = np.sort(np.unique(rows, return_index=True)[1])
    return slice(None) if len(first) == len(rows) else first


def _prices(
    outcomes: Outcomes, rows: IntArray
) -> tuple[tuple[ModelPrice, ...] | None, tuple[str, ...]]:
    """The prices that explain the costs from the tokens; None where tokens are not to be used."""
    if outcomes.tokens is None:
        return None, ()
    prices = _explained(outcomes, outcomes.tokens, rows)
    without = [price.model for price in prices if price.now is None]
    if not without:
        return prices, ()
    return None, (
        f"tokens are not used: no price explains what the calls of {without[0]!r} cost from "
        "their tokens, so costs are predicted as they were paid",
    )


def _explained(outcomes: Outcomes, tokens: Tokens, rows: IntArray) -> tuple[ModelPrice, ...]:
    read, written = (side[rows] for side in tokens)
    prices = []
    for column, model in enumerate(outcomes.models):
        of_model = read[:, column], written[:, column]
        price = price_that_explains(of_model, outcomes.cost_usd[rows, column], public_prices(model))
        prices.append(ModelPrice(model, price, price))
    return tuple(prices)


def public_prices(model: str) -> tuple[Price, ...]:
    """Prices that are known of a model by its exact name, those of published outcomes first."""
    known = (price_of(model), shipped_prices().get(model))
    return tuple(price for price in known if price is not None)


def _paid(outcomes: Outcomes, rows: IntArray) -> tuple[ModelPrice, ...]:
    """The published price of each model, and which part of its costs was for the prompts."""
    tokens = counted(tuple(outcomes.texts[row] for row in rows.tolist()))
    prices = []
    for column, model in enumerate(outcomes.models):
        price = price_of(model)
        share = input_share(tokens, outcomes.cost_usd[rows, column], price)
        prices.append(ModelPrice(model, price, price, share))
    return tuple(prices)
