"""Which requests may be asked of two models: answers can be compared, and come in time."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from equirouter.cost.prices import Price
from equirouter.pipeline import RoutingPipeline
from equirouter.pipeline.decision import QueryPlan
from equirouter.policy.pool_plans import PoolPlans
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.prompt_tokens import LIKELY
from equirouter.serve.plan.sessions import history, is_of_tools
from equirouter.serve.records import Attempt, Pair, Plan, RequestRecord
from equirouter.serve.setting_types import CascadeSettings

JUDGE = "judge"
"""The signal of a judge, which can score free text, too."""

_COMPARED = ("chat.completions", "responses", "messages", "route")
# An answer beside the text, or one that somebody else keeps: two of them cannot be compared.
_ALONE = ("logprobs", "top_logprobs", "store", "tools", "functions", "mcp_servers", "audio")


def may_cascade(chat: ChatRequest, extractor: str) -> bool:
    """Whether a request is for one text whose final answer an extractor can read.

    Where JSON is asked for, only one that reads JSON can.
    """
    if chat.endpoint not in _COMPARED or chat.n > 1 or chat.kept_elsewhere or chat.unpriced:
        return False
    if chat.needs & {"tools", "audio"} or any(chat.body.get(name) for name in _ALONE):
        return False
    if any("logprobs" in str(wish) for wish in chat.body.get("include") or ()):
        return False
    if any(is_of_tools(message) for message in chat.messages):
        return False
    return "json" not in chat.needs or extractor.startswith("json:")


def with_pair(
    plan: Plan,
    chat: ChatRequest,
    cascade: QueryPlan,
    *,
    last: str | None,
    rule: str,
    extractor: str,
) -> Plan:
    """The plan with two models to be asked at once.

    A conversation that stays with its model stays as it is, and so does a query that is unlike all
    that the plans were learned on. last: who answered before, None if that is not known. rule: as
    SessionSettings.switch_cost.
    """
    first, second = cascade.first
    goes_on = plan.candidates[0].model == last and bool(history(chat.messages))
    if plan.far or plan.decided_by == "session" or (goes_on and rule != "none"):
        return plan
    is_known = cascade.learned or cascade.p_escalate < 1.0
    pair = Pair(
        (first, second),
        cascade.expected_cost_usd,
        cascade.p_escalate if is_known else None,
        cascade.learned,
        extractor,
    )
    return replace(plan, decided_by="cascade", pair=pair, cascade=cascade)


def cascade_note(
    settings: CascadeSettings,
    plans: PoolPlans | None,
    checks: Collection[str] = (),
    too_expensive: Collection[str] = (),
) -> tuple[str, bool]:
    """How requests fare under these settings and plans, and whether all is as it should be.

    checks: the signals that are given here, of which the plans should read all, and no others;
    too_expensive: those that never are, as they ask a model that costs too much.
    """
    alone = "one model is asked for each request"
    if plans is None:
        return (
            f"cascade: the pipeline has no plans, so {alone}: train it on a table with answers",
            False,
        )
    if not plans.pays:
        return f"cascade: by the pipeline's plans two never pay, so {alone}", False
    extractor = settings.extractor or plans.extractor
    if extractor is None:
        return f"cascade.extractor is not set, and the pipeline names none, so {alone}", False
    read = plans.learned.signals
    missing = [name for name in read if name not in checks]
    unread = [name for name in checks if name not in read]
    text = f"cascade: final answers are read by {extractor}. "
    if missing:
        text += (
            f"The plans learned with signals that no check gives here: {', '.join(missing)}. They "
            "are taken for average: name the checks in cascade.checks or cascade.judge. "
        )
    if unread:
        text += (
            f"The plans know nothing of {', '.join(unread)}, so these checks do not run: score "
            "with them and train again. "
        )
    if too_expensive:
        text += (
            f"{', '.join(too_expensive)} never asks its model, which costs more than 5 % of the "
            "strongest: name a cheaper one. "
        )
    is_right = not (missing or unread or too_expensive)
    if JUDGE in read and JUDGE in checks and JUDGE not in too_expensive:
        text += "A judge scores the replies"
    else:
        text += (
            "What has none, such as free text, cannot be compared: send it with cascade = false, "
            "or train with a judge"
        )
    return text, is_right


_KEPT = 0.98
"""An answer counts so much of what the next one does: the latest 50 or so decide."""
_ENOUGH = 8.0
"""With fewer, nothing is said."""
_FORGOTTEN_SECONDS = 600.0
"""A model without an answer for so long may have become fast again."""
_USUAL = 0.02
"""Seconds for an output token, of hosted models."""
_WEIGHT = 625.0
"""Of the usual slope, in squared tokens: (0.5 s / 0.02 s)^2, the spread of an answer's seconds over
that of slopes between models. So a few answers of one length do not make up a slope."""


@dataclass(slots=True)
class _Line:
    """Seconds by output tokens, least squares with a slope that begins at the usual one: sums."""

    n: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    at: float = 0.0

    def add(self, tokens: float, seconds: float, at: float) -> None:
        self.n = self.n * _KEPT + 1.0
        self.tokens = self.tokens * _KEPT + tokens
        self.seconds = self.seconds * _KEPT + seconds
        self.squares = self.squares * _KEPT + tokens * tokens
        self.products = self.products * _KEPT + tokens * seconds
        self.at = at

    def of(self, tokens: float) -> float:
        mean, level = self.tokens / self.n, self.seconds / self.n
        spread = max(0.0, self.squares - self.n * mean * mean)
        joint = self.products - self.n * mean * level
        slope = max(0.0, (joint + _USUAL * _WEIGHT) / (spread + _WEIGHT))
        return max(0.0, level + slope * (tokens - mean))


class Waits:
    """Watches how long answers take, and says which pairs would not reply within max_wait_ms.

    Known where the pipeline predicts tokens, and enough answers of a model came of late; what is
    not known is in time. clock: seconds that do not jump.
    """

    def __init__(self, max_wait_ms: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_seconds, self._clock = max_wait_ms / 1000.0, clock
        self._lines: dict[str, _Line] = {}
        self._prices: dict[str, Price] = {}

    def learn(self, pipeline: RoutingPipeline) -> None:
        """Another pipeline decides from now on."""
        knows = pipeline.stage.cost_model.predicts == "tokens"
        prices = pipeline.prices if knows else ()
        self._prices = {price.model: price.now for price in prices if price.now is not None}

    def note(self, record: RequestRecord) -> None:
        """Learn from a request that is over.

        A call that was cut off as time was over took at least so long, for what was predicted.
        """
        is_late = record.cascade is not None and record.cascade.why == "late"
        for attempt in record.attempts:
            tokens: float | None = None
            if attempt.outcome == "ok" and _is_whole(attempt, record):
                tokens = attempt.output_tokens
            elif is_late and attempt.role == "first" and attempt.outcome == "cancelled":
                tokens = self._predicted(record.plan, attempt.model)
            if tokens:
                line = self._lines.setdefault(attempt.model, _Line())
                line.add(tokens, attempt.ms / 1000.0, self._clock())

    def too_long(self, plan: Plan, models: Sequence[str]) -> bool:
        """Whether one of these models is expected to take longer than the two may."""
        return any(self._seconds(plan, model) > self._max_seconds for model in models)

    def _seconds(self, plan: Plan, model: str) -> float:
        line, tokens = self._lines.get(model), self._predicted(plan, model)
        if line is None or tokens is None or line.n < _ENOUGH:
            return 0.0
        if self._clock() - line.at > _FORGOTTEN_SECONDS:
            del self._lines[model]
            return 0.0
        return line.of(tokens)

    def _predicted(self, plan: Plan | None, model: str) -> float | None:
        """The output tokens behind a predicted cost, None where they are not known."""
        price = self._prices.get(model)
        cost_usd = None if plan is None else plan.predicted_costs_usd.get(model)
        if plan is None or price is None or cost_usd is None or price.output_usd_per_mtok <= 0:
            return None
        read = plan.prompt_tokens * LIKELY * price.input_usd_per_mtok
        return max(0.0, cost_usd * 1e6 - read) / price.output_usd_per_mtok


def _is_whole(attempt: Attempt, record: RequestRecord) -> bool:
    """Whether the time of a call is that of all of its answer."""
    return attempt.role in ("first", "audit", "check") or not record.stream
