from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equirouter.errors import ConfigError, DataError
from equirouter.evaluation.diagnosis.noise import WinShares, check_claim, noise_sweep, win_shares

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


def test_a_budget_keeps_expensive_models_out_whatever_the_noise() -> None:
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


@settings(max_examples=25)
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


@pytest.mark.parametrize(
    ("means", "sigmas"), [((0.8, 0.7), 0.1), ((0.8, 0.7), (0.1, 0.3)), ((0.5, 0.5), 1.0)]
)
def test_two_models_win_as_often_as_the_normal_distribution_says(
    means: tuple[float, float], sigmas: float | tuple[float, float]
) -> None:
    # the difference of the scores is N(a_1 - a_2, s_1^2 + s_2^2); (0.1 / (0.1 sqrt 2)) -> 0.760
    first, second = np.broadcast_to(sigmas, 2)
    expected = NormalDist().cdf((means[0] - means[1]) / float(np.hypot(first, second)))
    found = win_shares(means, sigmas, draws=100_000, rng=np.random.default_rng(0))
    assert found.share[0] == pytest.approx(expected, abs=0.005)
    assert found.share.sum() == pytest.approx(1.0)


def test_equal_models_win_equally_often() -> None:
    found = win_shares([0.5] * 5, 0.2, draws=100_000, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.share, 0.2, atol=0.005)
    assert np.abs(found.lead_over(0)).max() < 4


def test_with_unequal_noise_two_weaker_models_win_more_often_than_the_strongest() -> None:
    # the strongest scores its mean; both others are above it with probability 1/2 each: it wins
    # when neither is, 1/4, and each of them 3/8
    found = win_shares(
        [0.0, -1e-9, -1e-9], [1e-9, 1.0, 1.0], draws=100_000, rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(found.share, [0.25, 0.375, 0.375], atol=0.005)
    assert (found.lead_over(0)[1:] > 4).all()


def test_the_lead_is_in_standard_errors_of_a_multinomial_difference() -> None:
    # 0.6 - 0.4 = 0.2; variance (0.6 + 0.4 - 0.04) / 96 = 0.01
    lead = WinShares(np.array([0.4, 0.6]), 96).lead_over(0)
    np.testing.assert_allclose(lead, [0.0, 2.0])


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.05, 2.0))
def test_with_noise_of_one_law_the_claim_is_not_refuted(means: list[float], sigma: float) -> None:
    pool = (np.array(means), np.full(len(means), sigma))
    assert check_claim([pool], draws=4000, rng=np.random.default_rng(0)).failures == 0


def test_a_check_counts_the_pools_that_fail() -> None:
    holds = (np.array([0.9, 0.1, 0.1]), np.full(3, 0.1))
    fails = (np.array([0.0, -0.01, -0.01]), np.array([1e-3, 1.0, 1.0]))
    found = check_claim([holds, fails, holds], draws=4000, rng=np.random.default_rng(0))
    assert (found.n_pools, found.failures) == (3, 1)
    assert found.lead[1] > 4 > found.lead[0]
    assert found.top_share[1] > found.strongest_share[1]


@pytest.mark.parametrize(
    ("means", "sigmas", "draws"),
    [
        ([0.5], 1.0, 1),
        ([0.5, 0.4], [1.0], 1),
        ([0.5, 0.4], 0.0, 1),
        ([0.5, np.inf], 1.0, 1),
        ([0.5, 0.4], 1.0, 0),
    ],
)
def test_means_and_noise_without_sense_are_refused(
    means: list[float], sigmas: float | list[float], draws: int
) -> None:
    with pytest.raises(ConfigError):
        win_shares(means, sigmas, draws=draws, rng=np.random.default_rng(0))


def test_draws_in_several_blocks_are_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equirouter.evaluation.diagnosis.noise._BLOCK_CELLS", 8)
    shares = win_shares([0.5, 0.4], 0.1, draws=10, rng=np.random.default_rng(0))  # blocks of 4
    assert shares.share.sum() == pytest.approx(1.0)
