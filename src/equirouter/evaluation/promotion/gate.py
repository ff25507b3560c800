"""The gate: whether a challenger may take the champion's place, by a comparison of the two."""

from collections.abc import Iterator
from dataclasses import dataclass

from equirouter.errors import ConfigError
from equirouter.evaluation.promotion.comparison import Comparison, Paired
from equirouter.words import interval

SLOWER_MS = 10.0
"""A decision that takes so much longer is felt before the first word of an answer."""


@dataclass(frozen=True)
class Verdict:
    """Whether the challenger passes; objections: why not, a sentence each."""

    objections: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.objections

    @property
    def why(self) -> str:
        """The objections in one line."""
        return "; ".join(self.objections)


@dataclass(frozen=True)
class Gate:
    """The rule. margin: a share of the strongest model's quality and cost that is no difference.

    minimum_rows: effective queries below which nothing is decided. Raises ConfigError for a margin
    that is not within 0 and 0.5, and fewer than 30 rows.
    """

    margin: float = 0.02
    minimum_rows: int = 200

    def __post_init__(self) -> None:
        if not 0 < self.margin < 0.5:
            raise ConfigError(f"margin is {self.margin}: expected above 0 and below 0.5")
        if self.minimum_rows < 30:
            raise ConfigError(f"minimum_rows is {self.minimum_rows}: expected at least 30")

    def judge(self, comparison: Comparison) -> Verdict:
        """Whether the challenger is better, or equal within the margin, and shown to be so.

        The lower end of the 95 % interval of the quality's difference is not below -margin: a
        challenger that is worse by the margin or more passes with a probability of at most 2.5 %.
        In the mean it costs no more than the margin above the champion, unless the champion surely
        misses its promise and the challenger does not. It does not surely miss its own where the
        champion does not. No task is surely worse by more than the margin, and decisions are not
        surely slower by 10 ms.
        """
        return Verdict(tuple(self._objections(comparison)))

    def _objections(self, comparison: Comparison) -> Iterator[str]:
        if comparison.n_effective < self.minimum_rows:
            yield (
                f"{comparison.n_queries} queries that are new to both, "
                f"worth {comparison.n_effective:.0f} different ones, "
                f"are too few: {self.minimum_rows} are needed"
            )
        quality, cost = comparison.quality, comparison.cost
        if quality.low < -self.margin:
            yield (
                f"it keeps {quality.challenger:.3f} of {comparison.strongest}'s quality where "
                f"{quality.champion:.3f} is kept now, and the difference may be below "
                f"-{self.margin:g} ({_range(quality)})"
            )
        missed = [
            kept.high < promised
            for kept, promised in zip(comparison.kept, comparison.promised, strict=True)
        ]
        if missed[1] and not missed[0]:
            yield (
                f"it promises {comparison.promised[1]:g} and keeps {comparison.kept[1].value:.3f} "
                f"{interval(comparison.kept[1].low, comparison.kept[1].high)}"
            )
        repairs = missed[0] and not missed[1]
        if not repairs and cost.difference > self.margin:
            yield (
                f"it costs {cost.challenger:.1%} of always {comparison.strongest} where "
                f"{cost.champion:.1%} is paid now ({_range(cost)})"
            )
        for task, paired in comparison.tasks.items():
            if paired.high < -self.margin:
                yield (
                    f"on {task!r} it keeps {paired.challenger:.3f} where {paired.champion:.3f} is "
                    f"kept now ({_range(paired)})"
                )
        timed = comparison.decision_ms
        if timed is not None and timed.low > SLOWER_MS:
            yield (f"a decision takes {timed.challenger:.1f} ms, and {timed.champion:.1f} ms now")


def _range(paired: Paired) -> str:
    return f"difference {interval(paired.low, paired.high, '+.3f')}"
