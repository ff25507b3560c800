"""A day of made traffic, to look at the dashboard with and to test it in a browser."""

import random
from dataclasses import replace

from equirouter.serve.money.store.reports import Logged
from equirouter.serve.records import (
    Attempt,
    Candidate,
    Cascaded,
    Pair,
    Plan,
    Removal,
    RequestRecord,
    Tokens,
)

POOL = ("llama-3-8b", "mixtral-8x7b", "gpt-4o-mini", "claude-sonnet-4", "gpt-5")  # cheapest first
STRONGEST = "gpt-5"
PRICES = dict(zip(POOL, (120, 300, 450, 9_000, 11_000), strict=True))  # nano-USD a token, roughly
MAX_OUTPUT = 1024
UPSTREAMS = {
    "llama-3-8b": "ollama",
    "mixtral-8x7b": "together",
    "gpt-4o-mini": "openai",
    "claude-sonnet-4": "anthropic",
    "gpt-5": "openai",
}
ASKED = (
    ("equirouter/auto", "lambda", 35.0, "auto"),
    ("equirouter/budget-0.002", "budget_usd", 0.002, "budget up to 0.002"),
    ("equirouter/quality-0.98", "lambda", 12.0, "quality 0.98"),
)


def made_traffic(now: float, *, hours: float = 24.0, n: int = 1500, seed: int = 7) -> list[Logged]:
    """Requests of the last hours, oldest first, busier by day; some fail, some fall back."""
    rng = random.Random(seed)
    starts = sorted(now - hours * 3600 * (1 - rng.random() ** 0.8) for _ in range(n))
    return [
        _logged(rng, number, start, start > now - hours * 360)
        for number, start in enumerate(starts, start=1)
    ]


def nusd(model: str, prompt: float, answer: float) -> int:
    """What a call costs in nano-USD, where input has a quarter of the price of output."""
    return int(PRICES[model] * (prompt / 4 + answer))


def _logged(rng: random.Random, number: int, start: float, is_late: bool) -> Logged:
    asked, setting, value, class_ = rng.choices(ASKED, (6, 3, 2))[0]
    prompt = rng.randint(30, 2400)
    tokens = Tokens(
        input=prompt, output=rng.randint(20, 900), cached_input=rng.randint(0, min(prompt, 29))
    )
    plan = _plan(rng, tokens, setting, value, is_late)
    record = RequestRecord(
        request_id=f"req-{number:05}",
        started_at=start,
        endpoint="chat.completions",
        requested_model=asked,
        stream=rng.random() < 0.6,
        key_id=f"key-{rng.randint(1, 4)}",
        plan=replace(plan, class_=class_),
        status=200,
    )
    dice = rng.random()
    if dice < 0.06:
        record.plan = replace(plan, decided_by="named", setting=None, value=None, scores={})
        record.requested_model = plan.candidates[0].model
    elif dice < 0.14 and setting != "budget_usd":  # under a budget no conversation is kept
        record.plan = replace(_staying(plan), decided_by="session", class_=class_)
    elif dice < 0.42 and setting != "budget_usd":
        return Logged(number, _cascaded(rng, record, tokens))
    _answer(rng, record, tokens)
    is_rated = record.served_model is not None and rng.random() < 0.15
    score = None
    if record.served_model is not None and is_rated:
        score = min(max(rng.gauss(plan.scores[record.served_model] + 0.05, 0.12), 0.0), 1.0)
    return Logged(number, record, score, "answers the question" if is_rated else None)


def _plan(rng: random.Random, tokens: Tokens, setting: str, value: float, is_late: bool) -> Plan:
    """What a router would decide: of late harder queries, at which expensive models are better."""
    step = rng.uniform(0.0, 0.16 if is_late else 0.085) if rng.random() < 0.7 else 0.0
    scores = {
        model: min(max(0.82 - (4 - i) * step + rng.gauss(0, 0.03), 0.05), 0.98)
        for i, model in enumerate(POOL)
    }
    answer = tokens.output * rng.uniform(0.7, 1.4)
    costs = {model: nusd(model, tokens.input, answer) / 1e9 for model in POOL}
    estimated = int(tokens.input * rng.uniform(1.15, 1.5)) + 16
    most = {model: nusd(model, estimated, MAX_OUTPUT) for model in POOL}
    removed = (
        {"llama-3-8b": Removal("abilities", "abilities: no tools")} if rng.random() < 0.2 else {}
    )
    if setting == "budget_usd":
        removed |= {
            model: Removal(
                "budget",
                f"budget: it may cost up to {most[model] / 1e9:g} USD ({estimated} tokens "
                f"of prompt, {MAX_OUTPUT} of answer), {value:g} allowed",
            )
            for model in POOL
            if most[model] > value * 1e9
        }
    price = 0.0 if setting == "budget_usd" else value
    order = sorted(
        (model for model in POOL if model not in removed),
        key=lambda model: price * costs[model] - scores[model],
    )
    return Plan(
        candidates=tuple(Candidate(one, most[one]) for one in order),
        decided_by="policy",
        setting=setting,
        value=value,
        removed=removed,
        scores=scores,
        predicted_costs_usd=costs,
        prompt_tokens=estimated,
        max_output_tokens=MAX_OUTPUT,
        confidence=rng.uniform(0.4, 0.95),
        decision_ms=rng.lognormvariate(-0.7, 0.5),
        pipeline="5d1c07a2",
    )


def _staying(plan: Plan) -> Plan:
    """The same with the second model in front, which the conversation had."""
    best, kept, *others = plan.candidates
    return replace(plan, candidates=(kept, best, *others))


def _cascaded(rng: random.Random, record: RequestRecord, tokens: Tokens) -> RequestRecord:
    """Two cheap models at once, which agree in three cases of four; else the strongest."""
    assert record.plan is not None
    costs = record.plan.predicted_costs_usd
    pair, does_agree = ("mixtral-8x7b", "gpt-4o-mini"), rng.random() < 0.75
    expected = costs[pair[0]] + costs[pair[1]] + 0.25 * costs[STRONGEST]
    planned = Pair(pair, expected, 0.25, True, "number@1")
    record.plan = replace(record.plan, decided_by="cascade", pair=planned)
    elapsed = record.plan.decision_ms
    for model, answer in zip(
        (*pair, STRONGEST), ("42", "42" if does_agree else "41", "41"), strict=True
    ):
        ms, output = rng.lognormvariate(6.3, 0.4), int(tokens.output * rng.uniform(0.7, 1.3))
        if model == STRONGEST:
            elapsed += max(attempt.ms for attempt in record.attempts)
        record.attempts.append(
            Attempt(
                *(model, UPSTREAMS[model], "ok", 200, ms, None),
                record.started_at + elapsed / 1000,
                cost_nusd=nusd(model, tokens.input, output),
                role="escalation" if model == STRONGEST else "first",
                input_tokens=tokens.input,
                output_tokens=output,
                answer_id=1 if answer == "42" else 2,
                answer=answer,
            )
        )
        if model == pair[1] and does_agree:
            break
    last = record.attempts[-1]
    record.served_model = pair[0] if does_agree else STRONGEST
    record.cascade = Cascaded(
        pair,
        "agree" if does_agree else "disagree",
        "accepted" if does_agree else "escalated",
        max(attempt.ms for attempt in record.attempts[:2]),
        rng.uniform(0.85, 0.98) if does_agree else None,
    )
    record.tokens = tokens
    record.cost_nusd = sum(attempt.cost_nusd or 0 for attempt in record.attempts)
    record.strongest_nusd = nusd(STRONGEST, tokens.input, tokens.output)
    record.first_byte_ms = record.total_ms = elapsed + last.ms
    return record


def _answer(rng: random.Random, record: RequestRecord, tokens: Tokens) -> None:
    assert record.plan is not None
    decision = record.plan.decision_ms
    elapsed = decision
    for model in [one.model for one in record.plan.candidates][:4]:
        begins_ms, writes_ms = rng.lognormvariate(6.3, 0.6), tokens.output * rng.uniform(4, 9)
        ms = begins_ms if record.stream else begins_ms + writes_ms
        if rng.random() < (0.08 if UPSTREAMS[model] == "together" else 0.012):
            started = record.started_at + elapsed / 1000
            record.attempts.append(
                Attempt(
                    model, UPSTREAMS[model], "status", 503, begins_ms / 5, "status 503", started
                )
            )
            elapsed += begins_ms / 5
            continue
        started = record.started_at + elapsed / 1000
        record.attempts.append(Attempt(model, UPSTREAMS[model], "ok", 200, ms, None, started))
        record.served_model = model
        record.tokens = tokens
        record.cost_nusd = nusd(model, tokens.input, tokens.output)
        record.strongest_nusd = nusd(STRONGEST, tokens.input, tokens.output)
        record.first_byte_ms = elapsed + ms
        record.total_ms = elapsed + begins_ms + writes_ms
        return
    record.status, record.total_ms, record.error = 502, elapsed, "no model answered"
