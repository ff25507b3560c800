"""Exploration and shadow answers: another model answers, so that the log can tell its worth.

In place of the router's choice now and then, or once more for the log alone. Which one is drawn by
rank: the second model of the plan twice as often as the fourth. Models near the choice are those
that the next pipeline may choose, and so the ones to know more of.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from equirouter.serve.chat import ChatRequest
from equirouter.serve.learning_settings import ExploreSettings, ShadowSettings
from equirouter.serve.money.day_limit import DayLimit
from equirouter.serve.plan.sessions import history, is_of_tools
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


_ENDPOINTS = ("chat.completions", "responses", "messages")


@dataclass(eq=False)
class Shadows:
    """Draws the requests that other models answer, and keeps what that costs within a day's limit.

    draw: as Explorer.
    """

    settings: ShadowSettings
    limit: DayLimit
    draw: Callable[[], float] = random.random
    answered: int = field(default=0, init=False)
    """How many answers there are, good or not."""

    def drawn(
        self, record: RequestRecord, chat: ChatRequest, control: RequestControl, key: Key | None
    ) -> list[Plan]:
        """A plan for each model that is to answer, most often none.

        None for a request that was not answered, opted out, names a model, has tools or a part that
        only a provider has, wants several answers, or of which two models were asked. Only models
        that might have answered are asked, and none that did. `finished` ends each plan.
        """
        if not self._may_be(record, chat, control, key) or self.draw() >= self.settings.share:
            return []
        plan = record.plan
        assert plan is not None  # noqa: S101  # it was answered
        called = {attempt.model for attempt in record.attempts}
        wanted = self.settings.models
        plans = []
        for candidate in plan.candidates:
            is_wanted = (not wanted or candidate.model in wanted) and candidate.model not in called
            if is_wanted and self.limit.has_room(candidate.upper_nusd):
                self.limit.reserve(candidate.upper_nusd)
                model = candidate.model
                plans.append(
                    Plan(
                        (candidate,),
                        "shadow",
                        scores=_only(model, plan.scores),
                        predicted_costs_usd=_only(model, plan.predicted_costs_usd),
                        prompt_tokens=plan.prompt_tokens,
                        max_output_tokens=plan.max_output_tokens,
                        shadow_of=record.request_id,
                    )
                )
        return plans

    def finished(self, plan: Plan, cost_nusd: int | None) -> None:
        """A model has answered, or failed."""
        self.answered += 1
        self.limit.settle(plan.candidates[0].upper_nusd, cost_nusd or 0)

    def _may_be(
        self, record: RequestRecord, chat: ChatRequest, control: RequestControl, key: Key | None
    ) -> bool:
        if record.served_model is None or record.cascade is not None or not chat.is_virtual:
            return False
        if not control.explore or chat.endpoint not in _ENDPOINTS or chat.n > 1:
            return False
        if "tools" in chat.needs or any(map(is_of_tools, chat.messages)):
            return False
        if chat.kept_elsewhere or chat.unpriced:
            return False
        return key is None or key.name not in self.settings.except_keys


def _only(model: str, by_model: Mapping[str, float]) -> Mapping[str, float]:
    return {model: by_model[model]} if model in by_model else {}
