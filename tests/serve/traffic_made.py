"""A day of made traffic, to look at the dashboard with and to test it in a browser."""

import random
from dataclasses import dataclass, replace

from equirouter.serve.records import Attempt, Candidate, Plan, RequestRecord, Tokens
from equirouter.serve.reporting import Logged

POOL = ("llama-3-8b", "mixtral-8x7b", "gpt-4o-mini", "claude-sonnet-4", "gpt-5")  # cheapest first
STRONGEST = "gpt-5"
PRICES = dict(zip(POOL, (120, 480, 450, 9_000, 11_000), strict=True))  # nano-USD a token, roughly
UPSTREAMS = {
    "llama-3-8b": "ollama",
    "mixtral-8x7b": "together",
    "gpt-4o-mini": "openai",
    "claude-sonnet-4": "anthropic",
    "gpt-5": "openai",
}
TOO_DEAR = (
    "budget: it may cost up to 0.0268 USD (35 tokens of prompt, 100 of answer), 0.002 allowed"
)
ASKED = (
    ("equirouter/auto", "lambda", 35.0, "auto"),
    ("equirouter/budget-0.002", "budget_usd", 0.002, "budget up to 0.002"),
    ("equirouter/quality-0.98", "lambda", 12.0, "quality 0.98"),
)


@dataclass(frozen=True)
class State:
    """The collapse alarm of one class."""

    decisions: int
    share: float
    expected: float | None
    is_alarm: bool = False
    evidence: float = 0.0


def made_traffic(now: float, *, hours: float = 24.0, n: int = 1500, seed: int = 7) -> list[Logged]:
    """Requests of the last hours, oldest first, busier by day; some fail, some fall back."""
    rng = random.Random(seed)
    starts = sorted(now - hours * 3600 * (1 - rng.random() ** 0.8) for _ in range(n))
    return [
        _logged(rng, number, start, start > now - hours * 360)
        for number, start in enumerate(starts, start=1)
    ]


def _logged(rng: random.Random, number: int, start: float, is_late: bool) -> Logged:
    asked, setting, value, class_ = rng.choices(ASKED, (6, 3, 2))[0]
    scores = {model: 0.45 + 0.1 * i + rng.gauss(0, 0.06) for i, model in enumerate(POOL)}
    tokens = Tokens(
        input=rng.randint(30, 2400), output=rng.randint(20, 900), cached_input=rng.randint(0, 29)
    )
    weights = (9, 6, 8, 3, 2) if not is_late else (5, 4, 4, 4, 12)
    removed = {"llama-3-8b": "tools"} if rng.random() < 0.2 else {}
    if setting == "budget_usd":
        weights = (9, 6, 8, 0, 0)
        removed |= dict.fromkeys(POOL[3:], TOO_DEAR)
    chosen = rng.choices(POOL, weights)[0]
    if chosen in removed:
        chosen = "gpt-4o-mini"
    costs = {model: PRICES[model] * rng.uniform(300, 900) / 1e9 for model in POOL}
    order = [chosen, *(one for one in POOL if one != chosen and one not in removed)][:4]
    plan = Plan(
        candidates=tuple(
            Candidate(one, int(PRICES[one] * 4200), scores[one], costs[one]) for one in order
        ),
        decided_by="policy",
        setting=setting,
        value=value,
        removed=removed,
        scores=scores,
        predicted_costs_usd=costs,
        prompt_tokens=tokens.input,
        max_output_tokens=1024,
        confidence=rng.uniform(0.4, 0.95),
        decision_ms=rng.lognormvariate(-0.7, 0.5),
        pipeline="5d1c07a2",
        class_=class_,
    )
    record = RequestRecord(
        request_id=f"req-{number:05}",
        started_at=start,
        endpoint="chat.completions",
        requested_model=asked,
        stream=rng.random() < 0.6,
        key_id=f"key-{rng.randint(1, 4)}",
        plan=plan,
        status=200,
    )
    dice = rng.random()
    if dice < 0.06:
        record.plan = replace(plan, decided_by="named", setting=None, value=None, scores={})
        record.requested_model = chosen
    elif dice < 0.14:
        record.plan = replace(plan, decided_by="session")
    _answer(rng, record, order, tokens)
    is_rated = record.served_model is not None and rng.random() < 0.15
    score = min(max(rng.gauss(scores[chosen] + 0.15, 0.15), 0.0), 1.0) if is_rated else None
    return Logged(number, record, score, "answers the question" if is_rated else None)


def _answer(rng: random.Random, record: RequestRecord, order: list[str], tokens: Tokens) -> None:
    assert record.plan is not None
    decision = record.plan.decision_ms
    elapsed = decision
    for model in order:
        ms = rng.lognormvariate(6.3, 0.6)
        if rng.random() < (0.08 if UPSTREAMS[model] == "together" else 0.012):
            started = record.started_at + elapsed / 1000
            record.attempts.append(
                Attempt(model, UPSTREAMS[model], "status", 503, ms / 5, "status 503", started)
            )
            elapsed += ms / 5
            continue
        started = record.started_at + elapsed / 1000
        record.attempts.append(Attempt(model, UPSTREAMS[model], "ok", 200, ms, None, started))
        record.served_model = model
        record.tokens = tokens
        record.cost_nusd = PRICES[model] * (tokens.input // 4 + tokens.output)
        record.strongest_nusd = PRICES[STRONGEST] * (tokens.input // 4 + tokens.output)
        record.first_byte_ms = elapsed + ms
        record.total_ms = elapsed + ms + tokens.output * rng.uniform(4, 9)
        return
    record.status, record.total_ms, record.error = 502, elapsed, "no model answered"
