"""EmbedLLMRouter: what it learns, and that NumPy predicts what torch trained."""

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.routers import make_router
from equirouter.routers.networks.embedllm import EmbedLLMRouter
from equirouter.testing import make_toy

torch = pytest.importorskip("torch", reason="the extra train is not installed")
from equirouter.routers.fitting.networks import EmbedLLMNet  # noqa: E402

NAN = float("nan")
FORMS = ["embedllm", "embedllm:original"]


@pytest.mark.parametrize("spec", FORMS)
def test_it_learns_the_probability_of_a_right_answer(spec: str) -> None:
    x = np.repeat(np.eye(2, dtype=np.float32), 200, axis=0)
    performance = np.zeros((400, 2))
    performance[:150, 0] = 1.0  # first kind of query: model 0 is right on 150 of 200, model 1 never
    performance[200:300, 1] = 0.5  # second kind: model 1 is half right on 100 of 200
    performance[0, 1] = NAN
    router = make_router(spec, batch_size=400, learning_rate=0.01, epochs=200, noise=0.0)
    router.fit(x, performance, np.ones((400, 2)), rng=np.random.default_rng(0))
    expected = [[0.75, 0.0], [0.0, 0.25]]
    np.testing.assert_allclose(router.predict(x[[0, 200]]), expected, atol=0.05)
    assert router.scores_are == "expected_performance"


@pytest.mark.parametrize("classifier", [False, True])
def test_numpy_predicts_what_torch_trained(classifier: bool) -> None:
    torch.manual_seed(0)
    network = EmbedLLMNet(6, 3, width=5, noise=0.1, classifier=classifier).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    router = EmbedLLMRouter(classifier=classifier)
    router.weights_ = {name: value.numpy() for name, value in network.state_dict().items()}
    x = make_toy(n=20).embeddings
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(x))).numpy()
    np.testing.assert_allclose(router.predict(x), expected, atol=1e-6)


def test_the_logit_is_that_of_right_less_that_of_wrong() -> None:
    network = EmbedLLMNet(1, 1, width=2, noise=0.0, classifier=True)
    weights = {
        "query.weight": [[1.0], [2.0]],
        "query.bias": [0.0, 1.0],
        "models": [[3.0, 4.0]],
        "classifier.weight": [[1.0, 0.0], [0.0, 1.0]],
        "classifier.bias": [0.5, 0.0],
    }
    network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    # q = 2: projected (2, 5), times the model (6, 20); wrong 6 + 0.5, right 20
    assert network(torch.tensor([[2.0]])).item() == pytest.approx(13.5)


def test_noise_is_added_in_training_only() -> None:
    network = EmbedLLMNet(4, 2, width=3, noise=0.5, classifier=False)
    q = torch.ones(1, 4)
    assert not torch.equal(network.train()(q), network(q))
    assert torch.equal(network.eval()(q), network(q))


@pytest.mark.parametrize("spec", FORMS)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 1), (3, 2)])
def test_few_queries_and_models_are_enough(spec: str, n: int, k: int) -> None:
    x = np.eye(3, dtype=np.float32)[:n]
    router = make_router(spec, epochs=2)
    router.fit(x, np.full((n, k), 0.5), np.ones((n, k)), rng=np.random.default_rng(0))
    assert router.predict(x).shape == (n, k)


def test_the_original_has_its_own_width_and_schedule() -> None:
    settings = make_router("embedllm:original").settings
    assert (settings["width"], settings["noise"], settings["classifier"]) == (232, 0.05, True)
    assert (settings["epochs"], settings["learning_rate"]) == (50, 1e-4)


def test_performance_beyond_0_to_1_is_refused() -> None:
    toy = make_toy(missing=0.0)
    router = make_router("embedllm")
    with pytest.raises(DataError, match="goes from 0 to 10: embedllm takes it for a probability"):
        router.fit(toy.embeddings, 10 * toy.performance, toy.cost_usd, rng=np.random.default_rng(0))
