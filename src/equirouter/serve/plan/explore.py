"""Exploration: now and then another model answers, so that the log can tell what it is worth.

Which one is drawn by rank: the second model of the plan twice as often as the fourth. Models near
the choice are those that the next pipeline may choose, and so the ones to know more of.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from equirouter.serve.chat import ChatRequest
from equirouter.serve.learning_settings import ExploreSettings
from equirouter.serve.money.day_limit import DayLimit
from equirouter.serve.plan.sessions import history
from equirouter.serve.records import Candidate, Key, Plan, RequestControl, RequestRecord


@dataclass(eq=False)
class Explorer:
    """Draws which requests go elsewhere, and keeps what they cost within the limit of a day.

    draw: numbers from 0 to 1.
    """

    settings: ExploreSettings
    limit: DayLimit
    draw: Callable[[], float] = random.random

    def drawn(
        self, plan: Plan, chat: ChatRequest, control: RequestControl, key: Key | None
    ) -> Plan:
        """The plan with the chances of its models, and perhaps another one of them first.

        The plan as it is for a request that goes where the router says: one that opted out or
        names a model, of a conversation or with tools, for which two are asked or no model fits.
        What one that goes elsewhere may cost is kept free until `finished` or `withdrawn`.
        """
        others = self._others(plan, chat, control, key)
        if not others:
            return plan
        chances = self._chances(plan.candidates[0], others)
        plan = replace(plan, chances=chances)
        point = self.draw()
        for other in others:
            point -= chances[other.model]
            if point < 0:
                return self._elsewhere(plan, other)
        return plan

    def withdrawn(self, plan: Plan) -> Plan:
        """A plan that goes elsewhere is given up before a call: the router's choice comes first."""
        self.limit.settle(plan.candidates[0].upper_nusd, 0)
        first = next(iter(plan.chances))
        candidates = sorted(plan.candidates, key=lambda candidate: candidate.model != first)
        return replace(plan, candidates=tuple(candidates), decided_by="policy", chances={})

    def finished(self, record: RequestRecord) -> None:
        """A request is over: count what it cost, if it went elsewhere."""
        plan = record.plan
        if plan is not None and plan.decided_by == "explore":
            self.limit.settle(plan.candidates[0].upper_nusd, record.cost_nusd or 0)

    def _others(
        self, plan: Plan, chat: ChatRequest, control: RequestControl, key: Key | None
    ) -> list[Candidate]:
        """The models that the request could go to in place of the first."""
        settings = self.settings
        if plan.decided_by != "policy" or not plan.fits or not control.explore:
            return []
        if "tools" in chat.needs or history(chat.messages):
            return []
        if key is not None and key.name in settings.except_keys:
            return []
        return [
            other
            for other in plan.candidates[1:]
            if other.model not in settings.except_models and self.limit.has_room(other.upper_nusd)
        ]

    def _chances(self, first: Candidate, others: list[Candidate]) -> dict[str, float]:
        weights = [1.0 / rank for rank in range(2, 2 + len(others))]
        part = self.settings.share / sum(weights)
        chances = {first.model: 1.0 - self.settings.share}
        return chances | {
            other.model: round(part * weight, 6)
            for other, weight in zip(others, weights, strict=True)
        }

    def _elsewhere(self, plan: Plan, other: Candidate) -> Plan:
        self.limit.reserve(other.upper_nusd)
        rest = tuple(candidate for candidate in plan.candidates if candidate is not other)
        return replace(
            plan,
            candidates=(other, *rest),
            decided_by="explore",
            confidence=None,
            class_=None,
            expected_share=None,
        )
