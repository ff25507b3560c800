"""The objectives, against sums that a reader can redo."""

from math import exp, log

import pytest
import torch

from equirouter.routers.losses import masked_mse, pairwise_ranking

NAN = float("nan")


def soft(margin: float) -> float:
    """log(1 + exp(-margin)), the logistic loss of one pair."""
    return log(1 + exp(-margin))


def test_eq_8_on_three_models_by_hand() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0]])
    performance = torch.tensor([[1.0, 0.0, 1.0]])
    cost_usd = torch.tensor([[3.0, 1.0, 5.0]])
    # pairs: 0 > 1 and 2 > 1 by performance; 0 and 2 tie, 0 is cheaper: 0 > 2
    expected = (soft(0.5 - -1.0) + soft(2.0 - -1.0) + soft(0.5 - 2.0)) / 3
    assert pairwise_ranking(scores, performance, cost_usd, 1.0).item() == pytest.approx(expected)


@pytest.mark.parametrize("tie_weight", [0.0, 0.25])
def test_the_tie_weight_scales_the_tied_pair_only(tie_weight: float) -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0]])
    performance = torch.tensor([[1.0, 0.0, 1.0]])
    cost_usd = torch.tensor([[3.0, 1.0, 5.0]])
    expected = (soft(1.5) + soft(3.0) + tie_weight * soft(-1.5)) / 3
    loss = pairwise_ranking(scores, performance, cost_usd, tie_weight)
    assert loss.item() == pytest.approx(expected)


def test_the_mean_is_over_queries_that_have_a_pair() -> None:
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [7.0, 3.0]])
    performance = torch.tensor([[0.0, 1.0], [1.0, 1.0], [NAN, 1.0]])
    cost_usd = torch.tensor([[1.0, 2.0], [1.0, 1.0], [1.0, 1.0]])
    # query 0: model 1 beats 0, margin -1. query 1: a tie in both, no pair. query 2: one model known
    assert pairwise_ranking(scores, performance, cost_usd, 1.0).item() == pytest.approx(soft(-1.0))


def test_a_missing_outcome_takes_no_part() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    performance = torch.tensor([[1.0, 0.0, NAN]])
    cost_usd = torch.tensor([[3.0, 1.0, 5.0]])
    loss = pairwise_ranking(scores, performance, cost_usd, 1.0)
    assert loss.item() == pytest.approx(soft(1.5))
    (slope,) = torch.autograd.grad(loss, scores)
    assert slope[0, 2].item() == 0.0


def test_masked_mse_by_hand() -> None:
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    target = torch.tensor([[0.0, NAN], [3.0, 2.0]])
    loss = masked_mse(predicted, target)
    assert loss.item() == pytest.approx((1 + 0 + 4) / 3)
    (slope,) = torch.autograd.grad(loss, predicted)
    assert slope[0, 1].item() == 0.0
    assert not slope.isnan().any()
