import numpy as np
import pytest

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError
from equirouter.evaluation.bootstrap import (
    BLOCK_BYTES,
    interval,
    resample_counts,
    weighted_means,
)


def resampled_means(
    values: FloatArray, resamples: int, rng: np.random.Generator, block: int | None = None
) -> FloatArray:
    blocks = resample_counts(len(values), resamples, rng, block)
    return np.concatenate([weighted_means(counts, values) for counts in blocks])


def test_every_resample_draws_as_many_queries_as_there_are() -> None:
    counts = np.concatenate(list(resample_counts(7, 50, np.random.default_rng(0), block=8)))
    assert counts.shape == (50, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert (counts == counts.round()).all()


def test_queries_are_drawn_with_replacement_and_equal_chance() -> None:
    counts = np.concatenate(list(resample_counts(20, 4000, np.random.default_rng(0))))
    # binomial(20, 1/20): mean 1, variance 20 * 1/20 * 19/20 = 0.95
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.07)  # 4.5 standard errors
    assert counts.var() == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("block", [1, 3, 10, None])
def test_the_block_size_does_not_change_what_is_drawn(block: int | None) -> None:
    whole = np.concatenate(list(resample_counts(13, 10, np.random.default_rng(5), block=10)))
    parts = np.concatenate(list(resample_counts(13, 10, np.random.default_rng(5), block=block)))
    np.testing.assert_array_equal(parts, whole)


def test_one_seed_gives_one_set_of_resamples_and_another_seed_another() -> None:
    first, second, other = (
        next(resample_counts(30, 5, np.random.default_rng(seed))) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_memory_for_counts_is_bounded() -> None:
    n_queries = 100_000
    counts = next(resample_counts(n_queries, 1000, np.random.default_rng(0)))
    assert counts.nbytes <= BLOCK_BYTES
    assert len(counts) == BLOCK_BYTES // (8 * n_queries)


@pytest.mark.parametrize(("n_queries", "resamples", "block"), [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_numbers_that_make_no_sense_are_refused(n_queries: int, resamples: int, block: int) -> None:
    with pytest.raises(ConfigError, match="cannot draw"):
        next(resample_counts(n_queries, resamples, np.random.default_rng(0), block))


def test_weighted_means_by_hand() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    # ones: (1 + 2 + 6)/3; query 2 twice and query 0 once: (1 + 2 * 6)/3
    counts = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0]])
    np.testing.assert_allclose(weighted_means(counts, values), [[3.0, 30.0], [13 / 3, 130 / 3]])


@pytest.mark.parametrize("block", [2, 3, None])
def test_resampled_means_are_the_means_of_the_drawn_queries(block: int | None) -> None:
    values = np.random.default_rng(0).random((6, 4))
    counts = np.concatenate(list(resample_counts(6, 5, np.random.default_rng(3))))
    expected = [np.repeat(values, row.astype(int), axis=0).mean(axis=0) for row in counts]
    means = resampled_means(values, 5, np.random.default_rng(3), block)
    np.testing.assert_allclose(means, expected, rtol=1e-12)


def test_interval_by_hand() -> None:
    # 0, 1, ..., 100: the 2.5th and the 97.5th percentile
    assert interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))


def test_draws_without_a_value_are_left_out() -> None:
    draws = np.concatenate([np.arange(101.0), np.full(99, np.nan)])
    assert interval(draws) == pytest.approx((2.5, 97.5))


def test_no_interval_when_fewer_than_half_of_the_draws_have_a_value() -> None:
    half = np.concatenate([np.arange(100.0), np.full(100, np.nan)])
    assert interval(half) is not None
    assert interval(np.append(half, np.nan)) is None
    assert interval(np.full(3, np.nan)) is None
    assert interval(np.empty(0)) is None


def test_pooling_covers_the_seeds() -> None:
    # one seed around 0, one around 10, each within 1: the pool spans both
    seeds = [np.linspace(-1, 1, 200), np.linspace(9, 11, 200)]
    pooled = interval(*seeds)
    assert pooled is not None
    assert pooled == interval(np.concatenate(seeds))
    assert pooled[0] < 0 < 10 < pooled[1]


def test_pooling_one_seed_changes_nothing_and_none_gives_none() -> None:
    assert interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))
    assert interval() is None


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    # 300 samples of 100 outcomes that are 1 with chance 0.7; the number of intervals that hold 0.7
    # is binomial(300, ~0.945), standard error 0.013: between 0.905 and 0.985 in all but 1 in 300
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        sample = (rng.random((100, 1)) < 0.7).astype(np.float64)
        found = interval(resampled_means(sample, 300, rng)[:, 0])
        assert found is not None
        covered += found[0] <= 0.7 <= found[1]
    assert 0.905 <= covered / 300 <= 0.985
