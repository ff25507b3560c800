"""The head of EquiRouter: both forms of its algebra, and when the per-model parts are made."""

import numpy as np
import pytest
import torch

from equirouter.routers import make_router
from equirouter.routers.fitting.equirouter_net import EquiRouterNet
from equirouter.routers.fitting.loop import weights_of
from equirouter.routers.networks import equirouter, pool_head
from equirouter.testing import make_toy


@pytest.mark.parametrize("n_queries", [1, 4, 40])
@pytest.mark.parametrize("largest", [0, 2**18])
def test_one_matrix_per_model_or_none_give_the_scores_of_the_network(
    monkeypatch: pytest.MonkeyPatch, largest: int, n_queries: int
) -> None:
    monkeypatch.setattr(pool_head, "LARGEST_MATRIX", largest)
    torch.manual_seed(0)
    net = EquiRouterNet(
        5, 9, trunk=(16, 12), model_width=3, head_width=24, dropout=0.0, joint_feature=True
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        q = torch.randn(n_queries, 5)
        expected = net.eval()(q).numpy()
    router = make_router("equirouter", trunk=[16, 12])
    router.restore({f"weights_.{name}": array for name, array in weights_of(net).items()})
    np.testing.assert_allclose(router.predict(q.numpy()), expected, atol=1e-5)


def test_the_parts_of_a_router_are_made_once_and_again_for_other_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def count(*args: object, **kwargs: object) -> pool_head.Head:
        made.append(1)
        return pool_head.Head(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(equirouter, "Head", count)
    toy = make_toy(n=60)
    first = make_router("equirouter", epochs=1).fit(*toy, rng=np.random.default_rng(0))
    second = make_router("equirouter", epochs=1).fit(*toy, rng=np.random.default_rng(1))
    scores, others = first.predict(toy.embeddings), second.predict(toy.embeddings)
    assert not np.array_equal(scores, others)
    assert len(made) == 2
    np.testing.assert_array_equal(first.predict(toy.embeddings), scores)
    assert len(made) == 2
    first.restore(second.state())
    np.testing.assert_array_equal(first.predict(toy.embeddings), others)
    first.fit(*toy, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(first.predict(toy.embeddings), scores)
    assert len(made) == 4
