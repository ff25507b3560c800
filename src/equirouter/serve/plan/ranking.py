"""From a decision to the candidates of a request, the session's model first where that pays."""

from collections.abc import Mapping
from dataclasses import dataclass

from equirouter.cost.prices import Price
from equirouter.pipeline.decision import Decision
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.feasible import Bound
from equirouter.serve.plan.loading import LoadedPipeline
from equirouter.serve.plan.prompt_tokens import message_tokens
from equirouter.serve.plan.sessions import history, is_tool_loop, stays, switch_cost_usd
from equirouter.serve.records import Candidate, DecidedBy, Plan, Removal, RequestControl
from equirouter.serve.watch.collapse_alarm import collapse_class

__all__ = ["Circumstances", "ranked_plan"]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """A request beside the decision on it: what its call can cost at most, who may not answer.

    fits: whether a model is within the budget of the request. session: under which the conversation
    is remembered.
    """

    chat: ChatRequest
    control: RequestControl
    bounds: Mapping[str, Bound]
    removed: Mapping[str, Removal]
    fits: bool
    session: str | None


def ranked_plan(
    request: Circumstances,
    decision: Decision,
    loaded: LoadedPipeline,
    *,
    last: str | None,
    prices: Mapping[str, Price],
    rule: str,
) -> Plan:
    """The plan that a decision makes.

    last: who answered the conversation before, None if that is not known. rule: as
    SessionSettings.switch_cost. A model that waits for its tools is never replaced while it may
    answer.
    """
    ranked = [] if decision.model is None else [decision.model, *decision.fallbacks]
    decided_by: DecidedBy = "policy"
    if last in ranked[1:] and _stays(request.chat, decision, last, prices, rule):
        ranked.remove(last)
        ranked.insert(0, last)
        decided_by = "session"
    first = request.bounds[ranked[0]] if ranked else Bound(0, 0, 0)
    is_choice = bool(ranked) and decided_by == "policy" and request.fits
    return Plan(
        tuple(_candidate(name, request.bounds, decision) for name in ranked),
        decided_by,
        setting=decision.setting,
        value=decision.value,
        removed=_removed(request, decision, ranked),
        scores=decision.scores,
        predicted_costs_usd=decision.predicted_costs_usd,
        prompt_tokens=first.prompt,
        max_output_tokens=first.output,
        # of the model that was decided for, not of the session's
        confidence=decision.confidence if decided_by == "policy" else None,
        far=decision.far,
        pipeline=loaded.id,
        fits=request.fits,
        class_=collapse_class(request.control) if is_choice else None,
        # calibration saw choices between all models
        expected_share=None
        if request.removed or not is_choice
        else loaded.expected_share(decision.setting, decision.value),
        session=request.session,
    )


def _stays(
    chat: ChatRequest, decision: Decision, last: str, prices: Mapping[str, Price], rule: str
) -> bool:
    if is_tool_loop(chat.messages):
        return True

    def switch_usd(new: str) -> float:
        known = message_tokens(history(chat.messages)).text
        return switch_cost_usd(known, prices[last], prices[new])

    return stays(decision, last, switch_usd, rule)


def _candidate(name: str, bounds: Mapping[str, Bound], decision: Decision) -> Candidate:
    return Candidate(
        name, bounds[name].nusd, decision.scores[name], decision.predicted_costs_usd[name]
    )


def _removed(
    request: Circumstances, decision: Decision, ranked: list[str]
) -> Mapping[str, Removal]:
    """Those that constraints removed, and those that the policy left out for what they may cost."""
    if len(ranked) + len(request.removed) == len(decision.scores):
        return request.removed
    return {**request.removed} | {
        name: Removal(
            "budget",
            f"budget: it is expected to cost {cost:g} USD, and {decision.setting} is "
            f"{decision.value:g}",
        )
        for name, cost in decision.predicted_costs_usd.items()
        if name not in request.removed and name not in ranked
    }
