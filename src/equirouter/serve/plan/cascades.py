"""Which requests may be asked of more than one model: those whose final answers can be compared."""

from collections.abc import Collection
from dataclasses import replace

from equirouter.pipeline.query_plan import QueryPlan
from equirouter.policy.pool_plans import PoolPlans
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.sessions import history, is_of_tools
from equirouter.serve.records import Pair, Plan
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
