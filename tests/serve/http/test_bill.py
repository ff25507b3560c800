"""What a request costs, through a running gateway: settled, logged, and said in headers."""

import asyncio
from typing import Any

import pytest

from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

AUTO = "equirouter/auto"
SERVICE = {"priority": {"input": 2.0, "output": 4.0}, "flex": {"input": 0.5, "output": 1.0}}


async def paid(here: Running, **body: Any) -> int:
    """Nano-USD that one request to model a is settled with."""
    response = await here.chat("a", **body)
    assert response.status == 200
    [(end, nano_usd)] = here.admission.tickets[-1].ended
    assert end == "settled"
    assert here.record.cost_nusd == nano_usd
    return nano_usd


def answering(here: Running, usage: dict[str, Any], **more: Any) -> None:
    """Let model a answer with this usage, streamed or not."""

    async def shape(seen: fake.Seen) -> Any:
        if not seen.body.get("stream"):
            return await fake.document({**fake.completion(usage=usage), **more})(seen)
        last = fake.event(fake.chunk(usage=usage, **more))
        return await fake.stream([*fake.streamed(None)[:-1], last, b"data: [DONE]\n\n"])(seen)

    here.upstream.answers("a-theirs", shape)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 20, "completion_tokens": tokens} for tokens in (None, 999_999_999)]
)
def test_an_absurd_usage_is_replaced_marked_and_counted(
    usage: dict[str, Any], stream: bool
) -> None:
    async def run() -> None:
        async with running() as here:
            answering(here, usage)
            # 20 tokens of prompt, and "Hello wörld": 12 bytes, 3 tokens
            assert await paid(here, stream=stream) == 20 * 1000 + 3 * 2000
            record = here.record
            assert record.charged_by == "implausible"
            assert record.tokens is not None
            assert record.tokens.estimated
            metrics = (await here.http.get("/metrics")).text()
            assert 'equirouter_implausible_usage_total{model="a"} 1.0' in await metrics

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_the_service_tier_is_passed_on_and_priced(stream: bool) -> None:
    async def run() -> None:
        price = {"input": 1.0, "output": 2.0, "service_tiers": SERVICE}
        async with running(models={"a": {"price": price}}) as here:
            for asked, answered, nano_usd in (
                ("priority", None, 80_000),
                ("priority", "default", 40_000),
                ("flex", "flex", 20_000),
                ("auto", "priority", 80_000),
                ("hyperfast", None, 80_000),
            ):
                tier = {} if answered is None else {"service_tier": answered}
                answering(here, fake.USAGE, **tier)
                assert await paid(here, service_tier=asked, stream=stream) == nano_usd
                assert here.upstream.seen[-1].body["service_tier"] == asked
                assert here.record.service_tier == (answered or asked)
            refused = await here.chat("a", service_tier=["priority"])
            assert refused.status == 400
        model = {"price": price, "drop": ["service_tier"]}
        async with running(models={"a": model}) as here:
            assert await paid(here, service_tier="priority", stream=stream) == 40_000
            assert "service_tier" not in here.upstream.seen[-1].body

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_the_cost_that_a_provider_reports_is_logged_and_charged_where_that_is_set(
    stream: bool,
) -> None:
    async def run() -> None:
        upstreams = {"b": {"charge_reported_cost": True}}
        async with running(upstreams=upstreams, models={"b": {"upstream_model": "a-theirs"}}) as on:
            answering(on, {**fake.USAGE, "cost": 0.00005})
            assert await paid(on, stream=stream) == 40_000
            assert (on.record.reported_nusd, on.record.charged_by) == (50_000, "usage")
            await on.chat("b", stream=stream)
            assert on.record.cost_nusd == 50_000
            assert (on.record.reported_nusd, on.record.charged_by) == (50_000, "reported")

    asyncio.run(run())


def test_the_cost_in_the_header_of_litellms_proxy() -> None:
    async def run() -> None:
        async with running(upstream={"charge_reported_cost": True}) as here:
            headers = {"x-litellm-response-cost": "0.00007"}
            here.upstream.answers("a-theirs", fake.document(fake.completion(), headers=headers))
            assert await paid(here) == 70_000

    asyncio.run(run())


@pytest.mark.parametrize("translated", [False, True])
def test_usage_survives_the_translation_of_a_response(translated: bool) -> None:
    """Written for long at 3 USD, the provider's own figure, and the tier in which it was served."""
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "prompt_tokens_details": {
            "cache_creation_tokens": 8,
            "cache_creation_token_details": {"ephemeral_1h_input_tokens": 6},
        },
        "cost": 0.00009,
    }
    price = {"input": 1.0, "output": 2.0, "cache_write": 2.0, "long_cache_write": 3.0}

    async def run() -> None:
        models = {"a": {"price": {**price, "service_tiers": {"priority": price}}}}
        async with running(models=models, upstream={"responses": not translated}) as here:
            path, body = "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}
            if translated:
                path, body = "/v1/responses", {"input": "Hi"}  # type: ignore[dict-item]
            answering(here, usage, service_tier="priority")
            response = await here.http.post(path, json={"model": "a", **body})
            assert response.status == 200
            # 12 at 1,000, 2 at 2,000, 6 at 3,000, 10 at 2,000
            assert here.record.cost_nusd == 12_000 + 4_000 + 18_000 + 20_000
            assert here.record.reported_nusd == 90_000
            assert here.record.service_tier == "priority"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "responses", "field"),
    [
        ("/v1/chat/completions", True, "max_tokens"),
        ("/v1/responses", True, "max_output_tokens"),
        ("/v1/responses", False, "max_tokens"),
    ],
)
def test_the_limit_that_is_assumed_is_sent(path: str, responses: bool, field: str) -> None:
    async def run() -> None:
        async with running(upstream={"responses": responses}) as here:
            here.planner.answers["a"] = 77
            is_chat = path.endswith("completions")
            asked: dict[str, Any] = (
                {"messages": [{"role": "user", "content": "Hi"}]} if is_chat else {"input": "Hi"}
            )
            for given in ({}, {field if responses or is_chat else "max_output_tokens": None}):
                response = await here.http.post(path, json={"model": "a", **asked, **given})
                assert response.status == 200
                assert here.upstream.seen[-1].body[field] == 77

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_budget_that_is_exceeded_is_said_and_logged(stream: bool) -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 100_000)]
            response = await here.chat("equirouter/budget-0.00001", stream=stream)
            assert response.status == 200
            # it cost 0.00004 USD; before a stream begins, only the most is known, 0.0001 USD
            said = "0.00009" if stream else "0.00003"
            assert response.headers["x-equirouter-over-budget-usd"] == said
            assert here.record.over_budget_nusd == 30_000
            response = await here.chat("equirouter/budget-0.001", stream=stream)
            assert "x-equirouter-over-budget-usd" not in response.headers
            assert here.record.over_budget_nusd is None

    asyncio.run(run())


def test_a_call_that_broke_off_is_charged_beside_the_answer_and_reserved_for() -> None:
    async def run() -> None:
        async with running(money={"charge_unknown": "bound"}) as here:
            here.planner.order = [("a", 300), ("b", 300)]
            here.upstream.answers("a-theirs", fake.dropped())
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-model"] == "b"
            [ticket] = here.admission.tickets
            assert (ticket.reserved, ticket.ended) == (600, [("settled", 40_300)])
            assert response.headers["x-equirouter-cost-usd"] == "0.0000403"
            here.admission.most = 599  # nothing is left for another call
            response = await here.chat(AUTO)
            assert response.status == 502
            assert [attempt.outcome for attempt in here.record.attempts] == ["broken", "refused"]
            assert here.admission.tickets[-1].ended == [("settled", 300)]

    asyncio.run(run())


def test_a_call_that_never_reached_the_provider_costs_nothing() -> None:
    async def run() -> None:
        upstreams = {"a": {"base_url": "http://127.0.0.1:9/v1"}}
        async with running(upstreams=upstreams, money={"charge_unknown": "bound"}) as here:
            response = await here.chat("a")
            assert response.status == 502
            assert {attempt.outcome for attempt in here.record.attempts} == {"connect"}
            assert here.admission.tickets[0].ended == [("released", 0)]
            assert here.record.cost_nusd is None

    asyncio.run(run())
