"""Records of requests, made for the tests of what is shown of them."""

from collections.abc import Mapping

from equirouter.serve.records import Attempt, Candidate, Plan, Removal, RequestRecord, Tokens

MODELS = ("small", "medium", "large")


def made_plan(
    *,
    chosen: str = "small",
    budget_usd: float = 0.002,
    removed: Mapping[str, Removal] | None = None,
) -> Plan:
    """A plan of the policy: the models in order, the chosen one first."""
    scores = {"small": 0.61, "medium": 0.72, "large": 0.83}
    costs = {"small": 0.0001, "medium": 0.0008, "large": 0.0051}
    removed = removed or {}
    order = [chosen, *(name for name in MODELS if name != chosen and name not in removed)]
    return Plan(
        candidates=tuple(Candidate(name, int(costs[name] * 3e9)) for name in order),
        decided_by="policy",
        setting="budget_usd",
        value=budget_usd,
        removed=removed,
        scores=scores,
        predicted_costs_usd=costs,
        prompt_tokens=25,
        max_output_tokens=256,
        confidence=0.8,
        decision_ms=0.6,
        pipeline="3f2a",
    )


def made_record(request_id: str = "req-1", *, served: str | None = "small") -> RequestRecord:
    """A streamed request that was answered, or, with served None, refused by every upstream."""
    answered = served is not None
    return RequestRecord(
        request_id=request_id,
        started_at=1_760_000_000.0,
        endpoint="chat.completions",
        requested_model="equirouter/auto",
        stream=True,
        key_id="key-7",
        session="session-9",
        plan=made_plan(chosen=served or "small"),
        attempts=[
            Attempt("medium", "east", "status", 503, 40.0, "overloaded"),
            Attempt(served or "small", "west", "ok" if answered else "timeout", 200, 200.0),
        ],
        served_model=served,
        tokens=Tokens(input=100, output=50, cached_input=60, reasoning=20) if answered else None,
        cost_nusd=250_000 if answered else None,
        strongest_nusd=1_000_000 if answered else None,
        first_byte_ms=120.0 if answered else None,
        total_ms=900.0,
        status=200 if answered else 504,
        prompt="a private prompt",
        answer="a private answer",
    )
