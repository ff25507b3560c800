"""Drift: what is not as it was when the pipeline was learned, or when it began to serve.

Every watch is one question about a value in [0, 1] whose mean should not exceed what is expected by
more than the tolerance, and is tested as the alarm for collapse is (collapse_alarm.py): a false
alarm of each comes on average after `false_alarm_every` of its observations, or later.

What is expected is known of far queries, from training. Of all else the first `usual` observations
since the version became current tell it: of lengths, times and costs what nine in ten were below,
or above; of scores and shares their mean. Their own error is part of what is expected, at 99 %.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

from equirouter.pipeline.stage import FAR_SHARE
from equirouter.serve.money.store.tail import LoggedCall, Rated
from equirouter.serve.watch.collapse_alarm import AgreementState, CollapseState, CollapseWatch
from equirouter.serve.watch_settings import CollapseSettings, DriftSettings

AlarmKind: TypeAlias = Literal[
    "collapse",
    "agreement",
    "far queries",
    "long queries",
    "short queries",
    "script",
    "calibration",
    "feedback",
    "long answers",
    "short answers",
    "slow",
    "errors",
    "expensive",
    "price",
]

KINDS: dict[AlarmKind, str] = {
    "collapse": "to the strongest model",
    "agreement": "of two models' answers accepted",
    "far queries": "unlike all that were learned from",
    "long queries": "as long as one in ten was",
    "short queries": "as short as one in ten was",
    "script": "in this script",
    "calibration": "mean of what feedback is below the prediction",
    "feedback": "mean of what scores are below 1",
    "long answers": "as long as one in ten was",
    "short answers": "as short as one in ten was",
    "slow": "as late as one in ten was",
    "errors": "calls without an answer",
    "expensive": "as much above the predicted cost as one in ten was",
    "price": "reported at another cost than is charged",
}
"""What is watched: a share, or a mean."""

_TOWARDS_ONE = (0.03, 0.1, 0.3, 0.9)
_MOST = 1000
_ONE_IN_TEN = 0.1
_AT_99 = 2.33  # of the normal distribution
_OTHER_COST = 0.05  # a reported cost is another one if it differs by more than this share
_READ = 80  # characters of a query that tell its script
_SCRIPTS = frozenset(
    {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "TAMIL", "THAI"}
    | {"CJK", "HIRAGANA", "KATAKANA", "HANGUL"}
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is watched, of all kinds, whether its alarm is on or not.

    about: a model, a script, a class of requests; "" for all. value: of the latest n observations
    the share or mean; expected: None where that is not known. evidence: 1 where an alarm begins.
    """

    kind: AlarmKind
    about: str
    is_on: bool
    value: float
    expected: float | None
    n: int
    evidence: float

    @classmethod
    def of(cls, kind: AlarmKind, about: str, state: CollapseState) -> "Alarm":
        """From the state of a watch."""
        return cls(
            kind,
            about,
            state.is_alarm,
            state.share,
            state.expected,
            state.decisions,
            state.evidence,
        )


@dataclass(slots=True)
class _Usual:
    """The first values of something, and what follows from them once they are enough."""

    most: int
    values: list[float] = field(default_factory=list)

    def takes(self, value: float) -> bool:
        """Whether a value is one of the first."""
        if len(self.values) >= self.most:
            return False
        self.values.append(value)
        if len(self.values) == self.most:
            self.values.sort()
        return True

    def mean(self) -> float:
        """With its error: below it the true mean is, at 99 %."""
        n = self.most
        mean = math.fsum(self.values) / n
        spread = math.fsum((value - mean) ** 2 for value in self.values) / n
        return min(mean + _AT_99 * math.sqrt(spread / n) + 1.0 / n, 1.0)

    def ends(self) -> tuple[float, float]:
        """The values that one in ten is below, and above."""
        place = round(_ONE_IN_TEN * self.most)
        return self.values[place], self.values[-1 - place]

    def beyond(self) -> float:
        """How often such an end is passed, with the error of where it is: a Beta distribution's."""
        share = (round(_ONE_IN_TEN * self.most) + 1) / (self.most + 1)
        return share + _AT_99 * math.sqrt(share * (1 - share) / (self.most + 2))


def all_alarms(
    collapse: Mapping[str, CollapseState], agreement: AgreementState, drift: Sequence[Alarm]
) -> list[Alarm]:
    """The one list of all that is watched: what is on first, then what is nearest to it."""
    alarms = [Alarm.of("collapse", class_, state) for class_, state in collapse.items()]
    if agreement.decisions:
        is_on = agreement.drifts is not None
        alarms.append(
            Alarm(
                "agreement",
                "",
                is_on,
                agreement.share,
                agreement.expected,
                agreement.decisions,
                agreement.evidence,
            )
        )
    alarms += drift
    return sorted(
        alarms, key=lambda alarm: (not alarm.is_on, -alarm.evidence, alarm.kind, alarm.about)
    )


class DriftWatch:
    """Counts what the log says of one pipeline, in its order, and keeps the alarms."""

    def __init__(self, settings: DriftSettings) -> None:
        self._n_usual = settings.usual
        tested = CollapseSettings(
            window=settings.window,
            tolerance=settings.tolerance,
            false_alarm_every=settings.false_alarm_every,
        )
        self._watch = CollapseWatch(tested, towards_one=_TOWARDS_ONE, most=_MOST)
        self._usual: dict[tuple[str, str], _Usual] = {}
        self._scripts: Counter[str] = Counter()
        self._keys: dict[str, tuple[AlarmKind, str]] = {}

    def note(self, seen: LoggedCall) -> list[Alarm]:
        """Count a request; the alarms that it raised or ended."""
        changed: list[Alarm | None] = []
        model = seen.model
        if seen.far is not None:
            changed.append(self._observe("far queries", "", FAR_SHARE, seen.far))
        for called, has_failed in seen.calls:
            changed += self._mean("errors", called, float(has_failed))
        changed += self._ends("long queries", "short queries", "", seen.prompt_tokens)
        if seen.script is not None:
            changed += self._script(seen.script)
        if seen.cost_nusd is not None and seen.predicted_nusd:
            changed += self._ends("expensive", None, "", seen.cost_nusd / seen.predicted_nusd)
        if model is not None:
            if seen.output_tokens is not None:
                changed += self._ends("long answers", "short answers", model, seen.output_tokens)
            if seen.ms is not None:
                about = f"{model}, first byte" if seen.stream else model
                changed += self._ends("slow", None, about, seen.ms)
            if seen.reported_nusd is not None and seen.cost_nusd:
                is_other = abs(seen.reported_nusd / seen.cost_nusd - 1) > _OTHER_COST
                changed += self._mean("price", model, float(is_other))
        return [alarm for alarm in changed if alarm is not None]

    def rate(self, rated: Rated) -> list[Alarm]:
        """Count feedback; the alarms that it raised or ended."""
        changed = self._mean("feedback", rated.model, 1.0 - rated.score)
        if rated.predicted is not None:
            below = min(max(rated.predicted, 0.0), 1.0) - rated.score
            changed += self._mean("calibration", "", max(below, 0.0))
        return [alarm for alarm in changed if alarm is not None]

    def alarms(self) -> list[Alarm]:
        """All that is watched."""
        states = self._watch.states()
        return [Alarm.of(*self._keys[key], state) for key, state in states.items()]

    def _ends(
        self, above: AlarmKind, below: AlarmKind | None, about: str, value: float
    ) -> list[Alarm | None]:
        """Count a value among the first ones, or hold it against their ends."""
        usual = self._first(above, about)
        if usual.takes(value):
            return []
        low, high = usual.ends()
        changed = [self._observe(above, about, usual.beyond(), value > high)]
        if below is not None:
            changed.append(self._observe(below, about, usual.beyond(), value < low))
        return changed

    def _mean(self, kind: AlarmKind, about: str, value: float) -> list[Alarm | None]:
        """Count a value in [0, 1] among the first ones, or hold it against their mean."""
        usual = self._first(kind, about)
        if usual.takes(value):
            return []
        return [self._observe(kind, about, usual.mean(), value)]

    def _script(self, script: str) -> list[Alarm | None]:
        n = self._n_usual
        if self._scripts.total() < n:
            self._scripts[script] += 1
            return []
        changed: list[Alarm | None] = []
        for name in {*self._scripts, script}:
            self._scripts.setdefault(name, 0)
            share = self._scripts[name] / n
            expected = share + _AT_99 * math.sqrt(share * (1 - share) / n) + 1.0 / n
            changed.append(self._observe("script", name, min(expected, 1.0), name == script))
        return changed

    def _first(self, kind: AlarmKind, about: str) -> _Usual:
        return self._usual.setdefault((kind, about), _Usual(self._n_usual))

    def _observe(self, kind: AlarmKind, about: str, expected: float, value: float) -> Alarm | None:
        key = f"{kind}\0{about}"
        self._keys[key] = kind, about
        if not self._watch.observe(key, expected, value):
            return None
        return Alarm.of(kind, about, self._watch.state(key))


def script_of(text: str) -> str:
    """The script that most letters at the beginning of a text are in, such as "latin"; "" for none.

    Those that are seldom met are "other".
    """
    begins = text[:_READ]
    if begins.isascii():
        return "latin" if any(map(str.isalpha, begins)) else ""
    counts: Counter[str] = Counter()
    for letter, n in Counter(begins).items():
        if letter.isalpha():
            counts[_script_of(letter)] += n
    return counts.most_common(1)[0][0] if counts else ""


@lru_cache(maxsize=4096)
def _script_of(letter: str) -> str:
    name = unicodedata.name(letter, "").partition(" ")[0]
    return name.lower() if name in _SCRIPTS else "other"
