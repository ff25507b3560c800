"""NIRTRouter: monotone in ability, by hand, and the same in NumPy as in torch."""

import numpy as np
import pytest

from equirouter.routers import make_router
from equirouter.routers.networks.forward import softmax
from equirouter.routers.networks.irt import NIRTRouter, posterior_layer
from equirouter.testing.problems import Toy, fit_described, make_descriptions, make_toy

torch = pytest.importorskip("torch", reason="the extra train is not installed")
from equirouter.routers.fitting.networks import NIRTNet  # noqa: E402


def made_of(network: NIRTNet, d: int = 6) -> NIRTRouter:
    """A router with the weights of a network and four made-up clusters."""
    router = NIRTRouter()
    rng = np.random.default_rng(6)
    router.weights_ = {
        "cluster.weight": rng.standard_normal((4, d)).astype(np.float32),
        "cluster.bias": rng.standard_normal(4).astype(np.float32),
    }
    learned = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    router.weights_ |= router._as_used(learned, network.descriptions.numpy())
    return router


def random_network() -> NIRTNet:
    torch.manual_seed(0)
    described = torch.from_numpy(make_descriptions())
    network = NIRTNet(described, abilities=4, hidden=5, dropout=0.5).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network


@pytest.mark.parametrize("n", [2, 20])  # fewer queries than models, and more
def test_numpy_predicts_what_torch_trained(n: int) -> None:
    network = random_network()
    router, x = made_of(network), make_toy(n=n).embeddings
    with torch.no_grad():
        logits = network(torch.from_numpy(x), torch.from_numpy(router._relevance(x)))
    np.testing.assert_allclose(router.predict(x), torch.sigmoid(logits).numpy(), atol=1e-5)


def test_more_ability_never_lowers_a_score() -> None:
    router, x = made_of(random_network()), make_toy(n=50).embeddings
    before = router.predict(x)
    router.weights_["models"] = router.weights_["models"] + np.float32(0.1)
    after = router.predict(x)
    assert (after >= before - 1e-6).all()
    assert (after > before + 1e-4).any()


def test_a_probability_by_hand() -> None:
    router = NIRTRouter()
    one, zero = np.ones((1, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)
    router.weights_ = {
        "cluster.weight": 0 * one,
        "cluster.bias": zero,
        "required.weight": 0 * one,  # k = sigmoid(0) = 1/2
        "required.bias": zero,
        "discrimination.weight": 0 * one,  # e = 9 sigmoid(0) = 4.5
        "discrimination.bias": zero,
        "hidden.weight": one,
        "hidden.bias": zero,
        "out.weight": one,
        "out.bias": zero,
        "models": np.array([[0.5], [1.0]], dtype=np.float32),
    }
    # One ability, of relevance 1: 4.5 * (0.5 - 0.5) = 0 and 4.5 * (1 - 0.5) = 2.25
    expected = [[0.5, 1 / (1 + np.exp(-np.tanh(2.25)))]]
    np.testing.assert_allclose(router.predict(one), expected, rtol=1e-6)


def test_dropout_is_in_training_only() -> None:
    network = random_network()
    q, relevance = torch.ones(1, 6), torch.full((1, 4), 0.25)
    assert torch.equal(network(q, relevance), network(q, relevance))
    assert not torch.equal(network.train()(q, relevance), network(q, relevance))


def test_the_posterior_of_two_clusters_by_hand() -> None:
    rows = np.array([[0.0], [2.0], [9.0], [11.0], [10.0], [10.0]], dtype=np.float32)
    labels = np.array([0, 0, 1, 1, 1, 1])
    centroids = np.array([[1.0], [10.0]], dtype=np.float32)
    weight, bias = posterior_layer(rows, centroids, labels)
    # Variance (1 + 1 + 1 + 1 + 0 + 0) / 6 = 2/3, shares 1/3 and 2/3. At x = 5.5, as far from one
    # centroid as from the other, the shares decide.
    middle = softmax(np.array([[5.5]], dtype=np.float32) @ weight.T + bias)
    np.testing.assert_allclose(middle, [[1 / 3, 2 / 3]], rtol=1e-4)
    # At x = 5 the squared distances are 16 and 25: log odds log 2 - 9 / (2 * 2/3) = log 2 - 6.75
    left = softmax(np.array([[5.0]], dtype=np.float32) @ weight.T + bias)
    assert np.log(left[0, 1] / left[0, 0]) == pytest.approx(np.log(2) - 6.75, rel=1e-4)


def test_fewer_queries_than_abilities_are_enough() -> None:
    x = np.eye(6, dtype=np.float32)[:3]
    router = fit_described(
        make_router("nirt", epochs=2), Toy(x, np.full((3, 2), 0.5), np.ones((3, 2)))
    )
    assert router.predict(x).shape == (3, 2)
    assert router.state()["weights_.cluster.weight"].shape == (3, 6)
