"""MIRTRouter: its arithmetic, the warm-up, and that NumPy predicts what torch trained."""

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.routers import make_router
from equirouter.routers.networks.irt import MIRTRouter
from equirouter.testing.problems import Toy, fit_described, make_descriptions, make_toy

torch = pytest.importorskip("torch", reason="the extra train is not installed")
from equirouter.routers.fitting.networks import MIRTNet  # noqa: E402


def by_hand(**settings: float) -> MIRTRouter:
    """One ability: alpha = softplus(x0), b = x1, and models with theta 2 and 0."""
    router = MIRTRouter(**settings)  # type: ignore[arg-type]
    router.weights_ = {
        "discrimination.weight": np.array([[1.0, 0.0]], dtype=np.float32),
        "difficulty.weight": np.array([[0.0, 1.0]], dtype=np.float32),
        "models": np.array([[2.0], [0.0]], dtype=np.float32),
    }
    router.training_ = {}
    return router


def test_the_probability_by_hand() -> None:
    # alpha = softplus(0) = log 2, b = log 2: logits 2 log 2 - log 2 = log 2 and -log 2,
    # and sigmoid(log 2) = 2 / 3
    x = np.array([[0.0, np.log(2)]], dtype=np.float32)
    np.testing.assert_allclose(by_hand().predict(x), [[2 / 3, 1 / 3]], rtol=1e-6)


def test_the_warm_up_by_hand() -> None:
    router = by_hand(warm_up=0.25, neighbours=2)
    near, far = [[1.0, 0.0], [0.6, 0.8]], [[-1.0, 0.0]]
    router.training_ = {"embeddings": np.array(near + far, dtype=np.float32)}
    x = np.array([[0.8, 0.6]], dtype=np.float32)
    # 3/4 of (0.8, 0.6) and 1/4 of the mean of (1, 0) and (0.6, 0.8), (0.8, 0.4): (0.8, 0.55)
    moved = np.array([[0.8, 0.55]], dtype=np.float32)
    np.testing.assert_allclose(router.predict(x), by_hand().predict(moved), rtol=1e-6)


def test_numpy_predicts_what_torch_trained() -> None:
    torch.manual_seed(0)
    network = MIRTNet(torch.from_numpy(make_descriptions()), abilities=4)
    x = make_toy(n=20).embeddings
    router = MIRTRouter()
    router.weights_ = {name: value.numpy() for name, value in network.state_dict().items()}
    router.weights_["models"] = make_descriptions() @ router.weights_.pop("ability.weight").T
    router.training_ = {}
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(x))).numpy()
    np.testing.assert_allclose(router.predict(x), expected, atol=1e-5)


def test_it_learns_the_probability_of_a_right_answer() -> None:
    x = np.repeat(np.eye(2, dtype=np.float32), 200, axis=0)
    performance = np.zeros((400, 2))
    performance[:150, 0] = 1.0  # first kind of query: model 0 is right on 150 of 200, model 1 never
    performance[200:300, 1] = 0.5  # second kind: model 1 is half right on 100 of 200
    router = make_router("mirt", learning_rate=0.02, epochs=100)
    described = np.eye(2, dtype=np.float32)
    fit_described(router, Toy(x, performance, np.ones((400, 2))), described)
    expected = [[0.75, 0.0], [0.0, 0.25]]
    np.testing.assert_allclose(router.predict(x[[0, 200]]), expected, atol=0.05)


def test_the_original_keeps_its_training_queries_and_has_no_graph() -> None:
    toy = make_toy(n=30)
    router = fit_described(make_router("mirt:original:epochs=1"), toy)
    assert router.state()["training_.embeddings"].shape == (30, 6)
    again = make_router("mirt:original:epochs=1").restore(router.state())
    assert again.predict(toy.embeddings).tobytes() == router.predict(toy.embeddings).tobytes()


def test_performance_beyond_0_to_1_is_refused() -> None:
    toy = make_toy(missing=0.0)
    for name in ("mirt", "nirt"):
        with pytest.raises(DataError, match=f"0 to 10: {name} takes it for a probability"):
            fit_described(make_router(name), toy._replace(performance=10 * toy.performance))
