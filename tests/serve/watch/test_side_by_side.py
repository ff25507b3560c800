"""Two versions side by side: how often a good one is found worse, how soon a bad one is."""

import math

import numpy as np
import pytest

from equirouter.serve.watch.side_by_side import CanaryVerdict, Measure, SideBySide

MEASURES = {
    "cost": Measure(1.0, 20.0, 0.1),
    "errors": Measure(0.01, 1.0, 0.01),
    "feedback": Measure(0.3, 1.0, 0.05),
}
STEP, N, RUNS = 50, 10_000, 100
FAR = 10**9


def run(
    seed: int, *, share: float = 0.1, cost: float = 1.0, errors: float = 0.01, score: float = 0.7
) -> tuple[CanaryVerdict | None, int]:
    """Looked at after every 50 conversations: the verdict, and after how many it came.

    Costs are heavy-tailed (a mean of 1, a spread of 1.8); one in ten is rated.
    """
    rng = np.random.default_rng(seed)
    test = SideBySide(share, MEASURES, 0.05)
    for n in range(STEP, N + 1, STEP):
        is_new = rng.random(STEP) < share
        costs = rng.lognormal(-0.72, 1.2, STEP) * np.where(is_new, cost, 1.0)
        failed = rng.random(STEP) < np.where(is_new, errors, 0.01)
        rated = rng.random(STEP) < 0.1
        bad = rng.random(STEP) < 1 - np.where(is_new, score, 0.7)
        test.add("cost", is_new, costs)
        test.add("errors", is_new, failed.astype(float))
        test.add("feedback", is_new[rated], bad[rated].astype(float))
        verdict = test.verdict(FAR)
        if verdict is not None:
            return verdict, n
    return None, N


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_one_that_is_no_worse_is_hardly_ever_found_so_however_often_one_looks(share: float) -> None:
    """At most 5 %: with 100 runs more than 10 would come with a probability of 1 %."""
    ends = [run(seed, share=share)[0] for seed in range(RUNS)]
    assert sum(end is not None and end.is_worse for end in ends) <= 10


@pytest.mark.parametrize(
    ("worse", "soon"),
    [
        ({"cost": 1.5}, 2500),
        ({"cost": 2.0}, 800),
        ({"errors": 0.05}, 3500),
        ({"errors": 1.0}, 50),
        ({"score": 0.4, "share": 0.5}, 3000),
    ],
)
def test_one_that_is_worse_is_found(worse: dict[str, float], soon: int) -> None:
    ends = [run(seed, **worse) for seed in range(10)]
    assert all(end is not None and end.is_worse for end, _ in ends)
    assert np.median([n for _, n in ends]) <= soon


@pytest.mark.parametrize("worse", [{"cost": 1.1}, {"errors": 0.02}, {"score": 0.65}])
def test_one_that_is_worse_by_a_margin_is_never_found_not_to_be(worse: dict[str, float]) -> None:
    ends = [run(seed, share=0.5, **worse)[0] for seed in range(30)]
    assert sum(end is not None and not end.is_worse for end in ends) <= 4  # 5 % of 30, and chance


def test_one_that_is_as_good_is_found_not_to_be_worse() -> None:
    test = SideBySide(0.5, {"errors": MEASURES["errors"]}, 0.05)
    rng = np.random.default_rng(0)
    is_new = rng.random(20_000) < 0.5
    test.add("errors", is_new, (rng.random(20_000) < 0.01).astype(float))
    verdict = test.verdict(FAR)
    assert verdict is not None
    assert not verdict.is_worse
    assert verdict.why.startswith("not worse within the margins: ")


def test_a_fortune_by_hand() -> None:
    """Half go there, and nothing fails usually: each failure there is worth 1 + bet * 2."""
    test = SideBySide(0.5, {"errors": Measure(0.0, 1.0, 0.01)}, 0.05)
    test.add("errors", np.array([True] * 3), np.ones(3))
    bets = 0.9 * 0.5 ** np.arange(14) / 2  # of which the largest could lose all but a tenth
    fortune = np.mean((1 + 2 * bets) ** 3)
    assert test.evidence()["errors"].worse == pytest.approx(math.log(fortune) / math.log(20))
    test.add("errors", np.array([False]), np.ones(1))
    fortune = np.mean((1 + 2 * bets) ** 3 * (1 - 2 * bets))
    found = test.evidence()["errors"]
    assert found.worse == pytest.approx(max(math.log(fortune) / math.log(20), 0))
    assert (found.n, found.mean) == ((1, 3), (1.0, 1.0))


def test_the_order_does_not_matter_and_enough_is_enough() -> None:
    rng = np.random.default_rng(1)
    is_new, values = rng.random(400) < 0.5, rng.random(400)
    pair = [SideBySide(0.5, {"cost": Measure(0.5, 2.0, 0.1)}, 0.05) for _ in range(2)]
    pair[0].add("cost", is_new, values)
    for rows in np.array_split(rng.permutation(400), 7):
        pair[1].add("cost", is_new[rows], values[rows])
    first, second = (test.evidence()["cost"] for test in pair)
    assert first.n == second.n
    assert (first.worse, first.not_worse) == pytest.approx((second.worse, second.not_worse))
    assert pair[0].verdict(FAR) is None
    n_new = int(is_new.sum())
    assert pair[0].verdict(n_new + 1) is None
    verdict = pair[0].verdict(n_new)
    assert verdict is not None
    assert verdict.why.startswith(f"nothing got worse in {n_new} units: ")
