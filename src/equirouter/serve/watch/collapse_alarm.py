"""Routing collapse as it happens: the strongest model is chosen far more often than expected.

Each decision comes with the probability p at which calibration saw the strongest model chosen at
its operating point. The alarm tests whether the true share is above p + tolerance. It adds up, over
every decision at which the share may have begun to be too high, the likelihood ratio of all
decisions since then, of a higher share against p + tolerance (Shiryaev 1963, Roberts 1966; as an
"e-detector": Shin, Ramdas and Rinaldo 2022, arXiv:2203.03532). While the share is not too high,
that sum grows by no more than 1 a decision on average. So an alarm at a sum of A comes, if nothing
is wrong, after A decisions or more on average, however long one looks and whatever mixture of
operating points the decisions come from.

What is watched may be any value in [0, 1] whose mean should not exceed what is expected: the ratio
is then that of a bet at fair odds. drift.py watches others by it.
"""

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from equirouter.serve.records import RequestControl, RequestRecord
from equirouter.serve.watch.prometheus import Metrics
from equirouter.serve.watch_settings import CollapseSettings

_LOG = logging.getLogger("equirouter.serve")

AUTO = "auto"
OTHER = "other"
MOST_CLASSES = 32
"""Classes that are watched apart; the rest are one, so that clients cannot fill the memory."""

_FEWER, _MORE = "fewer", "more"  # answers of two models that are accepted
_TOWARDS_ONE = (0.2, 0.5, 0.9)
"""Shares that are tested against: this far from p + tolerance to 1, all three at once."""


@dataclass(frozen=True, slots=True)
class CollapseState:
    """Of one class. decisions: that are looked at. share: of them that chose the strongest model.

    expected: what calibration saw at their operating points; None where that is not known of any in
    the window, and then all are looked at, else those of which it is. is_alarm: whether routing has
    collapsed; evidence: 1 where the alarm begins.
    """

    decisions: int
    share: float
    expected: float | None
    is_alarm: bool = False
    evidence: float = 0.0


class CollapseWatch:
    """Counts decisions by class, and raises an alarm for a class that has collapsed.

    An alarm ends when the share in the window is within the tolerance again. towards_one: the
    shares that are tested against; most: classes that are watched apart.
    """

    def __init__(
        self,
        settings: CollapseSettings,
        *,
        towards_one: Sequence[float] = _TOWARDS_ONE,
        most: int = MOST_CLASSES,
    ) -> None:
        self._settings, self._towards_one, self._most = settings, towards_one, most
        self._classes: dict[str, _Class] = {}

    def observe(self, class_: str, expected: float | None, value: float) -> bool:
        """Count a decision; returns whether the alarm of its class was raised or ended by it.

        value: whether the strongest model was chosen. expected: in [0, 1], None where calibration
        says nothing; it then counts for the share only.
        """
        return self._class(class_).observe(expected, value)

    def state(self, class_: str) -> CollapseState:
        """Of a class that was observed."""
        return self._class(class_).state()

    def states(self) -> Mapping[str, CollapseState]:
        """Of every class."""
        return {name: watched.state() for name, watched in self._classes.items()}

    def reset(self) -> None:
        """Forget all: another pipeline decides."""
        self._classes.clear()

    def _class(self, name: str) -> "_Class":
        if name not in self._classes and len(self._classes) >= self._most:
            name = OTHER
        watched = self._classes.get(name)
        if watched is None:
            watched = self._classes[name] = _Class(self._settings, self._towards_one)
        return watched


class _Class:
    def __init__(self, settings: CollapseSettings, towards_one: Sequence[float]) -> None:
        self._settings, self._towards_one = settings, towards_one
        self._window: deque[tuple[float, float | None]] = deque()
        self._n_known = 0
        self._total = self._known_total = self._expected = 0.0
        self._tested = 0  # since the sums began
        self._sums = [0.0] * len(towards_one)
        self._is_alarm = False

    def observe(self, expected: float | None, value: float) -> bool:
        self._slide(value, expected)
        if expected is not None:
            self._test(expected, value)
        before = self._is_alarm
        if not before:
            if self._evidence() >= 1 and self._tested >= self._settings.minimum:
                self._raise()
        elif self._is_back():
            self._is_alarm, self._tested = False, 0
            self._sums = [0.0] * len(self._sums)
        return before != self._is_alarm

    def _raise(self) -> None:
        """Forget all but the latest: what came before the alarm must not end it."""
        self._is_alarm, self._tested = True, 0
        while len(self._window) > self._settings.minimum:
            self._count(*self._window.popleft(), -1)

    def state(self) -> CollapseState:
        is_known = self._n_known > 0
        n = self._n_known if is_known else len(self._window)
        chosen = self._known_total if is_known else self._total
        return CollapseState(
            decisions=n,
            share=chosen / n if n else 0.0,
            expected=self._expected / n if is_known else None,
            is_alarm=self._is_alarm,
            evidence=min(self._evidence(), 1.0),
        )

    def _slide(self, value: float, expected: float | None) -> None:
        self._window.append((value, expected))
        self._count(value, expected, 1)
        if len(self._window) > self._settings.window:
            self._count(*self._window.popleft(), -1)

    def _count(self, value: float, expected: float | None, by: int) -> None:
        self._total += by * value
        if expected is not None:
            self._n_known += by
            self._known_total += by * value
            self._expected += by * expected

    def _test(self, expected: float, value: float) -> None:
        self._tested += 1
        share = max(expected + self._settings.tolerance, 1e-3)
        if share >= 1:
            return  # no share is too high
        most = self._settings.false_alarm_every
        for place, part in enumerate(self._towards_one):
            higher = share + part * (1 - share)
            ratio = 1 + (higher - share) * (value - share) / (share * (1 - share))
            # beyond the threshold it only has to be remembered
            self._sums[place] = min((self._sums[place] + 1) * ratio, most * len(self._sums))

    def _evidence(self) -> float:
        mean = math.fsum(self._sums) / len(self._sums)
        return mean / self._settings.false_alarm_every

    def _is_back(self) -> bool:
        if not self._n_known or self._tested < self._settings.minimum:
            return False
        excess = (self._known_total - self._expected) / self._n_known
        return excess <= self._settings.tolerance


def collapse_class(control: RequestControl) -> str:
    """The class of what a request asks for: its kind, and about how much.

    Budgets and lambdas are classed by the next of 1, 2, 5, 10, ... above; qualities by hundredths.
    """
    if control.budget_usd is not None:
        return f"budget up to {_rounded_up(control.budget_usd):g}"
    if control.quality is not None:
        return f"quality {math.floor(control.quality * 100 + 1e-9) / 100:g}"
    if control.lambda_ is not None:
        return f"lambda up to {_rounded_up(control.lambda_):g}"
    return AUTO


def _rounded_up(value: float) -> float:
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    for step in (1, 2, 5):
        if value <= step * power * (1 + 1e-9):
            return step * power
    return 10 * power


@dataclass(frozen=True, slots=True)
class AgreementState:
    """Of the latest pairs. share: of them whose answer was accepted.

    expected: None where that is not known of any. drifts: which way, None where no alarm is on.
    evidence: 1 where an alarm begins.
    """

    decisions: int = 0
    share: float = 0.0
    expected: float | None = None
    drifts: str | None = None
    evidence: float = 0.0


class AgreementWatch:
    """Counts pairs that replied, and raises an alarm where far more or fewer are accepted.

    Each pair is asked with the probability at which one more model was asked when its plans were
    learned. Fewer answers that are accepted cost money, more of them may be wrong, as after a
    change of a model or a prompt that makes both say the same. Without a drift, one comes after
    `false_alarm_every` / 2 pairs or more on average.
    """

    def __init__(self, settings: CollapseSettings, metrics: Metrics) -> None:
        self._watch = CollapseWatch(settings)
        self._metrics = metrics

    def count(self, record: RequestRecord) -> bool | None:
        """Count a request that is over; whether that raised or ended an alarm, None if it does not.

        Only those count of which both models replied.
        """
        how, plan = record.cascade, record.plan
        if how is None or plan is None or plan.pair is None or how.why in ("failed", "late"):
            return None
        more = plan.pair.p_escalate
        is_accepted = how.ended == "accepted"
        fewer = self._watch.observe(_FEWER, more, not is_accepted)
        changed = self._watch.observe(_MORE, None if more is None else 1.0 - more, is_accepted)
        return fewer or changed

    def note(self, record: RequestRecord) -> None:
        """Count a request that is over, and say where that raised or ended an alarm."""
        has_changed = self.count(record)
        if has_changed is None:
            return
        state = self.state()
        self._metrics.agreement(state.share, state.expected, alarm=state.drifts is not None)
        if has_changed:
            _LOG.log(
                logging.WARNING if state.drifts else logging.INFO,
                "agreement of two models, %s: the answers of %.0f %% of the last %d pairs were "
                "accepted, %s expected",
                "alarm" if state.drifts else "over",
                100 * state.share,
                state.decisions,
                "nothing" if state.expected is None else f"{100 * state.expected:.0f} %",
            )

    def state(self) -> AgreementState:
        """Of the latest pairs."""
        states = self._watch.states()
        if not states:
            return AgreementState()
        accepted = states[_MORE]
        drifts = next((name for name, state in states.items() if state.is_alarm), None)
        evidence = max(state.evidence for state in states.values())
        return AgreementState(
            accepted.decisions, accepted.share, accepted.expected, drifts, evidence
        )

    def reset(self) -> None:
        """Forget all: another pipeline decides."""
        self._watch.reset()
