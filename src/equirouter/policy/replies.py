"""The replies of several models to one query, as a check sees them before they are graded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Self

import numpy as np

from equirouter.answers import NO_ANSWER
from equirouter.arrays import BoolArray, FloatArray, IntArray
from equirouter.checks.base import UNUSABLE_REASONS
from equirouter.checks.model_calls import COST, MOST_OF_STRONGEST
from equirouter.data.outcomes import Outcomes

SUREST = 0.98
"""Estimates of performance are cut there, and at 1 less it: a scale has its ends by rounding."""


@dataclass(frozen=True)
class Reply:
    """The reply of one model: its final answer, "" for none and None for not known; its tokens.

    usable: False for one that was empty, refused or cut; it is served only where no other is.
    signals: what checks say of it, by name; one that is not known is left out.
    """

    answer: str | None = None
    output_tokens: float | None = None
    usable: bool = True
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Replies:
    """Replies (n, K) of K models to n queries.

    answers: numbers, equal for equal answers to one query, -1 = not known. answered: 1, or 0 where
    there was no answer, NaN = not known. tokens: logarithms of 1 + the output tokens, lengths: of
    1 + the characters of the answer, both NaN = not known. usable: False where a reply was empty,
    refused or cut; it has no answer. signals: name -> numbers, NaN = not known; NAME.cost_usd is
    what the check NAME cost, NaN where it asked nobody.
    """

    answers: IntArray
    answered: FloatArray
    tokens: FloatArray
    lengths: FloatArray
    usable: BoolArray | None = None
    """None where all are."""
    signals: Mapping[str, FloatArray] = field(default_factory=dict)

    @classmethod
    def unknown(cls, n: int, n_models: int) -> Self:
        """Replies of which nothing is known."""
        nothing = np.full((n, n_models), np.nan)
        return cls(np.full((n, n_models), -1), nothing, nothing.copy(), nothing.copy())

    @classmethod
    def of_table(cls, outcomes: Outcomes, rows: IntArray) -> Self:
        """The replies of these rows of a table."""
        shape = (len(rows), outcomes.n_models)
        unknown = np.full(shape, np.nan)
        tokens = unknown if outcomes.output_tokens is None else outcomes.output_tokens[rows]
        usable = _usable(outcomes, rows)
        signals = {
            name: array[rows]
            for name, array in outcomes.signals.items()
            if not name.startswith("user.")  # which is not known when a reply is decided on
        }
        codes, sizes = np.full(shape, -1), unknown
        if outcomes.answers is not None:
            codes = outcomes.answers.codes[rows]
            sizes = np.array([*map(len, outcomes.answers.values), np.nan])[codes]
        answered = np.where(np.isnan(sizes), np.nan, sizes > 0)
        if usable is not None:
            answered = np.where(usable, answered, 0.0)
        return cls(codes, answered, np.log1p(tokens), np.log1p(sizes), usable, signals)

    @classmethod
    def of_query(cls, n_models: int, replies: Mapping[int, Reply]) -> Self:
        """The replies to one query, by the model's column."""
        names = {name for reply in replies.values() for name in reply.signals}
        usable = np.ones((1, n_models), dtype=bool)
        signals = {name: np.full((1, n_models), np.nan) for name in names}
        made = replace(cls.unknown(1, n_models), usable=usable, signals=signals)
        known = [reply.answer for reply in replies.values() if reply.answer is not None]
        number = {answer: code for code, answer in enumerate(dict.fromkeys(known))}
        for column, reply in replies.items():
            if reply.answer is not None:
                made.answers[0, column] = number[reply.answer]
                made.answered[0, column] = reply.answer != NO_ANSWER
                made.lengths[0, column] = np.log1p(len(reply.answer))
            if reply.output_tokens is not None:
                made.tokens[0, column] = np.log1p(reply.output_tokens)
            if not reply.usable:
                usable[0, column], made.answered[0, column] = False, 0.0
            for name, value in reply.signals.items():
                signals[name][0, column] = value
        return made

    def take(self, rows: IntArray | BoolArray) -> "Replies":
        """These rows only."""
        return Replies(
            self.answers[rows],
            self.answered[rows],
            self.tokens[rows],
            self.lengths[rows],
            None if self.usable is None else self.usable[rows],
            {name: array[rows] for name, array in self.signals.items()},
        )

    @property
    def signal_names(self) -> tuple[str, ...]:
        """The names of the signals but for those that are costs of others."""
        return tuple(sorted(self.signals.keys() - {name + COST for name in self.signals}))

    def check_usd(self, signals: Sequence[str]) -> FloatArray:
        """The costs (n, K) of having these signals said of the replies."""
        known = [self.signals[name + COST] for name in signals if name + COST in self.signals]
        return np.asarray(sum(map(np.nan_to_num, known), np.zeros(self.answers.shape)))

    def affordable(self, strongest_usd: FloatArray) -> "Replies":
        """The replies without signals that a gateway would not pay for, see may_ask.

        strongest_usd (n,): predicted costs of the strongest model.
        """
        signals = dict(self.signals)
        for name in self.signal_names:
            cost = self.signals.get(name + COST)
            if cost is not None:
                exceeds = cost > MOST_OF_STRONGEST * strongest_usd[:, None]
                for column in (name, name + COST):
                    signals[column] = np.where(exceeds, np.nan, signals[column])
        return replace(self, signals=signals)

    def servable(self, columns: Sequence[int], support: FloatArray) -> FloatArray:
        """The support (n, S) of the replies of models, -inf where one is not usable."""
        if self.usable is None:
            return support
        return np.where(self.usable[:, list(columns)], support, -np.inf)

    def equal(self, first: int, second: int) -> FloatArray:
        """(n,): 1 where two models gave the same answer, else 0; NaN where one is not known.

        Two that have no answer do not agree.
        """
        same = self.answers[:, first] == self.answers[:, second]
        agree = same & (self.answered[:, first] > 0)
        known = (self.answers[:, first] >= 0) & (self.answers[:, second] >= 0)
        return np.where(known, agree, np.nan)


def _usable(outcomes: Outcomes, rows: IntArray) -> BoolArray | None:
    reasons = outcomes.finish_reasons
    if reasons is None:
        return None
    bad = np.array([*(reason in UNUSABLE_REASONS for reason in reasons.values), False])
    return np.asarray(~bad[reasons.codes[rows]])


def log_odds(share: FloatArray) -> FloatArray:
    """The logarithm of the odds of estimates in [0, 1], which are kept off the ends."""
    inside = np.clip(share, 1 - SUREST, SUREST)
    return np.log(inside / (1 - inside))


def features_of(
    columns: Sequence[int], odds: FloatArray, replies: Replies, signals: Sequence[str] = ()
) -> FloatArray:
    """Features (n, F) of the replies of a set of models; NaN where something is not known.

    odds (n, K): log odds of the router's estimates. Per model: odds, whether it answered, tokens,
    length of the answer, these signals; per pair of them: whether they agree, and that times the
    odds of each.
    """
    of = list(columns)
    parts = [odds[:, of], replies.answered[:, of], replies.tokens[:, of], replies.lengths[:, of]]
    unknown = np.full((len(odds), len(of)), np.nan)
    parts += [
        replies.signals[name][:, of] if name in replies.signals else unknown for name in signals
    ]
    for first, second in combinations(of, 2):
        equal = replies.equal(first, second)
        parts.append(np.stack([equal, equal * odds[:, first], equal * odds[:, second]], axis=1))
    return np.hstack(parts)
