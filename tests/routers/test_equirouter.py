"""EquiRouter: the equations as the paper writes them, and what its settings do."""

import numpy as np
import pytest
import torch

from equirouter.errors import ConfigError, FitError
from equirouter.routers import Validation, make_router
from equirouter.routers.networks import EquiRouterNet
from tests.toys import make_toy


def network(*, joint_feature: bool) -> EquiRouterNet:
    torch.manual_seed(0)
    made = EquiRouterNet(
        5,
        4,
        trunk=(16, 12),
        model_width=3,
        head_width=24,
        dropout=0.0,
        joint_feature=joint_feature,
    )
    with torch.no_grad():  # all weights away from their special first values
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made.eval()


def test_the_network_is_eq_5_to_7_written_out() -> None:
    net = network(joint_feature=True)
    q = torch.randn(9, 5)
    z = net.encode(q)
    columns = []
    for m_j in net.models:
        gamma, beta = net.phi(m_j).chunk(2)
        z_j = gamma * z + beta  # Eq. 5
        e_j = net.psi(m_j).expand_as(z_j)  # Eq. 6
        h_j = torch.cat([z_j, e_j, z_j * e_j, (z_j - e_j).abs()], dim=1)  # Eq. 7
        hidden = torch.nn.functional.gelu(net.head(h_j), approximate="tanh")
        columns.append(net.score(net.head_norm(hidden)))
    torch.testing.assert_close(net(q), torch.cat(columns, dim=1), atol=1e-5, rtol=1e-5)


def test_without_the_joint_feature_the_head_sees_query_and_model_side_by_side() -> None:
    net = network(joint_feature=False)
    q = torch.randn(9, 5)
    z = net.encode(q)
    columns = []
    for m_j in net.models:
        h_j = torch.cat([z, net.psi(m_j).expand_as(z)], dim=1)
        hidden = torch.nn.functional.gelu(net.head(h_j), approximate="tanh")
        columns.append(net.score(net.head_norm(hidden)))
    torch.testing.assert_close(net(q), torch.cat(columns, dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("joint_feature", [True, False])
def test_numpy_and_torch_give_the_same_scores(joint_feature: bool) -> None:
    from equirouter.routers.training import weights_of

    net = network(joint_feature=joint_feature)
    router = make_router("equirouter", trunk=[16, 12], joint_feature=joint_feature)
    router.restore({f"weights_.{name}": array for name, array in weights_of(net).items()})
    q = torch.randn(5000, 5)  # more than one block
    with torch.no_grad():
        expected = net(q).numpy()
    np.testing.assert_allclose(router.predict(q.numpy()), expected, atol=1e-5)


def test_the_literal_eq_8_sends_tied_queries_to_the_cheapest_and_tie_weight_0_does_not() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((400, 4)).astype(np.float32)
    performance = np.ones((400, 2))
    performance[::10, 0] = 0.0  # the dear model is right where the cheap one fails, 10 %
    cost_usd = np.tile([1.0, 10.0], (400, 1))
    picked = {}
    for tie_weight in (0.0, 1.0):
        router = make_router("equirouter:paper", tie_weight=tie_weight, batch_size=64, epochs=10)
        router.fit(embeddings, performance, cost_usd, rng=np.random.default_rng(0))
        picked[tie_weight] = router.predict(embeddings).argmax(axis=1).mean()
    assert picked[1.0] < 0.2  # nearly always column 0, the cheap one
    assert picked[0.0] > 0.9  # the only strict pairs say that column 1 is better


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "hinge"}, "ranking, mse or"),
        ({"trunk": []}, "at least 1"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"tie_weight": -1}, "0 or more"),
        ({"epochs": 0}, "must be positive"),
        ({"device": "tpu"}, "expected auto, cpu or cuda"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], words: str) -> None:
    toy = make_toy(n=30)
    with pytest.raises(ConfigError, match=words):
        make_router("equirouter", **settings).fit(*toy, rng=np.random.default_rng(0))


def test_diverged_training_is_an_error_and_not_a_router() -> None:
    toy = make_toy(n=60)
    router = make_router("equirouter", loss="mse", learning_rate=1e30, epochs=4)
    with pytest.raises(FitError, match="lower learning_rate"):
        router.fit(*toy, rng=np.random.default_rng(0))


def test_early_stopping_keeps_the_best_epoch() -> None:
    embeddings, performance, cost_usd = make_toy(n=300, missing=0.0)
    held_out = Validation(embeddings[200:], performance[200:], cost_usd[200:])
    fits = {}
    for patience in (40, None):  # 40 never stops, but keeps the best of the 40 epochs
        router = make_router(
            "equirouter", loss="mse", epochs=40, patience=patience, batch_size=32, dropout=0.0
        )
        router.fit(
            embeddings[:200],
            performance[:200],
            cost_usd[:200],
            validation=held_out,
            rng=np.random.default_rng(0),
        )
        difference = router.predict(held_out.embeddings) - held_out.performance
        fits[patience] = float((difference**2).mean())
    assert fits[40] < fits[None]


def test_fitting_leaves_torch_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    make_router("equirouter", epochs=1).fit(*make_toy(n=30), rng=np.random.default_rng(0))
    assert torch.rand(1) == expected
