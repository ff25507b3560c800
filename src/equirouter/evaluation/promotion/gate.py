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

        The promise is the higher of the two that they make. Equal in quality: the 95 % interval of
        the difference begins above -margin. Then the challenger may cost the margin more in the
        mean, and more than that where it is surely better than a champion that is below the
        promise in the mean. Else the interval of what it keeps has to begin above the promise less
        the margin, and it has to be surely cheaper: what a champion keeps beyond the promise is not
        asked of its successor. So a challenger that is lower by the margin than both the champion
        and the promise passes with a probability of at most 5 %, 2.5 % for each.

        Below the promise the challenger is no lower than the champion in the mean, or many small
        steps would lead down. No task is lower than the promise by more than the margin, and surely
        lower than the champion's by as much. Decisions are not surely slower by 10 ms.
        """
        return Verdict(tuple(self._objections(comparison)))

    def _objections(self, comparison: Comparison) -> Iterator[str]:
        if comparison.n_effective < self.minimum_rows:
            yield (
                f"{comparison.n_queries} queries that are new to both, "
                f"worth {comparison.n_effective:.0f} different ones, "
                f"are too few: {self.minimum_rows} are needed"
            )
        promise = max(comparison.promised)
        yield from self._of_quality(comparison, promise)
        yield from self._of_cost(comparison, promise)
        for task, paired in comparison.tasks.items():
            if paired.high < -self.margin and paired.challenger < promise - self.margin:
                yield (
                    f"on {task!r} it keeps {paired.challenger:.3f} where {paired.champion:.3f} is "
                    f"kept now ({_range(paired)})"
                )
        timed = comparison.decision_ms
        if timed is not None and timed.low > SLOWER_MS:
            yield (f"a decision takes {timed.challenger:.1f} ms, and {timed.champion:.1f} ms now")

    def _of_quality(self, comparison: Comparison, promise: float) -> Iterator[str]:
        quality, kept = comparison.quality, comparison.kept[1]
        told = (
            f"it keeps {kept.value:.3f} {interval(kept.low, kept.high)} of "
            f"{comparison.strongest}'s quality where {promise:g} is promised and "
            f"{quality.champion:.3f} kept now"
        )
        if not self._is_equal(quality) and kept.low < promise - self.margin:
            yield f"{told}, and may be below both by {self.margin:g} ({_range(quality)})"
        elif kept.value < promise and quality.difference < 0:
            yield f"{told}: below the promise it must not be lower"

    def _of_cost(self, comparison: Comparison, promise: float) -> Iterator[str]:
        quality, cost = comparison.quality, comparison.cost
        told = (
            f"it costs {cost.challenger:.1%} of always {comparison.strongest} where "
            f"{cost.champion:.1%} is paid now ({_range(cost)})"
        )
        repairs = comparison.kept[0].value < promise and quality.low > 0
        if cost.difference > self.margin and not repairs:
            yield told
        elif not self._is_equal(quality) and cost.high >= 0:
            yield f"{told}: it may keep less ({_range(quality)}), and is not surely cheaper"

    def _is_equal(self, quality: Paired) -> bool:
        return quality.low >= -self.margin


def _range(paired: Paired) -> str:
    return f"difference {interval(paired.low, paired.high, '+.3f')}"
