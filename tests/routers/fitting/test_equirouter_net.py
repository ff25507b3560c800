"""The parts that replace torch's own: the same functions, and dropout that drops what it should."""

import pytest
import torch

from equirouter.routers.fitting.equirouter_net import Dropout, EquiRouterNet, gelu


def test_gelu_and_its_gradient_are_torchs_in_the_tanh_form() -> None:
    x = torch.linspace(-12, 12, 4001, requires_grad=True)
    pull = torch.linspace(-1, 2, 4001)
    expected = torch.nn.functional.gelu(x, approximate="tanh")
    torch.testing.assert_close(gelu(x), expected, atol=1e-6, rtol=1e-5)
    (slope,) = torch.autograd.grad(gelu(x), x, pull)
    (expected_slope,) = torch.autograd.grad(expected, x, pull)
    torch.testing.assert_close(slope, expected_slope, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("p", [0.2, 0.75])
def test_dropout_zeroes_a_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(301, 333, requires_grad=True)  # 100,233: no multiple of four
    out = Dropout(p)(x)
    assert sorted(out.unique().tolist()) == pytest.approx([0.0, 1 / (1 - p)])
    # 100,233 draws: five standard errors of a share are at most 0.008
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.008)
    columns = (out == 0).float().mean(dim=0)
    assert columns.std().item() == pytest.approx((p * (1 - p) / 301) ** 0.5, rel=0.2)
    (slope,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(slope, out)  # 1 / (1 - p) where kept


def test_dropout_is_idle_when_not_training_and_at_0() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_almost_all_can_be_dropped() -> None:
    torch.manual_seed(0)
    out = Dropout(1 - 1e-9)(torch.ones(1000))
    assert out.isfinite().all()
    assert (out == 0).float().mean() > 0.98


@pytest.mark.parametrize("joint_feature", [True, False])
def test_some_models_are_scored_as_among_all(joint_feature: bool) -> None:
    torch.manual_seed(0)
    net = EquiRouterNet(
        5, 7, trunk=(6,), model_width=3, head_width=4, dropout=0.3, joint_feature=joint_feature
    ).eval()
    q, columns = torch.randn(9, 5), torch.tensor([1, 4, 6])
    torch.testing.assert_close(net(q, columns), net(q)[:, columns])
