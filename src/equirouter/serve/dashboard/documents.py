"""The JSON documents of the dashboard, from what the store gives. Money is in USD there."""

from collections.abc import Mapping
from dataclasses import asdict, fields

from equirouter.serve.money.store.reports import Logged, Totals
from equirouter.serve.records import Cascaded, Pair, Plan, RequestRecord, WhyNext, usd, usd_or_none

Document = dict[str, object]

_RENAMED = {"started_at": "time", "served_model": "model", "key_id": "key"}
_NAMES = tuple(
    field.name
    for field in fields(RequestRecord)
    if field.name not in ("plan", "attempts", "tokens", "cascade")
)


def totals_document(totals: Totals) -> Document:
    """Sums of a period. saved_usd: less than always-strongest, negative where routing costs."""
    return {
        "requests": totals.requests,
        "errors": totals.errors,
        "routed": totals.routed,
        "cost_usd": usd(totals.cost_nusd),
        "strongest_usd": usd(totals.strongest_nusd),
        "compared_usd": usd(totals.compared_nusd),
        "saved_usd": usd(totals.strongest_nusd - totals.compared_nusd),
        "estimated": totals.estimated,
        "fallbacks": totals.fallbacks,
    }


def row(logged: Logged) -> Document:
    """A request as a line of the table."""
    record = logged.record
    return {
        "number": logged.number,
        "request_id": record.request_id,
        "time": record.started_at,
        "endpoint": record.endpoint,
        "requested_model": record.requested_model,
        "model": record.served_model,
        **_of_plan(record.plan, "decided_by", "setting", "value", "decision_ms"),
        "status": record.status,
        "stream": record.stream,
        "cost_usd": usd_or_none(record.cost_nusd),
        "strongest_usd": usd_or_none(record.strongest_nusd),
        "total_ms": record.total_ms,
        "attempts": len(record.attempts),
        "score": logged.score,
    }


def _of_plan(plan: Plan | None, *names: str) -> Document:
    return {name: getattr(plan, name, None) for name in names}


def full(logged: Logged) -> Document:
    """A request with all that is known of it; texts only where they were kept."""
    record = logged.record
    plan = record.plan
    return {
        **_fields(record),
        **row(logged),
        "why": why(record),
        "models": [] if plan is None else _models(plan, record),
        "attempt_list": [
            {name: value for name, value in asdict(attempt).items() if name != "cost_nusd"}
            | {
                "cost_usd": usd_or_none(attempt.cost_nusd),
                "started_ms": None
                if attempt.started_at is None
                else (attempt.started_at - record.started_at) * 1000,
            }
            for attempt in record.attempts
        ],
        "expected_usd": None if plan is None or plan.pair is None else plan.pair.expected_cost_usd,
        "cascade": None if record.cascade is None else asdict(record.cascade),
        "tokens": None if record.tokens is None else asdict(record.tokens),
        **_of_plan(plan, "prompt_tokens", "max_output_tokens", "confidence", "pipeline"),
        "comment": logged.comment,
    }


def _fields(record: RequestRecord) -> Document:
    """All fields of a record that hold one value, money in USD."""
    document: Document = {}
    for name in _NAMES:
        value = getattr(record, name)
        if name.endswith("_nusd"):
            document[f"{name.removesuffix('_nusd')}_usd"] = usd_or_none(value)
        else:
            document[_RENAMED.get(name, name)] = value
    return document


def _models(plan: Plan, record: RequestRecord) -> list[Document]:
    """Every model that was thought of: those that could answer in their order, then the others."""
    upper = {candidate.model: candidate.upper_nusd for candidate in plan.candidates}
    scores, costs = plan.scores, plan.predicted_costs_usd
    order = list(dict.fromkeys((*upper, *sorted(scores), *sorted(plan.removed))))
    called = {attempt.model for attempt in record.attempts if attempt.outcome != "refused"}
    ranks = {model: rank for rank, model in enumerate(upper, start=1)}
    return [
        {
            "model": model,
            "rank": ranks.get(model),
            "score": scores.get(model),
            "predicted_cost_usd": costs.get(model),
            "upper_usd": usd_or_none(upper.get(model)),
            "removed": plan.removed[model].text if model in plan.removed else None,
            "served": model == record.served_model,
            "asked": model in called,
        }
        for model in order
    ]


_OUTCOMES = {
    "status": "answered with an error",
    "connect": "could not be reached",
    "timeout": "took too long",
    "broken": "sent an answer that could not be read",
    "refused": "was not called",
    "cancelled": "was given up, the client had gone",
}


def why(record: RequestRecord) -> list[str]:
    """A sentence each on what decided, what was asked for, and what happened then."""
    plan = record.plan
    if plan is None:
        return [f"No decision was made: the request was answered with status {record.status}."]
    if not plan.candidates:
        return ["No model may answer this request; what removed each is in the table."]
    return [_decided(plan), *_happened(record, plan.candidates[0].model)]


def _decided(plan: Plan) -> str:
    first = plan.candidates[0]
    if plan.decided_by == "named":
        return f"The request names {first.model}, so no router was asked."
    if plan.pair is not None:
        return _by_cascade(plan, plan.pair)
    if plan.decided_by == "session":
        return (
            f"The conversation stays with {first.model}: to switch would cost more than it brings."
        )
    if plan.decided_by == "shadow":
        return f"{first.model} answered after another model had, for the log alone."
    if plan.decided_by == "explore":
        return (
            f"{first.model} was drawn with a chance of {100 * plan.chances[first.model]:.2g} %, to "
            "learn what it is worth: the router chose another model."
        )
    if plan.decided_by == "router_failure":
        return f"The router could not decide; on_router_failure chose {first.model}."
    if plan.decided_by == "unreadable":
        return (
            "The request has nothing that the router can read; on_router_failure chose "
            f"{first.model}."
        )
    return _by_policy(plan)


def _by_cascade(plan: Plan, pair: Pair) -> str:
    likely = (
        "" if pair.p_escalate is None else f", a third in {100 * pair.p_escalate:.0f} % of cases"
    )
    return (
        f"{' and '.join(pair.models)} are asked at once, as {_PLANS[pair.learned]} "
        f"{pair.expected_cost_usd:g} USD expected for all calls{likely}{_calibrated(plan)}."
    )


_PLANS = {
    True: "learned plans expect that to pay;",
    False: "the agreement rule says;",
}
_REPLIES: Mapping[WhyNext, str] = {
    "agree": "Both gave the same final answer",
    "disagree": "Their final answers differ",
    "no answer": "Not both have a final answer",
    "failed": "Not both replied",
    "late": "Not both replied in time",
}


def _after_pair(record: RequestRecord, how: Cascaded) -> str:
    """Why it ended after the replies of two models, or did not."""
    reply, served = _REPLIES[how.why], record.served_model
    support = "" if how.support is None else f", expected to be right with {how.support:.2f}"
    if how.ended == "accepted":
        return f"{reply}; the answer of {served} was served{support}."
    if how.ended == "kept":
        return (
            f"{reply}, and one more was to be asked: {how.blocked}. {served} was served{support}."
        )
    more = [attempt.model for attempt in record.attempts if attempt.role == "escalation"]
    return f"{reply}, so {more[-1]} was asked as well; the answer of {served} was served{support}."


def _by_policy(plan: Plan) -> str:
    first, value = plan.candidates[0].model, plan.value
    if value is None:
        return f"{first} is first in the pipeline's ranking."
    if not plan.fits:
        return (
            f"No model fits a budget of {value:g} USD for the call; "
            f"when_nothing_fits chose {first}."
        )
    if plan.setting == "budget_usd":
        return (
            f"{first} has the highest score of the models that fit a budget of {value:g} USD "
            f"for the call{_calibrated(plan)}."
        )
    if plan.setting == "lambda":
        return (
            f"One USD must buy {value:g} of performance{_calibrated(plan)}; {first} is the best at "
            "that price, by its score less its predicted cost."
        )
    return f"{first} is first in the pipeline's ranking at {plan.setting} = {value:g}."


def _calibrated(plan: Plan) -> str:
    """Where the setting comes from a quality or a spend, and not from the request itself."""
    if plan.spend_usd is not None:
        return f", so that requests cost {plan.spend_usd:g} USD on average"
    asked = plan.class_ or ""
    if asked == "auto":
        return ", which keeps the quality that the pipeline was trained for"
    if asked.startswith("quality"):
        return f", which keeps {asked} of the strongest model's performance"
    return ""


def _happened(record: RequestRecord, first: str) -> list[str]:
    sentences = []
    for attempt in record.attempts:
        if attempt.outcome != "ok":
            status = f" {attempt.status}" if attempt.status else ""
            sentences.append(f"{attempt.model} {_OUTCOMES[attempt.outcome]}{status}.")
    if record.cascade is not None and record.served_model is not None:
        sentences.append(_after_pair(record, record.cascade))
    elif record.served_model is None:
        sentences.append(f"No model answered: the client got status {record.status}.")
    elif record.served_model != first:
        sentences.append(f"{record.served_model}, a fallback within the budget, answered.")
    return sentences
