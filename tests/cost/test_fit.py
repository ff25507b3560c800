"""Which cost model a table gets: tokens where its costs follow from them, else costs."""

import numpy as np
import pytest

from equirouter.cost import CostModel, TokenCostModel
from equirouter.cost.fit import FittedCosts, fit_costs
from equirouter.cost.prices import Price, costs_usd
from equirouter.cost.published_prices import PRICES
from equirouter.data.outcomes import Outcomes

N = 40
CLAUDE = "claude-v2"  # 8 USD per million tokens in, 24 out
OWN = Price(2.0, 10.0)


def table(*, tokens: bool, explained: bool = True) -> Outcomes:
    """Calls of a published model and of an unknown one; texts of 400 bytes, or 100 tokens."""
    rng = np.random.default_rng(0)
    read, written = rng.integers(50, 500, (2, N, 2)).astype(float)
    cost = np.stack(
        [
            costs_usd(price, read[:, column], written[:, column])
            for column, price in enumerate((PRICES[CLAUDE], OWN))
        ],
        axis=1,
    )
    if not explained:
        cost[:, 1] = rng.uniform(0.1, 1.0, N)
    return Outcomes(
        query_ids=tuple(str(i) for i in range(N)),
        texts=("x" * 400,) * N,
        tasks=("all",) * N,
        models=(CLAUDE, "mine"),
        performance=rng.uniform(0, 1, (N, 2)),
        cost_usd=cost,
        input_tokens=read if tokens else None,
        output_tokens=written if tokens else None,
    )


def fitted(outcomes: Outcomes, *, network: bool = False) -> FittedCosts:
    embeddings = np.random.default_rng(1).normal(size=(N, 8)).astype(np.float32)
    costs, amounts = fit_costs(
        outcomes,
        embeddings,
        np.arange(N),
        30,
        network=network,
        device="cpu",
        rng=np.random.default_rng(2),
    )
    assert amounts.shape == (N, costs.model.per_model * 2)
    return costs


def test_tokens_are_learned_where_prices_explain_the_costs() -> None:
    costs = fitted(table(tokens=True))
    assert isinstance(costs.model, TokenCostModel)
    published, found = costs.prices
    assert (published.model, published.now, published.trained) == (
        *(CLAUDE, PRICES[CLAUDE], PRICES[CLAUDE]),
    )
    assert (found.model, found.input_share, costs.notes) == ("mine", None, ())
    assert found.now is not None
    assert found.now.input_usd_per_mtok == pytest.approx(2.0)
    assert found.now.output_usd_per_mtok == pytest.approx(10.0)


def test_costs_are_learned_where_no_price_explains_them_and_a_note_says_so() -> None:
    costs = fitted(table(tokens=True, explained=False))
    assert isinstance(costs.model, CostModel)
    assert len(costs.notes) == 1
    assert "no price explains what the calls of 'mine' cost" in costs.notes[0]


def test_costs_are_learned_where_there_are_no_tokens() -> None:
    outcomes = table(tokens=False)
    costs = fitted(outcomes)
    assert isinstance(costs.model, CostModel)
    assert costs.notes == ()
    published, unknown = costs.prices
    # 100 tokens of each text at 8 USD per million tokens are the prompts' share of the costs.
    share = 100 * 8e-6 / outcomes.cost_usd[:, 0].mean()
    assert published.input_share == pytest.approx(share)
    assert (unknown.model, unknown.now, unknown.input_share) == ("mine", None, None)


def test_the_papers_network_has_hidden_units_and_the_default_has_none() -> None:
    assert fitted(table(tokens=False)).model.hidden == 0
    assert fitted(table(tokens=False), network=True).model.hidden == 64
