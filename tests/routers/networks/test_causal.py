"""CausalRouter: its regret by hand, its trade-off, and logs with one outcome per query."""

import math

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.routers.base import Validation
from equirouter.routers.networks.causal import CausalRouter, complete_logged
from equirouter.testing.problems import make_toy

torch = pytest.importorskip("torch")
from equirouter.routers.fitting import networks  # noqa: E402  # it imports torch

NAN = float("nan")


def test_the_regret_of_a_softmax_choice_by_hand() -> None:
    # softmax of (ln 3, 0) is (3/4, 1/4), and 0.9 is best: 1/4 of the time 0.9 - 0.5 is lost
    logits = torch.tensor([[math.log(3.0), 0.0]])
    utility = torch.tensor([[0.9, 0.5]])
    assert float(networks.regret_of(logits, utility)) == pytest.approx(0.25 * 0.4)


def test_a_model_whose_outcome_is_not_known_is_not_there() -> None:
    # without the third: softmax (1/2, 1/2), half of the time 1.0 - 0.0 is lost; the second query
    # knows nothing and does not count
    logits = torch.tensor([[0.0, 0.0, 5.0], [1.0, 2.0, 3.0]])
    utility = torch.tensor([[1.0, 0.0, NAN], [NAN, NAN, NAN]])
    assert float(networks.regret_of(logits, utility)) == pytest.approx(0.5)


def test_classification_is_the_cross_entropy_to_the_best() -> None:
    # -ln softmax(ln 3, 0)[0] = -ln(3/4)
    logits = torch.tensor([[math.log(3.0), 0.0]])
    utility = torch.tensor([[0.9, 0.5]])
    found = networks.regret_of(logits, utility, as_classes=True)
    assert float(found) == pytest.approx(-math.log(0.75))


def log_of(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x (n, 2), performance and cost of a log (n, 2), and the true mean performance (2,).

    Easy queries (x0 > 0) are answered by either model 9 times in 10, hard ones by model 0 never and
    by model 1 every second time. Model 0 is called on 9 of 10 easy and 1 of 10 hard queries. x1
    says nothing.
    """
    rng = np.random.default_rng(seed)
    easy = rng.random(n) < 0.5
    x = np.stack([np.where(easy, 1.0, -1.0), rng.standard_normal(n)], axis=1).astype(np.float32)
    right = np.where(easy[:, None], [0.9, 0.9], [0.0, 0.5])
    outcome = (rng.random((n, 2)) < right).astype(float)
    called = np.where(rng.random(n) < np.where(easy, 0.9, 0.1), 0, 1)
    performance = np.full((n, 2), np.nan)
    performance[np.arange(n), called] = outcome[np.arange(n), called]
    cost_usd = np.where(np.isfinite(performance), [0.001, 0.01], np.nan)
    return x, performance, cost_usd, np.array([0.45, 0.7])


def test_estimates_from_a_confounded_log_are_right_on_average() -> None:
    x, performance, cost_usd, truth = log_of(20_000, seed=1)
    # what was seen: model 0 mostly on easy queries, 0.9 * 0.9 = 0.81 in place of 0.45
    assert np.nanmean(performance[:, 0]) == pytest.approx(0.81, abs=0.02)
    filled, costs = complete_logged(
        x, performance, cost_usd, clip=0.02, rng=np.random.default_rng(0)
    )
    # standard error: at most sqrt(0.25 / 0.1 / 20,000) = 0.011
    assert filled.mean(axis=0) == pytest.approx(truth, abs=0.035)
    assert costs.mean(axis=0) == pytest.approx([0.001, 0.01], rel=0.01)


def test_a_table_that_is_no_log_stays_as_it_is() -> None:
    toy = make_toy()  # some queries know one outcome, others three
    performance, cost_usd = complete_logged(*toy, clip=0.02, rng=np.random.default_rng(0))
    assert np.array_equal(performance, toy.performance, equal_nan=True)
    assert np.array_equal(cost_usd, toy.cost_usd, equal_nan=True)


def test_from_a_log_it_learns_whom_to_call() -> None:
    x, performance, cost_usd, _ = log_of(4_000, seed=2)
    router = CausalRouter(epochs=40, hidden=16)
    router.fit(x, performance, cost_usd, rng=np.random.default_rng(0))
    hard = router.predict(x[x[:, 0] < 0]).argmax(axis=1)
    assert (hard == 1).mean() > 0.95


def test_only_validation_with_several_outcomes_per_query_stops_the_training() -> None:
    """A log shows no regret: stopped by it, training would keep the first epoch's weights."""
    x, performance, cost_usd, _ = log_of(400, seed=2)
    opposite = np.stack([x[:, 0] < 0, x[:, 0] > 0], axis=1).astype(float)
    fits = {}
    for name, held_out in (
        ("none", None),
        ("log", Validation(x, performance, cost_usd)),
        ("complete", Validation(x, opposite, np.ones((400, 2)))),
    ):
        router = CausalRouter(epochs=20, hidden=8, patience=1)
        router.fit(x, performance, cost_usd, validation=held_out, rng=np.random.default_rng(0))
        fits[name] = router.predict(x)
    np.testing.assert_array_equal(fits["log"], fits["none"])
    assert not np.allclose(fits["complete"], fits["none"])


def test_a_model_that_was_hardly_called_is_named() -> None:
    x, performance, cost_usd, _ = log_of(40, seed=4)
    performance[:, 1] = np.nan
    performance[0] = [np.nan, 1.0]
    with pytest.raises(DataError, match="model 1 was called on 1 of"):
        complete_logged(x, performance, cost_usd, clip=0.02, rng=np.random.default_rng(0))
