"""Shadow answers: which models answer a request once more, for the log alone."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from equirouter.serve.chat import ChatRequest
from equirouter.serve.learning_settings import ShadowSettings
from equirouter.serve.money.day_limit import DayLimit
from equirouter.serve.plan.sessions import is_of_tools
from equirouter.serve.records import Key, Plan, RequestControl, RequestRecord

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
                tokens = plan.prompt_tokens, plan.max_output_tokens
                plans.append(
                    Plan(
                        (candidate,),
                        "shadow",
                        prompt_tokens=tokens[0],
                        max_output_tokens=tokens[1],
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
