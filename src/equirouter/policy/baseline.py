"""The behaviour of a pipeline when it was made, to which its decisions in service are compared."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from equirouter.arrays import FloatArray, IntArray
from equirouter.policy.utility import StrongestPolicy

PROBES = (
    "What is the capital of Australia?",
    "A shop sells pens at 3 for 2 dollars. How much do 21 pens cost? Think step by step.",
    "Write a Python function that returns the n-th Fibonacci number, with a docstring.",
    "Summarise the causes of the French Revolution in two paragraphs for a school newspaper.",
    "def area(r):\n    return 3.14 * r ** 2\n\nWhy does this fail for area('2')?",
    "Übersetze ins Englische: Der Zug nach Köln fährt heute von Gleis drei.",
)
"""Queries on which a pipeline is tried out; made up, so that no one's data is kept with it."""


@dataclass(frozen=True)
class ShareCurve:
    """How often the strongest model was chosen on validation queries, by a policy's setting.

    points (T,): rising. share (T,): in [0, 1].
    """

    points: tuple[float, ...]
    share: tuple[float, ...]

    def at(self, value: float) -> float:
        """The share at a setting: straight lines between the points, constant beyond them."""
        place = bisect_left(self.points, value)
        if place == 0:
            return self.share[0]
        if place == len(self.points):
            return self.share[-1]
        left, right = self.points[place - 1 : place + 1]
        if right == value:
            return self.share[place]
        part = (value - left) / (right - left)
        return self.share[place - 1] + part * (self.share[place] - self.share[place - 1])


@dataclass(frozen=True)
class Probe:
    """A query, and what router and cost model said of it, by the models of the pipeline, (K,)."""

    query: str
    scores: tuple[float, ...]
    predicted_cost_usd: tuple[float, ...]


@dataclass(frozen=True)
class Baseline:
    """strongest: the model with the highest mean performance in training.

    n_queries: of the validation part. strongest_share: by the setting's name (budget_usd, lambda),
    how often that model was chosen there. probes: empty where the encoder could not be asked.
    """

    strongest: str
    n_queries: int
    strongest_share: Mapping[str, ShareCurve]
    probes: tuple[Probe, ...] = ()

    def expected_share(self, setting: str, value: float) -> float | None:
        """How often the strongest model is chosen at an operating point, None if not known."""
        if setting == StrongestPolicy.setting:
            return 1.0
        curve = self.strongest_share.get(setting)
        return None if curve is None else curve.at(value)


def share_curve(chosen: IntArray, points: FloatArray, strongest: int) -> ShareCurve:
    """From the choices (V, T) on validation queries at the settings (T,), which rise or fall.

    Of equal settings the first counts.
    """
    share = (chosen == strongest).mean(axis=0)
    curve = dict(zip(reversed(points.tolist()), reversed(share.tolist()), strict=True))
    rising = sorted(curve)
    return ShareCurve(tuple(rising), tuple(curve[point] for point in rising))
