import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.diagnosis.noise import noise_sweep

# Two models tie on the first query, the more expensive one is better on the second.
PERFORMANCE = np.array([[1.0, 1.0], [0.0, 1.0]])
COST_USD = np.array([[1.0, 2.0], [1.0, 2.0]])


def test_without_noise_it_is_the_oracle() -> None:
    # Eq. 3: the tie goes to the cheaper model, so half of the calls go to each; nothing is wasted
    found = noise_sweep(PERFORMANCE, COST_USD, sigmas=(0.0,), draws=3, rng=np.random.default_rng(0))
    assert found.performance.tolist() == [[1.0, 1.0, 1.0]]
    assert found.rci.tolist() == [[0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(found.call_share, np.full((1, 3, 2), 0.5))


def test_a_little_noise_breaks_ties_like_a_coin_and_loses_nothing() -> None:
    # 400 copies of the tie: half of the calls go to the more expensive model, each with RCI 1
    found = noise_sweep(
        np.ones((400, 2)),
        np.tile([1.0, 2.0], (400, 1)),
        sigmas=(1e-6,),
        draws=20,
        rng=np.random.default_rng(0),
    )
    assert found.performance.tolist() == [[1.0] * 20]
    assert found.rci.mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(found.rci, found.call_share[:, :, 1])


def test_a_budget_keeps_dear_models_out_whatever_the_noise() -> None:
    found = noise_sweep(
        PERFORMANCE,
        COST_USD,
        sigmas=(0.0, 5.0),
        draws=4,
        budget_usd=1.5,
        rng=np.random.default_rng(0),
    )
    assert (found.call_share[:, :, 0] == 1.0).all()
    assert (found.performance == 0.5).all()  # right on the first query, wrong on the second


def test_much_noise_leaves_chance() -> None:
    rng = np.random.default_rng(0)
    performance = rng.integers(0, 2, (2000, 4)).astype(float)
    found = noise_sweep(performance, np.ones((2000, 4)), sigmas=(1000.0,), draws=5, rng=rng)
    np.testing.assert_allclose(found.call_share.mean(axis=(0, 1)), 0.25, atol=0.02)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float64, (6, 3), elements=st.sampled_from([0.0, 0.5, 1.0])),
    arrays(np.float64, (6, 3), elements=st.sampled_from([1.0, 2.0, 3.0])),
)
def test_the_oracle_without_noise_is_never_beaten(
    performance: np.ndarray, cost_usd: np.ndarray
) -> None:
    found = noise_sweep(
        performance, cost_usd, sigmas=(0.0, 0.3, 3.0), draws=2, rng=np.random.default_rng(1)
    )
    assert (found.performance <= found.performance[0] + 1e-12).all()
    assert (found.rci[0] == 0.0).all()
    np.testing.assert_allclose(found.call_share.sum(axis=2), 1.0)


@pytest.mark.parametrize(
    ("sigmas", "draws", "words"),
    [
        ((-1.0,), 1, "sigmas are"),
        ((), 1, "sigmas are"),
        ((float("nan"),), 1, "sigmas are"),
        ((1.0,), 0, "0 draws"),
    ],
)
def test_settings_without_sense_are_refused(
    sigmas: tuple[float, ...], draws: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        noise_sweep(PERFORMANCE, COST_USD, sigmas=sigmas, draws=draws, rng=np.random.default_rng(0))


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(DataError, match="every outcome"):
        noise_sweep([[np.nan, 1.0]], [[1.0, 1.0]], rng=np.random.default_rng(0))


def test_by_default_the_first_sigma_is_no_noise_and_each_is_larger_than_the_last() -> None:
    sweep = noise_sweep(PERFORMANCE, COST_USD, draws=1, rng=np.random.default_rng(0))
    assert sweep.sigmas[0] == 0.0
    assert (np.diff(sweep.sigmas) > 0).all()
