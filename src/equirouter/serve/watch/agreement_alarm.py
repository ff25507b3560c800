"""Agreement as it drifts: two models' replies are accepted far more or less often than expected.

Each pair is asked with the probability at which one more model was asked when its plans were
learned. Both directions are tested as the collapse alarm tests (collapse_alarm.py): fewer answers
that are accepted cost money, more of them may be wrong, as after a change of a model or a prompt
that makes both say the same.
"""

import logging
from dataclasses import dataclass

from equirouter.serve.records import RequestRecord
from equirouter.serve.watch.collapse_alarm import CollapseWatch
from equirouter.serve.watch.prometheus import Metrics
from equirouter.serve.watch_settings import CollapseSettings

_LOG = logging.getLogger("equirouter.serve")

_FEWER, _MORE = "fewer", "more"


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
    """Counts pairs that replied, and raises an alarm in either direction.

    Without a drift, one comes after `false_alarm_every` / 2 pairs or more on average.
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
