"""GraphRouter: the dense algebra is message passing, by the node; and what predict does with it."""

import numpy as np
import pytest

from equirouter.arrays import Float32Array
from equirouter.errors import ConfigError, DataError
from equirouter.routers import make_router
from equirouter.routers.networks.graphrouter import GraphRouter, star_scores
from equirouter.routers.networks.irt import MIRTRouter, NIRTRouter
from equirouter.testing.problems import fit_described, make_descriptions, make_toy

torch = pytest.importorskip("torch", reason="the extra train is not installed")
from equirouter.routers.fitting.networks import StarNet, WholeNet, edge_loss  # noqa: E402

NAN = float("nan")


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
    weights = arrays_of(network)
    weights["models"] = make_descriptions() @ weights["first.weight"].T
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(star_scores(weights, x), expected, atol=1e-5)


def test_the_whole_graph_is_message_passing_node_by_node() -> None:
    torch.manual_seed(1)
    models = torch.from_numpy(make_descriptions(k=2))
    network = WholeNet(models, width=4).eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.uniform_(0.1, 1.0)  # running means and variances too
    q = torch.from_numpy(make_toy(n=3).embeddings)
    features = torch.rand(3, 2, 3)
    visible = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    with torch.no_grad():
        found = network(q, features, visible[None])[0]
        nodes = {("q", n): network.query(q[n]) for n in range(3)}
        nodes |= {("m", j): network.model(models[j]) for j in range(2)}
        start = dict(nodes)
        for step, norm in enumerate(network.norms):
            arrived = {}
            for (kind, number), own in nodes.items():
                total = own.clone()
                for n in range(3):
                    if kind == "m" and visible[n, number]:
                        edge = torch.relu(network.features(features[n, number]))
                        total += network.messages[step](nodes["q", n]) + network.edges[step](edge)
                w = norm.state_dict()
                scaled = (total - w["mean"]) / torch.sqrt(w["variance"] + 1e-5)
                arrived[kind, number] = scaled * w["weight"] + w["bias"]
            nodes = arrived if step else {node: torch.relu(x) for node, x in arrived.items()}
        expected = torch.stack(
            [
                torch.stack([(start["q", n] * nodes["m", j]).mean() for j in range(2)])
                for n in range(3)
            ]
        )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_nodes_are_normalised_as_one_batch() -> None:
    torch.manual_seed(2)
    norm = WholeNet(torch.from_numpy(make_descriptions()), width=3).norms[0].train()
    ours = torch.nn.BatchNorm1d(3).train()
    queries, models = torch.randn(1, 5, 3), torch.randn(1, 2, 3)
    expected = ours(torch.cat([queries[0], models[0]]))
    found = torch.cat(norm(queries, models), dim=1)[0]
    np.testing.assert_allclose(found.detach(), expected.detach(), atol=1e-5)
    kept, known = norm.state_dict(), ours.state_dict()
    np.testing.assert_allclose(kept["mean"], known["running_mean"], atol=1e-6)
    np.testing.assert_allclose(kept["variance"], known["running_var"], atol=1e-6)


def test_the_labels_are_the_models_of_the_highest_utility() -> None:
    router = GraphRouter(graph="whole")
    performance = np.array([[1.0, 1.0, 0.0], [1.0, NAN, 0.6]])
    cost_usd = np.array([[1.0, 1.0, 1.0], [5.0, 2.0, 3.0]])
    features, labels = router._edges(performance, cost_usd)
    # costs scaled from 1..5 to 0..1: 0, 0, 0; 1, -, 0.5. The utility is the performance
    np.testing.assert_allclose(features[0, :, 0], [1.0, 1.0, 0.0])
    np.testing.assert_allclose(features[1, [0, 2]], [[1.0, 1.0, 1.0], [0.6, 0.5, 0.6]], rtol=1e-6)
    np.testing.assert_array_equal(labels, [[1.0, 1.0, 0.0], [1.0, NAN, 0.0]])


def test_an_edge_that_is_not_known_is_neither_seen_nor_predicted() -> None:
    torch.manual_seed(3)
    network = WholeNet(torch.from_numpy(make_descriptions()), width=4).eval()
    q, features = torch.randn(4, 6), torch.rand(4, 3, 3)
    labels = torch.tensor([[1.0, 0.0, NAN]] * 4)
    losses = []
    for value in (0.0, 100.0):
        features[:, 2] = value
        torch.manual_seed(4)
        losses.append(edge_loss(network, (q, features, labels), masks=3, visible=0.5).item())
    assert losses[0] == losses[1]


def test_the_original_ranks_and_beats_the_best_single_model() -> None:
    toy = make_toy(seed=1, n=600, missing=0.0)
    router = make_router("graphrouter:original", epochs=400, masks=4, learning_rate=1e-3)
    assert router.scores_are == "ranking"
    fit_described(router, toy.first(400))
    assert router.state().keys() == {
        "weights_.query.weight",
        "weights_.query.bias",
        "weights_.models",
    }
    picked = router.predict(toy.embeddings[400:]).argmax(axis=1)
    got = toy.performance[400:][np.arange(200), picked].mean()
    assert got > toy.performance[400:].mean(axis=0).max() + 0.1


def test_without_descriptions_it_says_what_is_missing() -> None:
    toy = make_toy()
    for made in (GraphRouter(), MIRTRouter(), NIRTRouter()):
        with pytest.raises(ConfigError, match="reads descriptions of the models: give fit"):
            made.fit(*toy, rng=np.random.default_rng(0))
        with pytest.raises(DataError, match=r"\(2, 6\): expected \(3, 6\)"):
            fit_described(made, toy, make_descriptions(k=2))
        nothing = np.full((3, 6), NAN, dtype=np.float32)
        with pytest.raises(DataError, match="description of model 0 is not finite"):
            fit_described(made, toy, nothing)
