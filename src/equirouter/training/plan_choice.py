"""Which plans pay at which price: routing, the agreement rule and learned plans, out of fold."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.checks.model_calls import COST, AskingCheck
from equirouter.policy.plan import PlanPolicy, Replayed
from equirouter.policy.plans import Plans
from equirouter.policy.pool_plans import AgreementRule, AtPrice, By, Gain, PoolPlans
from equirouter.policy.quality import Calibration, calibrate_served
from equirouter.policy.replies import Replies
from equirouter.policy.utility import UtilityPolicy
from equirouter.registry import CHECKS
from equirouter.training.plan_fit import (
    LabelledQueries,
    best_rule,
    fit_plans,
    replay_unseen,
    replayed_by_folds,
)
from equirouter.training.protocol import stream

N_POINTS = 100


@dataclass(frozen=True, eq=False)
class Candidates:
    """Outcomes of n labelled queries at T prices, from nothing that had learned from them.

    plans: as fitted on all of them. prices (T,): falling to 0. routed: one model per query. rule,
    learned: None where there is none.
    """

    labelled: LabelledQueries
    plans: Plans
    prices: FloatArray
    routed: Replayed
    rule: Replayed | None
    learned: Replayed | None

    def worth(self, made: Replayed) -> FloatArray:
        """Performance - lambda * cost (n, T)."""
        return self.got(made) - self.prices * made.cost_usd

    def got(self, made: Replayed) -> FloatArray:
        """Performance of what was served (n, T)."""
        return self.labelled.performance[np.arange(len(made.served))[:, None], made.served]

    def gains(self, made: Replayed | None) -> list[Gain | None]:
        """Over routing, at each price; None without it."""
        if made is None:
            return [None] * len(self.prices)
        more = self.worth(made) - self.worth(self.routed)
        error = more.std(axis=0, ddof=1) / np.sqrt(len(more))
        return list(map(Gain, more.mean(axis=0).tolist(), error.tolist()))

    def calibration(self, made: Replayed, strongest: int) -> Calibration:
        """The operating points of one of these, as shares of the strongest model (a column)."""
        labelled = self.labelled
        return calibrate_served(
            self.got(made),
            made.cost_usd,
            self.prices,
            labelled.performance,
            labelled.cost_usd,
            strongest=strongest,
            setting=UtilityPolicy.setting,
        )

    @cached_property
    def mixed(self) -> tuple[Replayed, tuple[AtPrice, ...]]:
        """Policy at each price and its outcome there; the facts stand by rising price."""
        rules, plans = self.gains(self.rule), self.gains(self.learned)
        made = self.routed.take(np.arange(len(self.prices)))
        mixed = []
        for place, (price, rule, learned) in enumerate(
            zip(self.prices.tolist(), rules, plans, strict=True)
        ):
            by = _best(rule, learned)
            taken = {"routing": None, "rule": self.rule, "learned": self.learned}[by]
            for into, array in zip(made, taken or (), strict=taken is not None):
                into[:, place] = array[:, place]
            calls = made.calls[:, place]
            checked, escalated = float((calls > 1).mean()), float((calls > 2).mean())
            mixed.append(AtPrice(price, by, rule, learned, checked, escalated))
        return made, tuple(reversed(mixed))


def candidates_of(labelled: LabelledQueries, plans: Plans, seed: int) -> Candidates:
    """Outcomes of routing, the rule and such plans on queries they have not learned from.

    plans: those of all queries; without gains there are no learned ones.
    """
    scores, expected = labelled.scores, labelled.predicted_cost_usd
    prices = np.unique(PlanPolicy(plans).points(scores, expected, N_POINTS))[::-1]
    chosen = UtilityPolicy().sweep(scores, expected, prices)
    routed = Replayed.of_one(chosen, labelled.cost_usd)
    rule = rule_unseen(labelled, stream(seed, "rule, unseen"))
    learned = (
        None
        if plans.gains is None
        else replay_unseen(labelled, prices, stream(seed, "plans, unseen"))
    )
    if rule is not None:  # at every price the same
        rule = rule.take(np.zeros(len(prices), dtype=np.int64))
    return Candidates(labelled, plans, prices, routed, rule, learned)


def rule_unseen(labelled: LabelledQueries, rng: np.random.Generator) -> Replayed | None:
    """The best agreement rule, its pair chosen on four fifths, on the fifth: one operating point.

    None where no pair is cheap enough, or no answer is known.
    """
    if not (labelled.replies.answers >= 0).any():
        return None

    def replay(learned: LabelledQueries, unseen: LabelledQueries) -> Replayed | None:
        rule = best_rule(learned)
        return None if rule is None else rule.replay(unseen.replies, unseen.cost_usd)

    return replayed_by_folds(labelled, 1, replay, rng)


def made_plans(
    labelled: LabelledQueries, extractor: str | None, strongest: int, seed: int
) -> tuple[PoolPlans | None, Candidates, tuple[str, ...]]:
    """The plans for labelled queries, what they were compared by, and what a user should know.

    At each price routing decides unless the rule or the learned plans gain more than one standard
    error over it; where that is so at no price there are no plans. extractor: of the answers.
    strongest: a column.
    """
    learned = fit_plans(labelled, stream(seed, "plans"))
    candidates = candidates_of(labelled, learned, seed)
    notes = tuple(f"answers are compared by the agreement rule alone: {n}" for n in learned.notes)
    notes += _unpriced(labelled.replies)
    if candidates.rule is None and candidates.learned is None:
        return None, candidates, learned.notes
    made, at_prices = candidates.mixed
    if all(at.by == "routing" for at in at_prices):
        return None, candidates, (*learned.notes, _no_gain(at_prices))
    by_rule = any(at.by == "rule" for at in at_prices)
    plans = PoolPlans(
        extractor,
        learned,
        _measured_rule(labelled) if by_rule else None,
        at_prices,
        candidates.calibration(made, strongest),
    )
    return plans, candidates, notes


def _best(rule: Gain | None, learned: Gain | None) -> By:
    """The one of the highest gain, of those whose gain is beyond one standard error."""
    named: tuple[tuple[By, Gain | None], ...] = (("rule", rule), ("learned", learned))
    sure = [(gain.mean, by) for by, gain in named if gain is not None and gain.mean > gain.error]
    return max(sure)[1] if sure else "routing"


def _measured_rule(labelled: LabelledQueries) -> AgreementRule | None:
    rule = best_rule(labelled)
    if rule is None:
        return None
    agree = labelled.replies.equal(*rule.pair) == 1.0
    return rule._replace(escalates=float(1.0 - agree.mean()))


def _unpriced(replies: Replies) -> tuple[str, ...]:
    """A note for each signal whose check asks a model, at a cost that the table does not say."""
    free = [name for name in replies.signal_names if name + COST not in replies.signals]
    return tuple(
        f"the table does not say what {name} cost (signal.{name}{COST}), so plans take it as free"
        for name in free
        if name in CHECKS.names() and issubclass(CHECKS.load(name), AskingCheck)
    )


def _no_gain(at_prices: tuple[AtPrice, ...]) -> str:
    gains = [gain for at in at_prices for gain in (at.rule, at.learned) if gain is not None]
    best = max(gains, key=lambda gain: gain.mean - gain.error)
    return (
        "at no price lambda does comparing answers gain more than a standard error in performance "
        f"- lambda * cost over one model per query (at best {best.mean:+.4f} ± {best.error:.4f}, "
        "on queries that nothing had learned from)"
    )
