"""The objectives, against sums that a reader can redo."""

from itertools import combinations
from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from equirouter.routers.fitting.losses import (
    count_pairs,
    cross_entropy,
    masked_mse,
    pairwise_ranking,
    strict_ranking,
)

NAN = float("nan")


def test_cross_entropy_is_over_known_cells() -> None:
    # logit 0 is probability 1/2: log 2 whatever the label; the third cell is not known
    loss = cross_entropy(torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[1.0, 0.3, NAN]]))
    assert loss.item() == pytest.approx(log(2))
    nothing = cross_entropy(torch.zeros(1, 2, requires_grad=True), torch.full((1, 2), NAN))
    assert nothing.item() == 0.0


def soft(margin: float) -> float:
    """log(1 + exp(-margin)), the logistic loss of one pair."""
    return log(1 + exp(-margin))


def ranking(scores: Tensor, performance: Tensor, cost_usd: Tensor, tie_weight: float) -> Tensor:
    """The loss over all models, with the pairs counted."""
    n_pairs = torch.from_numpy(count_pairs(performance.numpy(), cost_usd.numpy()))
    return pairwise_ranking(scores, performance, cost_usd, tie_weight, n_pairs=n_pairs)


def test_eq_8_on_three_models_by_hand() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0]])
    performance = torch.tensor([[1.0, 0.0, 1.0]])
    cost_usd = torch.tensor([[3.0, 1.0, 5.0]])
    # pairs: 0 > 1 and 2 > 1 by performance; 0 and 2 tie, 0 is cheaper: 0 > 2
    expected = (soft(0.5 - -1.0) + soft(2.0 - -1.0) + soft(0.5 - 2.0)) / 3
    assert ranking(scores, performance, cost_usd, 1.0).item() == pytest.approx(expected)


@pytest.mark.parametrize("tie_weight", [0.0, 0.25])
def test_the_tie_weight_scales_the_tied_pair_only(tie_weight: float) -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0]])
    performance = torch.tensor([[1.0, 0.0, 1.0]])
    cost_usd = torch.tensor([[3.0, 1.0, 5.0]])
    expected = (soft(1.5) + soft(3.0) + tie_weight * soft(-1.5)) / 3
    loss = ranking(scores, performance, cost_usd, tie_weight)
    assert loss.item() == pytest.approx(expected)


def test_the_mean_is_over_queries_that_have_a_pair() -> None:
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [7.0, 3.0]])
    performance = torch.tensor([[0.0, 1.0], [1.0, 1.0], [NAN, 1.0]])
    cost_usd = torch.tensor([[1.0, 2.0], [1.0, 1.0], [1.0, 1.0]])
    # query 0: model 1 beats 0, margin -1. query 1: a tie in both, no pair. query 2: one model known
    assert ranking(scores, performance, cost_usd, 1.0).item() == pytest.approx(soft(-1.0))


def test_a_missing_outcome_takes_no_part() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    cost_usd = torch.tensor([[3.0, 1.0, NAN]])
    loss = ranking(scores, torch.tensor([[1.0, 0.0, 1.0]]), cost_usd, 1.0)
    assert loss.item() == pytest.approx(soft(1.5))
    (slope,) = torch.autograd.grad(loss, scores)
    assert slope[0, 2].item() == 0.0
    performance = torch.tensor([[1.0, 0.0, NAN]])
    loss = ranking(scores, performance, torch.tensor([[3.0, 1.0, 5.0]]), 1.0)
    assert loss.item() == pytest.approx(soft(1.5))


def test_the_strict_loss_is_the_mean_over_the_pairs_of_all_queries() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, 9.0], [3.0, 5.0, 4.0]])
    performance = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, NAN], [1.0, 1.0, 1.0]])
    # query 0: 0 > 1 and 2 > 1, the tie of 0 and 2 is no pair; query 1: 1 > 0; query 2: ties only
    expected = (soft(0.5 + 1.0) + soft(2.0 + 1.0) + soft(0.0 - 1.0)) / 3
    assert strict_ranking(scores, performance).item() == pytest.approx(expected)
    assert strict_ranking(scores[2:], performance[2:]).item() == 0.0


def test_the_gradient_by_hand() -> None:
    scores = torch.tensor([[0.5, -1.0]], requires_grad=True)
    loss = ranking(scores, torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]]), 1.0)
    (slope,) = torch.autograd.grad(3 * loss, scores)
    # softplus(s_0 - s_1) has the slope sigmoid(1.5) in s_0 and its negative in s_1
    push = 3 / (1 + exp(-1.5))
    assert slope[0].tolist() == pytest.approx([push, -push])


def outcomes(n: int, k: int, missing: float = 0.2) -> tuple[Tensor, Tensor]:
    """Performance and cost (n, k) with many ties, some cells NaN."""
    rng = np.random.default_rng(0)
    performance = rng.integers(0, 3, (n, k)) / 2
    cost_usd = rng.integers(1, 4, (n, k)) / 8
    performance[rng.random((n, k)) < missing] = NAN
    cost_usd[rng.random((n, k)) < missing] = NAN
    return torch.tensor(performance, dtype=torch.float32), torch.tensor(
        cost_usd, dtype=torch.float32
    )


@pytest.mark.parametrize("tie_weight", [0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_the_loss(tie_weight: float) -> None:
    performance, cost_usd = outcomes(3, 4)
    scores = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = ranking(scores, performance, cost_usd, tie_weight)
    (slope,) = torch.autograd.grad(loss, scores)
    step = 1e-2
    for row in range(3):
        for model in range(4):
            nudge = torch.zeros(3, 4)
            nudge[row, model] = step
            up = ranking(scores.detach() + nudge, performance, cost_usd, tie_weight)
            down = ranking(scores.detach() - nudge, performance, cost_usd, tie_weight)
            expected = (up - down).item() / (2 * step)
            assert slope[row, model].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("n_sampled", [2, 3, 5])
@pytest.mark.parametrize("tie_weight", [0.0, 0.3])
def test_a_sample_of_models_is_unbiased_in_loss_and_gradient(
    n_sampled: int, tie_weight: float
) -> None:
    k = 6
    performance, cost_usd = outcomes(5, k)
    scores = torch.randn(5, k, generator=torch.Generator().manual_seed(0), requires_grad=True)
    n_pairs = torch.from_numpy(count_pairs(performance.numpy(), cost_usd.numpy()))
    full = ranking(scores, performance, cost_usd, tie_weight)
    (full_slope,) = torch.autograd.grad(full, scores)
    losses, slopes = [], []
    for chosen in combinations(range(k), n_sampled):  # every sample there is: no statistics
        columns = torch.tensor(chosen)
        loss = pairwise_ranking(
            scores[:, columns],
            performance[:, columns],
            cost_usd[:, columns],
            tie_weight,
            n_pairs=n_pairs,
            n_models=k,
        )
        losses.append(loss.detach())
        slopes.append(torch.autograd.grad(loss, scores)[0])
    assert float(torch.stack(losses).std()) > 0.01  # they do differ
    torch.testing.assert_close(torch.stack(losses).mean(), full.detach())
    torch.testing.assert_close(torch.stack(slopes).mean(dim=0), full_slope)


def test_masked_mse_by_hand() -> None:
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    target = torch.tensor([[0.0, NAN], [3.0, 2.0]])
    loss = masked_mse(predicted, target)
    assert loss.item() == pytest.approx((1 + 0 + 4) / 3)
    (slope,) = torch.autograd.grad(loss, predicted)
    assert slope[0, 1].item() == 0.0
    assert not slope.isnan().any()


@pytest.mark.parametrize("n_sampled", [1, 2, 4])
def test_the_squared_error_of_a_sample_is_unbiased(n_sampled: int) -> None:
    target, _ = outcomes(5, 5)
    predicted = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    full = masked_mse(predicted, target)
    (full_slope,) = torch.autograd.grad(full, predicted)
    n_known = (~target.isnan()).sum(dim=1)
    losses, slopes = [], []
    for chosen in combinations(range(5), n_sampled):
        columns = torch.tensor(chosen)
        part = masked_mse(predicted[:, columns], target[:, columns], n_known=n_known, n_models=5)
        losses.append(part.detach())
        slopes.append(torch.autograd.grad(part, predicted)[0])
    torch.testing.assert_close(torch.stack(losses).mean(), full.detach())
    torch.testing.assert_close(torch.stack(slopes).mean(dim=0), full_slope)


cells = st.sampled_from([0.0, -0.0, 0.25, 1.0, NAN])


@given(st.lists(st.lists(st.tuples(cells, cells), min_size=4, max_size=4), min_size=1, max_size=5))
def test_pairs_are_counted_as_if_one_by_one(table: list[list[tuple[float, float]]]) -> None:
    expected = []
    for row in table:
        known = [pair for pair in row if not np.isnan(pair).any()]
        expected.append(sum(first != second for first, second in combinations(known, 2)))
    both = np.array(table)  # (n, 4, 2)
    assert count_pairs(both[:, :, 0], both[:, :, 1]).tolist() == expected


def test_pairs_are_counted_in_blocks_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    performance, cost_usd = (array.numpy() for array in outcomes(11, 6))
    whole = count_pairs(performance, cost_usd)
    monkeypatch.setattr(
        "equirouter.routers.fitting.losses.BLOCK_CELLS", 18
    )  # three queries at once
    assert count_pairs(performance, cost_usd).tolist() == whole.tolist()
