"""EquiRouter: the equations as the paper writes them, and what its settings do."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from equirouter.errors import FitError
from equirouter.policy import BudgetPolicy
from equirouter.routers import Router, Validation, make_router
from equirouter.routers.fitting.equirouter_net import EquiRouterNet
from equirouter.testing import make_toy


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
    from equirouter.routers.fitting.loop import weights_of

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
    performance[::10, 0] = 0.0  # the expensive model is right where the cheap one fails, 10 %
    cost_usd = np.tile([1.0, 10.0], (400, 1))
    picked = {}
    for tie_weight in (0.0, 1.0):
        router = make_router("equirouter:paper", tie_weight=tie_weight, batch_size=64, epochs=10)
        router.fit(embeddings, performance, cost_usd, rng=np.random.default_rng(0))
        picked[tie_weight] = router.predict(embeddings).argmax(axis=1).mean()
    assert picked[1.0] < 0.2  # nearly always column 0, the cheap one
    assert picked[0.0] > 0.9  # the only strict pairs say that column 1 is better


def test_the_loss_of_the_authors_separates_models_and_leaves_ties_alone() -> None:
    embeddings = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    performance = np.tile([0.6, 0.6, 0.4], (300, 1))  # the first two always tie, the first is cheap
    cost_usd = np.tile([1.0, 10.0, 1.0], (300, 1))
    gaps = {}
    for loss in ("mse", "mse+ranking"):
        router = make_router("equirouter:original", trunk=[16], loss=loss, epochs=60)
        router.fit(embeddings, performance, cost_usd, rng=np.random.default_rng(0))
        scores = router.predict(embeddings).mean(axis=0)
        gaps[router.scores_are] = scores[0] - scores[2]
        assert abs(scores[0] - scores[1]) < 0.1
    assert gaps["expected_performance"] == pytest.approx(0.2, abs=0.1)
    assert gaps["ranking"] > 1.0  # far beyond the outcomes: such scores only rank


@pytest.mark.parametrize(
    ("base", "prefix"), [("equirouter", "equirouter:"), ("equirouter:paper", "equirouter:paper-")]
)
@pytest.mark.parametrize(
    ("ablation", "changed"),
    [
        ("without-joint-feature", {("joint_feature", False)}),
        ("without-ranking-loss", {("loss", "mse")}),
    ],
)
def test_an_ablation_of_table_1_differs_from_its_base_in_one_setting(
    base: str, prefix: str, ablation: str, changed: set[tuple[str, object]]
) -> None:
    settings = make_router(prefix + ablation).settings
    assert set(settings.items()) - set(make_router(base).settings.items()) == changed


def test_diverged_training_is_an_error_and_not_a_router() -> None:
    toy = make_toy(n=60)
    router = make_router("equirouter", loss="mse", learning_rate=1e30, epochs=4)
    with pytest.raises(FitError, match="lower learning_rate"):
        router.fit(*toy, rng=np.random.default_rng(0))


def test_early_stopping_keeps_the_best_epoch() -> None:
    embeddings, performance, cost_usd = make_toy(n=300, missing=0.0)
    held_out = Validation(embeddings[200:], performance[200:], cost_usd[200:])
    fits = {}
    for patience in (120, None):  # 120 never stops, but keeps the best of the epochs
        router = make_router(
            "equirouter", loss="mse", epochs=120, patience=patience, batch_size=32, dropout=0.0
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
    assert fits[120] < fits[None]


def test_fitting_leaves_torch_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    make_router("equirouter", epochs=1).fit(*make_toy(n=30), rng=np.random.default_rng(0))
    assert torch.rand(1) == expected


def pool(n: int = 300, k: int = 12) -> tuple[npt.NDArray[np.float32], np.ndarray, np.ndarray]:
    """Embeddings, performance and cost of k models, each good along a direction of its own."""
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((n, 6)).astype(np.float32)
    performance = (embeddings @ rng.standard_normal((6, k)) > 0).astype(np.float64)
    return embeddings, performance, np.tile(np.geomspace(1.0, 100.0, k), (n, 1))


def picked_mean(router: Router, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    embeddings, performance, _ = data
    picked = router.predict(embeddings).argmax(axis=1)
    return float(performance[np.arange(len(picked)), picked].mean())


@pytest.mark.parametrize("loss", ["ranking", "mse"])
def test_no_step_scores_more_models_than_it_may_and_all_are_learned(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[tuple[int, ...]] = []
    forward = EquiRouterNet.forward

    def watched(
        self: EquiRouterNet, q: torch.Tensor, columns: torch.Tensor | None = None
    ) -> torch.Tensor:
        out = forward(self, q, columns)
        assert columns is not None
        assert out.shape == (len(q), len(columns))
        scored.append(tuple(columns.tolist()))
        return out

    monkeypatch.setattr(EquiRouterNet, "forward", watched)
    data = pool()
    router = make_router(
        "equirouter", loss=loss, max_models_per_step=4, epochs=25, batch_size=32, tie_weight=0.0
    )
    router.fit(*data, validation=Validation(*data), rng=np.random.default_rng(0))
    assert {len(columns) for columns in scored} == {4}
    assert set().union(*scored) == set(range(12))
    assert len(set(scored)) > 50
    # a model taken at random is right on half of the queries
    assert picked_mean(router, data) > 0.9


def test_up_to_the_limit_every_step_scores_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    forward = EquiRouterNet.forward

    def watched(
        self: EquiRouterNet, q: torch.Tensor, columns: torch.Tensor | None = None
    ) -> torch.Tensor:
        given.append(columns)
        return forward(self, q, columns)

    monkeypatch.setattr(EquiRouterNet, "forward", watched)
    fits = [
        make_router("equirouter", epochs=2, max_models_per_step=limit)
        .fit(*pool(), rng=np.random.default_rng(0))
        .state()
        for limit in (12, 128)
    ]
    assert set(given) == {None}
    assert all(fits[0][name].tobytes() == fits[1][name].tobytes() for name in fits[0])


@pytest.fixture(scope="module")
def staged() -> Router:
    """Fitted with a first stage that keeps 5 of 12 models."""
    router = make_router("equirouter", first_stage=5, epochs=25, batch_size=32, tie_weight=0.0)
    return router.fit(*pool(), rng=np.random.default_rng(0))


def in_full(router: Router) -> Router:
    """A copy with the same weights and no first stage."""
    state = {name: array for name, array in router.state().items() if name.startswith("weights_")}
    return make_router("equirouter", first_stage=0).restore(state)


def test_a_first_stage_scores_some_models_in_full_and_the_choice_stays(staged: Router) -> None:
    embeddings, _, cost_usd = pool()
    two, one = staged.predict(embeddings), in_full(staged).predict(embeddings)
    equal = np.isclose(two, one, atol=1e-5).sum(axis=1)
    assert ((equal >= 5) & (equal < 12)).all()
    for budget in (1.5, 10.0, 50.0, np.inf):
        chosen = BudgetPolicy(budget).choose(two, cost_usd)
        assert (chosen == BudgetPolicy(budget).choose(one, cost_usd)).mean() > 0.97


def test_with_a_first_stage_a_query_scores_the_same_in_any_company(staged: Router) -> None:
    embeddings, _, _ = pool(n=40)
    together = staged.predict(embeddings)
    alone = np.concatenate([staged.predict(embeddings[row : row + 1]) for row in range(40)])
    assert alone.tobytes() == together.tobytes()


def test_a_first_stage_is_saved_and_restored(staged: Router) -> None:
    embeddings, _, _ = pool(n=20)
    again = make_router("equirouter", **staged.settings).restore(staged.state())
    assert again.predict(embeddings).tobytes() == staged.predict(embeddings).tobytes()


@pytest.mark.parametrize(
    ("first_stage", "large", "expected"), [(None, 12, False), (None, 11, True), (0, 1, False)]
)
def test_large_pools_get_a_first_stage_by_themselves(
    monkeypatch: pytest.MonkeyPatch, first_stage: int | None, large: int, expected: bool
) -> None:
    monkeypatch.setattr("equirouter.routers.networks.equirouter.LARGE_POOL", large)
    monkeypatch.setattr("equirouter.routers.networks.equirouter.FIRST_STAGE_MODELS", 5)
    router = make_router("equirouter", first_stage=first_stage, epochs=1)
    router.fit(*pool(), rng=np.random.default_rng(0))
    assert ("first_stage_.vectors" in router.state()) == expected


def test_a_first_stage_that_would_keep_all_models_is_left_out() -> None:
    router = make_router("equirouter", first_stage=12, epochs=1)
    router.fit(*pool(), rng=np.random.default_rng(0))
    assert "first_stage_.vectors" not in router.state()
