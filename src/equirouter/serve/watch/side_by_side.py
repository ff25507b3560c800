"""Two versions side by side: is the new one worse, or surely not, however often one looks.

A unit, which is a conversation or a request without one, goes to the new version by chance, with
probability `share`. With A = 1 there and 0 elsewhere, and an outcome X of which less is better,

    Z = (X - usual) (A / share - (1 - A) / (1 - share))

has what the new version adds to X as its mean, whatever `usual` is and however X changes with time.
Who bets a small part of a fortune on Z > 0 at fair odds multiplies it by 1 + bet * Z; where the new
version adds nothing it does not grow on average, and ever reaches 1 / a with probability a at most
(Ville). Fortunes of bets of many sizes are averaged. The other way round, bets on Z < margin show
that the new version does not add the margin. Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting", 2024, arXiv:2010.09686.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from equirouter.arrays import BoolArray, FloatArray

_BETS = 0.9 * 0.5 ** np.arange(14)
"""Shares of the largest bet that cannot lose all."""


@dataclass(frozen=True, slots=True)
class Measure:
    """An outcome X in [0, most]. usual: about its mean. margin: what makes no difference."""

    usual: float
    most: float
    margin: float


@dataclass(frozen=True, slots=True)
class MeasureEvidence:
    """Of one measure. n, mean: of units with the old version, and with the new one.

    worse, not_worse: how near each is to be shown, 1 where it is; in logarithms.
    """

    n: tuple[int, int]
    mean: tuple[float | None, float | None]
    worse: float
    not_worse: float


@dataclass(frozen=True, slots=True)
class CanaryVerdict:
    """The end of a comparison. is_worse: the new version must not go on; why: in words."""

    is_worse: bool
    why: str


class _Tested:
    """One measure: logarithms of fortunes, a sum over units, so their order does not matter."""

    def __init__(self, measure: Measure, share: float) -> None:
        self._measure, self._share = measure, share
        usual, above = measure.usual, measure.most - measure.usual
        lowest = -max(usual / share, above / (1 - share))
        highest = max(above / share, usual / (1 - share))
        self._up = _BETS / -lowest
        self._down = _BETS / (highest - measure.margin)
        self._worse, self._not_worse = np.zeros(len(_BETS)), np.zeros(len(_BETS))
        self.n, self._sums = [0, 0], [0.0, 0.0]

    def add(self, is_new: BoolArray, values: FloatArray) -> None:
        clipped = np.clip(values, 0.0, self._measure.most)
        weights = np.where(is_new, 1 / self._share, -1 / (1 - self._share))
        z = (clipped - self._measure.usual) * weights
        self._worse += np.log1p(np.outer(z, self._up)).sum(axis=0)
        self._not_worse += np.log1p(np.outer(self._measure.margin - z, self._down)).sum(axis=0)
        for side, rows in enumerate((~is_new, is_new)):
            self.n[side] += int(rows.sum())
            self._sums[side] += float(values[rows].sum())

    def evidence(self, worse_at: float, not_worse_at: float) -> MeasureEvidence:
        means = [total / n if n else None for total, n in zip(self._sums, self.n, strict=True)]
        return MeasureEvidence(
            (self.n[0], self.n[1]),
            (means[0], means[1]),
            min(max(_mean(self._worse) / worse_at, 0.0), 1.0),
            min(max(_mean(self._not_worse) / not_worse_at, 0.0), 1.0),
        )


class SideBySide:
    """Adds up what each version brought, and says when one thing is shown.

    share: of the units that go to the new version. false_alarm: the probability, at most, with
    which one that is no worse in anything is ever found worse; and with which one that is worse by
    a margin is ever found not to be.
    """

    def __init__(self, share: float, measures: Mapping[str, Measure], false_alarm: float) -> None:
        self._tested = {name: _Tested(measure, share) for name, measure in measures.items()}
        self._worse_at = math.log(len(measures) / false_alarm)
        self._not_worse_at = math.log(1 / false_alarm)

    def add(self, measure: str, is_new: BoolArray, values: FloatArray) -> None:
        """Count units, each once for each measure."""
        self._tested[measure].add(is_new, values)

    def evidence(self) -> dict[str, MeasureEvidence]:
        """By measure."""
        return {
            name: tested.evidence(self._worse_at, self._not_worse_at)
            for name, tested in self._tested.items()
        }

    def verdict(self, enough: int) -> CanaryVerdict | None:
        """The end, None where it is open.

        enough: units with the new version after which it may go on if it is not found worse.
        Measures of which nothing is known say nothing.
        """
        evidence = self.evidence()
        for name, measured in evidence.items():
            if measured.worse >= 1:
                return CanaryVerdict(True, f"{name} got worse: {_said(name, measured)}")
        known = {name: measured for name, measured in evidence.items() if min(measured.n)}
        reasons = "; ".join(_said(name, measured) for name, measured in known.items())
        if known and all(measured.not_worse >= 1 for measured in known.values()):
            return CanaryVerdict(False, f"not worse within the margins: {reasons}")
        n = max(measured.n[1] for measured in evidence.values())
        if n >= enough:
            return CanaryVerdict(False, f"nothing got worse in {n} units: {reasons}")
        return None


def _mean(logarithms: FloatArray) -> float:
    """The logarithm of the mean of what they are the logarithms of."""
    most = float(logarithms.max())
    return most + math.log(float(np.exp(logarithms - most).mean()))


def _said(name: str, evidence: MeasureEvidence) -> str:
    old, new = (0.0 if mean is None else mean for mean in evidence.mean)
    if name == "feedback":  # kept as what is missing to a score of 1
        return f"a mean score of {1 - new:.3f} against {1 - old:.3f}"
    if name == "errors":
        return f"{new:.2%} failed against {old:.2%}"
    return f"{new:.3g} of the usual cost against {old:.3g}"
