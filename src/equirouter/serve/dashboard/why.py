"""Why a request was answered by this model, in sentences."""

from equirouter.serve.records import Plan, RequestRecord

__all__ = ["why"]

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
    if plan.decided_by == "session":
        return (
            f"The conversation stays with {first.model}: to switch would cost more than it brings."
        )
    if plan.decided_by == "router_failure":
        return f"The router could not decide; on_router_failure makes it {first.model}."
    if plan.decided_by == "unreadable":
        return (
            "The request has nothing that the router can read; on_router_failure makes it "
            f"{first.model}."
        )
    return _by_policy(plan)


def _by_policy(plan: Plan) -> str:
    first, value = plan.candidates[0].model, plan.value
    if value is None:
        return f"{first} is first in the pipeline's ranking."
    if not plan.fits:
        return (
            f"No model fits a budget of {value:g} USD for the call; {first} is what "
            "when_nothing_fits makes of that."
        )
    if plan.setting == "budget_usd":
        return (
            f"{first} has the highest score of the models that fit a budget of {value:g} USD "
            f"for the call{_calibrated(plan)}."
        )
    if plan.setting == "lambda":
        return (
            f"One USD must buy {value:g} of performance{_calibrated(plan)}; {first} is the best at "
            "that price, its score less its predicted cost."
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
    if record.served_model is None:
        sentences.append(f"Nobody answered: the client got status {record.status}.")
    elif record.served_model != first:
        sentences.append(f"{record.served_model}, a fallback within the budget, answered.")
    return sentences
