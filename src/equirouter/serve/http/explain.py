"""The document of POST /v1/route: who would answer a request, and why."""

from typing import Any

from equirouter.serve.records import Plan, usd

__all__ = ["route_document"]


def route_document(plan: Plan) -> dict[str, Any]:
    """A plan as JSON can hold it.

    model: who would be called first, null where nobody may answer. ranking: all candidates in the
    order in which they would be tried; predicted_cost_usd is the mean that was chosen by,
    upper_cost_usd the most that a call can cost, which the budget is held by. spend_usd: the mean
    spend that has set the lambda, null where the lambda is not set so. removed: by model,
    the constraint in words. scores, predicted_costs_usd: of all models, null where no router was
    asked.
    """
    return {
        "object": "equirouter.route",
        "model": plan.candidates[0].model if plan.candidates else None,
        "decided_by": plan.decided_by,
        "ranking": [
            {
                "model": candidate.model,
                "score": candidate.score,
                "predicted_cost_usd": candidate.predicted_cost_usd,
                "upper_cost_usd": usd(candidate.upper_nusd),
            }
            for candidate in plan.candidates
        ],
        "removed": {model: removal.text for model, removal in plan.removed.items()},
        "setting": plan.setting,
        "value": plan.value,
        "spend_usd": plan.spend_usd,
        "fits": plan.fits,
        "confidence": plan.confidence,
        "far": plan.far,
        "scores": dict(plan.scores) or None,
        "predicted_costs_usd": dict(plan.predicted_costs_usd) or None,
        "prompt_tokens": plan.prompt_tokens,
        "max_output_tokens": plan.max_output_tokens,
        "expected_strongest_share": plan.expected_share,
        "pipeline": plan.pipeline,
        "decision_ms": round(plan.decision_ms, 3),
    }
