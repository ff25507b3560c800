"""How sure a choice is: probabilities that come true."""

import numpy as np
import pytest

from equirouter.errors import DataError
from equirouter.policy import NOTHING_FITS, Certainty, fit_certainty


def test_the_probability_by_hand() -> None:
    # range 1 to 3: shares 1/2 and 3/4, log-odds 0 and log 3; the first model is chosen
    certainty = Certainty(intercept=0.0, own=2.0, best=1.0, lowest=1.0, highest=3.0)
    estimates = np.array([[2.0, 2.5], [2.0, 2.5]])
    found = certainty.of(estimates, np.array([0, 1]))
    assert found.tolist() == pytest.approx([3 / 4, 27 / 28])
    assert np.isnan(certainty.of(estimates[:1], np.array([NOTHING_FITS]))[0])
    alone = [certainty.of(estimates[:1], np.array([chosen]))[0] for chosen in (0, 1)]
    assert alone == found.tolist()
    assert [certainty.of_one([2.0, 2.5], chosen) for chosen in (0, 1)] == alone
    never = Certainty(-1e9, 0.0, 0.0, 0.0, 1.0)
    assert never.of(np.array([[0.5]]), np.array([0]))[0] < 1e-300


def test_stated_probabilities_come_true_on_queries_that_were_not_seen() -> None:
    rng = np.random.default_rng(1)
    chance = np.clip(rng.beta(2, 2, (6000, 1)) + rng.normal(0, 0.2, (6000, 3)), 0.02, 0.98)
    performance = (rng.random((6000, 3)) < chance).astype(float)
    chosen = rng.integers(0, 3, (6000, 4))
    half = slice(3000, None)
    found = fit_certainty(chance[:3000], chosen[:3000], performance[:3000])
    stated = found.of(chance[half], chosen[half, 0])
    got = performance[half][np.arange(3000), chosen[half, 0]]
    good = got >= performance[half].max(axis=1) - 0.02
    for rows in np.array_split(np.argsort(stated), 5):
        assert stated[rows].mean() == pytest.approx(good[rows].mean(), abs=0.08)
    assert ((stated - good) ** 2).mean() < 0.95 * good.var()  # it tells queries apart


def test_the_fit_is_at_its_maximum() -> None:
    """There the slope of the likelihood is that of the prior: 1 query's worth on each weight."""
    rng = np.random.default_rng(2)
    chance = rng.uniform(0.1, 0.9, (50, 3))
    performance = (rng.random((50, 3)) < chance).astype(float)
    chosen = rng.integers(0, 3, (50, 1))
    found = fit_certainty(chance, chosen, performance)
    odds = np.log(chance / (1 - chance))
    good = performance[np.arange(50), chosen[:, 0]] >= performance.max(axis=1) - 0.02
    over = good - found.of(chance, chosen[:, 0])
    assert over.sum() == pytest.approx(0.0, abs=1e-4)
    assert over @ odds[np.arange(50), chosen[:, 0]] == pytest.approx(found.own, abs=1e-4)
    assert over @ odds.max(axis=1) == pytest.approx(found.best, abs=1e-4)


def test_choices_that_are_always_best_are_sure_and_finite() -> None:
    performance = np.tile([1.0, 0.0], (50, 1))
    found = fit_certainty(performance, np.zeros((50, 2), dtype=np.int64), performance)
    assert 0.9 < found.of(performance[:1], np.array([0]))[0] <= 1.0


def test_nothing_can_be_learned_from_no_decision() -> None:
    with pytest.raises(DataError, match="no decision"):
        fit_certainty(np.ones((0, 2)), np.zeros((0, 3), dtype=np.int64), np.ones((0, 2)))
