"""RouterDCRouter: its two losses by hand, and what it learns."""

import math

import numpy as np
import pytest

from equirouter.routers import Validation, make_router
from equirouter.testing import make_toy

torch = pytest.importorskip("torch", reason="the extra train is not installed")
from equirouter.routers.fitting.networks import (  # noqa: E402
    RouterDCNet,
    sample_llm_loss,
    sample_sample_loss,
)

NAN = float("nan")
SPECS = ["routerdc", "routerdc:projection=true", "routerdc:original"]


def first_loss(similarity: list[float], performance: list[float], top: int, bottom: int) -> float:
    loss = sample_llm_loss(
        torch.tensor([similarity]), torch.tensor([performance]), n_top=top, n_bottom=bottom
    )
    return float(loss)


def second_loss(similarity: list[list[float]], cluster: list[int], n: int) -> float:
    return float(sample_sample_loss(torch.tensor(similarity), torch.tensor(cluster), n_negatives=n))


def test_the_first_loss_sets_each_good_model_against_the_bad_ones() -> None:
    # positives: models 0 and 1; negatives: 2 and 3
    similarity, performance = [1.0, 2.0, 0.5, 0.0], [1.0, 0.8, 0.2, 0.0]
    bad = math.exp(0.5) + math.exp(0.0)
    one = -math.log(math.exp(1.0) / (math.exp(1.0) + bad))
    two = -math.log(math.exp(2.0) / (math.exp(2.0) + bad))
    assert first_loss(similarity, performance, 2, 2) == pytest.approx(one + two)
    assert first_loss(similarity, performance, 1, 2) == pytest.approx(one)
    worst = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(0.0)))
    assert first_loss(similarity, performance, 1, 1) == pytest.approx(worst)


def test_with_two_models_the_better_one_is_set_against_the_other() -> None:
    expected = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(3.0)))
    assert first_loss([1.0, 3.0], [1.0, 0.0], 2, 2) == pytest.approx(expected)
    # 0.4 is above 0 and not above 0.5: a positive against 0.3, and a negative of nothing better
    assert first_loss([1.0, 3.0], [0.4, 0.3], 2, 2) == pytest.approx(expected)


@pytest.mark.parametrize(
    "performance",
    [[1.0, 1.0], [0.0, 0.0], [0.4, 0.4], [1.0, 0.6], [1.0, NAN], [NAN, 0.0], [NAN, NAN]],
)
def test_ties_unknown_cells_and_two_good_models_teach_nothing(performance: list[float]) -> None:
    assert first_loss([1.0, 3.0], performance, 2, 2) == 0.0


def test_which_of_equally_good_models_count_as_best_is_drawn() -> None:
    torch.manual_seed(0)
    losses = {round(first_loss([5.0, 1.0, 0.0], [1.0, 1.0, 0.0], 1, 1), 4) for _ in range(30)}
    assert losses == {round(math.log(1 + math.exp(-x)), 4) for x in (5.0, 1.0)}


def test_the_second_loss_sets_a_fellow_against_queries_of_other_clusters() -> None:
    similarity = [[9.0, 2.0, 1.0], [2.0, 9.0, 0.0], [1.0, 0.0, 9.0]]
    # query 0: its fellow 1 at 2 against query 2 at 1; query 1: 2 against 0; query 2 has no fellow
    expected = (math.log(1 + math.exp(-1.0)) + math.log(1 + math.exp(-2.0))) / 2
    assert second_loss(similarity, [7, 7, 3], 1) == pytest.approx(expected)
    assert second_loss(similarity, [7, 7, 3], 30) == pytest.approx(expected)


def test_the_second_loss_is_0_where_there_is_nothing_to_compare() -> None:
    assert second_loss([[1.0, 0.5], [0.5, 1.0]], [0, 0], 3) == 0.0  # no other cluster
    assert second_loss([[1.0, 0.5], [0.5, 1.0]], [0, 1], 3) == 0.0  # no fellow
    assert second_loss([[1.0]], [0], 3) == 0.0


def test_the_queries_start_unturned() -> None:
    network = RouterDCNet(3, 2, projection=True)
    q = torch.tensor([[3.0, 0.0, 4.0]])
    assert network(q)[1].tolist()[0] == pytest.approx([0.6, 0.0, 0.8])


@pytest.mark.parametrize("spec", SPECS)
def test_it_ranks_what_can_be_ranked(spec: str) -> None:
    x = np.repeat(np.eye(2, dtype=np.float32), 100, axis=0)
    performance = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]]), 100, axis=0)
    performance[0, 1] = NAN
    router = make_router(spec, epochs=100, batch_size=200, learning_rate=0.01)
    router.fit(x, performance, np.ones((200, 2)), rng=np.random.default_rng(0))
    assert router.predict(x[[0, 150]]).argmax(axis=1).tolist() == [0, 1]
    assert router.scores_are == "ranking"


def test_scores_are_cosines_over_the_temperature() -> None:
    router = make_router("routerdc:projection=false:temperature=0.5")
    router.restore({"weights_.models": np.array([[3.0, 4.0], [0.0, 2.0]], dtype=np.float32)})
    scores = router.predict(np.array([[2.0, 0.0], [0.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(scores, [[1.2, 0.0], [0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("projection", [True, False])
def test_numpy_predicts_what_torch_trained(projection: bool) -> None:
    toy = make_toy()
    router = make_router("routerdc:epochs=2", projection=projection)
    router.fit(toy.embeddings, toy.performance, toy.cost_usd, rng=np.random.default_rng(0))
    network = RouterDCNet(6, 3, projection=projection)
    weights = {name.removeprefix("weights_."): array for name, array in router.state().items()}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    with torch.no_grad():
        cosine = network(torch.from_numpy(toy.embeddings))[0].numpy()
    np.testing.assert_allclose(
        router.predict(toy.embeddings), cosine / router.settings["temperature"], atol=1e-5
    )


def test_validation_stops_the_training() -> None:
    toy = make_toy()
    held_out = Validation(toy.embeddings[:50], 1 - toy.performance[:50], toy.cost_usd[:50])
    made = []
    for epochs in (3, 30):  # the opposite is held out: every epoch makes it worse
        router = make_router("routerdc:patience=1:batch_size=32", epochs=epochs)
        rng = np.random.default_rng(0)
        router.fit(toy.embeddings, toy.performance, toy.cost_usd, validation=held_out, rng=rng)
        made.append(router.predict(toy.embeddings))
    np.testing.assert_array_equal(made[0], made[1])


def test_the_original_has_both_losses_and_its_own_numbers() -> None:
    settings = make_router("routerdc:original").settings
    assert (settings["projection"], settings["temperature"], settings["n_top"]) == (True, 1.0, 3)
    assert not make_router("routerdc").settings["projection"]


def test_the_second_loss_draws_queries_of_a_cluster_together() -> None:
    # two clusters, and outcomes that teach nothing: only the second loss is there to turn queries
    rng = np.random.default_rng(0)
    x = np.repeat([[1.0, 0.0], [0.6, 0.8]], 50, axis=0) + rng.normal(0, 0.05, (100, 2))
    spec = "routerdc:projection=true:n_clusters=2:learning_rate=0.1:epochs=20"
    turned = []
    for weight in (0.0, 1.0):
        router = make_router(spec, sample_weight=weight)
        router.fit(
            x.astype(np.float32), np.ones((100, 2)), np.ones((100, 2)), rng=np.random.default_rng(0)
        )
        matrix = np.eye(2) + 0.1 * router.state()["weights_.turn"]
        first, second = (row @ matrix.T for row in ([1.0, 0.0], [0.6, 0.8]))
        turned.append(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    assert turned[0] == pytest.approx(0.6)
    assert turned[1] < 0.4


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 1), (3, 2)])
def test_few_queries_and_models_are_enough(spec: str, n: int, k: int) -> None:
    x = np.eye(3, dtype=np.float32)[:n]
    router = make_router(spec, epochs=2)
    router.fit(x, np.full((n, k), 0.5), np.ones((n, k)), rng=np.random.default_rng(0))
    assert np.isfinite(router.predict(x)).all()
