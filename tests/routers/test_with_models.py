"""Routers of fewer models than they were trained on, where more than the columns change."""

import numpy as np
import pytest

from equirouter.errors import ConfigError
from equirouter.routers import make_router
from equirouter.routers.avengerspro import AvengersProRouter
from equirouter.routers.networks.equirouter import EquiRouter
from equirouter.testing import make_toy


def test_a_first_stage_stays_while_it_leaves_models_out() -> None:
    toy = make_toy(n=80, missing=0.0)
    cost_usd = np.hstack([toy.cost_usd, toy.cost_usd * 0.5])  # 6 models
    cost_usd[:, :] = np.array([5.0, 3.0, 6.0, 1.0, 4.0, 2.0])
    performance = np.hstack([toy.performance, toy.performance])
    router = EquiRouter(epochs=1, first_stage=3)
    router.fit(toy.embeddings, performance, cost_usd, rng=np.random.default_rng(0))
    assert router.first_stage_["by_cost"].tolist() == [3, 5, 1, 4, 0, 2]
    fewer = router.with_models(np.array([4, 0, 3, 2]))  # at 4, 5, 1 and 6 USD
    assert fewer.first_stage_["by_cost"].tolist() == [2, 0, 1, 3]
    np.testing.assert_array_equal(
        fewer.first_stage_["vectors"], router.first_stage_["vectors"][[4, 0, 3, 2]]
    )
    assert fewer.predict(toy.embeddings).shape == (80, 4)
    few = router.with_models(np.array([4, 0, 3]))  # all are scored in full now
    assert few.first_stage_ == {}
    whole = EquiRouter(epochs=1, first_stage=0)
    whole.fit(toy.embeddings, performance, cost_usd, rng=np.random.default_rng(0))
    np.testing.assert_allclose(
        few.predict(toy.embeddings), whole.predict(toy.embeddings)[:, [4, 0, 3]], atol=1e-6
    )


def test_ranks_are_counted_anew() -> None:
    toy = make_toy(n=80, missing=0.0)
    router = make_router("avengerspro:original:n_clusters=4")
    router.fit(toy.embeddings, toy.performance, toy.cost_usd, rng=np.random.default_rng(0))
    assert isinstance(router, AvengersProRouter)
    fewer = router.with_models(np.array([2, 0]))
    assert set(fewer.values_.ravel().tolist()) == {1.0, 0.5}
    first = fewer.values_[:, 0] > fewer.values_[:, 1]
    np.testing.assert_array_equal(first, router.values_[:, 2] > router.values_[:, 0])


def test_a_router_that_says_nothing_of_its_arrays_refuses() -> None:
    toy = make_toy(n=30)
    router = make_router("task").fit(
        np.eye(3, dtype=np.float32)[np.arange(30) % 3],
        toy.performance,
        toy.cost_usd,
        rng=np.random.default_rng(0),
    )
    with pytest.raises(ConfigError, match="cannot go on without one of its models"):
        router.with_models(np.array([0]))
