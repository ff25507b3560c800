"""GraphRouter: the dense algebra is message passing, by the node; and what predict does with it."""

import numpy as np
import pytest

from equirouter.arrays import Float32Array
from equirouter.errors import ConfigError, DataError
from equirouter.routers.networks.graphrouter import GraphRouter
from equirouter.routers.networks.irt import MIRTRouter, NIRTRouter
from equirouter.testing.problems import fit_described, make_descriptions, make_toy

torch = pytest.importorskip("torch", reason="the extra train is not installed")
from equirouter.routers.fitting.networks import StarNet  # noqa: E402


def random_star(width: int = 4) -> StarNet:
    torch.manual_seed(0)
    network = StarNet(torch.from_numpy(make_descriptions()), width=width).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network


def arrays_of(network: StarNet) -> dict[str, Float32Array]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def relu(x: float) -> float:
    return max(x, 0.0)


def convolved(
    nodes: dict[str, np.ndarray],
    edges: list[tuple[str, str]],
    weight: np.ndarray,
    bias: np.ndarray,
) -> dict[str, np.ndarray]:
    """One graph convolution as it is defined: every node adds up what arrives along its edges."""
    edges = edges + [(node, node) for node in nodes]  # self loops
    degree = {node: sum(target == node for _, target in edges) for node in nodes}
    arrived = {node: np.zeros(len(bias)) for node in nodes}
    for source, target in edges:
        message = weight @ nodes[source] / np.sqrt(degree[source] * degree[target])
        arrived[target] = arrived[target] + message
    return {node: np.vectorize(relu)(arrived[node] + bias) for node in nodes}


def test_the_star_is_message_passing_node_by_node() -> None:
    network = random_star()
    w = {name: array.astype(np.float64) for name, array in arrays_of(network).items()}
    queries, models = make_toy(n=5).embeddings, make_descriptions()
    expected = np.empty((5, 3))
    for row, query in enumerate(queries):
        nodes = {"query": query.astype(np.float64)}
        nodes |= {f"model {j}": models[j].astype(np.float64) for j in range(3)}
        edges = [("query", f"model {j}") for j in range(3)]
        for layer in ("first", "second"):
            nodes = convolved(nodes, edges, w[f"{layer}.weight"], w[f"{layer}.bias"])
        for j, (source, target) in enumerate(edges):
            both = np.concatenate([nodes[source], nodes[target]])
            hidden = np.vectorize(relu)(w["edge.weight"] @ both + w["edge.bias"])
            expected[row, j] = (w["out.weight"] @ hidden + w["out.bias"])[0]
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.from_numpy(queries)), expected, rtol=1e-4)


def test_one_convolution_by_hand() -> None:
    # One query q = 3 and one model m = 5, weight 2, no bias. The query hears itself: 2 * 3 = 6.
    # The model has two edges: 2 * 3 / sqrt(1 * 2) + 2 * 5 / sqrt(2 * 2) = 4.2426 + 5.
    nodes = {"q": np.array([3.0]), "m": np.array([5.0])}
    heard = convolved(nodes, [("q", "m")], np.array([[2.0]]), np.zeros(1))
    assert heard["q"] == pytest.approx([6.0])
    assert heard["m"] == pytest.approx([3 * np.sqrt(2) + 5])


@pytest.mark.parametrize("n", [2, 20])  # fewer queries than models, and more
def test_numpy_predicts_what_torch_trained(n: int) -> None:
    network, x = random_star(), make_toy(n=n).embeddings
    router = GraphRouter()
    router.weights_ = arrays_of(network)
    router.weights_["models"] = make_descriptions() @ router.weights_["first.weight"].T
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(router.predict(x), expected, atol=1e-5)


def test_without_descriptions_it_says_what_is_missing() -> None:
    toy = make_toy()
    for made in (GraphRouter(), MIRTRouter(), NIRTRouter()):
        with pytest.raises(ConfigError, match="reads descriptions of the models: give fit"):
            made.fit(*toy, rng=np.random.default_rng(0))
        with pytest.raises(DataError, match=r"\(2, 6\): expected \(3, 6\)"):
            fit_described(made, toy, make_descriptions(k=2))
        nothing = np.full((3, 6), np.nan, dtype=np.float32)
        with pytest.raises(DataError, match="description of model 0 is not finite"):
            fit_described(made, toy, nothing)
