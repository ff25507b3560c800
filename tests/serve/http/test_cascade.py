"""Two models at once, then stop or ask one more: through a running gateway."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest

from equirouter.errors import GatewayError
from equirouter.pipeline.decision import QueryPlan
from equirouter.policy.plan import PlanPolicy
from equirouter.policy.pool_plans import AgreementRule
from equirouter.serve.call.relay import whole_stream
from equirouter.serve.records import Attempt
from tests.policy.plans_by_hand import by_hand
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

AUTO = "equirouter/auto"
# 20 tokens of prompt at 1,000 nano-USD, and so many of the answer at 2,000
COST = {"a": 20_000 + 10 * 2000, "b": 20_000 + 20 * 2000, "c": 20_000 + 30 * 2000}
TOKENS = {"a": 10, "b": 20, "c": 30}
UPPERS = {"a": 100_000, "b": 100_000, "c": 300_000}
BOTH, ALL = COST["a"] + COST["b"], sum(COST.values())


def saying(model: str, text: str, *, reason: str = "stop") -> fake.Shape:
    """Answer with a text, streamed where that is asked for, with the usage of TOKENS."""
    usage = {"prompt_tokens": 20, "completion_tokens": TOKENS[model]}

    async def shape(seen: fake.Seen) -> Any:
        if seen.path.endswith("/responses"):
            return await fake.document(response(text, usage, reason))(seen)
        if seen.path.endswith("/messages"):
            return await message(text, usage, reason, stream=bool(seen.body.get("stream")))(seen)
        if not seen.body.get("stream"):
            said = fake.completion(text, usage=usage)
            said["choices"][0]["finish_reason"] = reason
            return await fake.document(said)(seen)
        pieces = [fake.text_chunk(text), fake.text_chunk("", reason), fake.chunk(usage=usage)]
        return await fake.stream([*map(fake.event, pieces), b"data: [DONE]\n\n"])(seen)

    return shape


def response(text: str, usage: dict[str, int], reason: str) -> dict[str, Any]:
    made = fake.response()
    made["output"][0]["content"][0]["text"] = text
    made["status"] = "completed" if reason == "stop" else "incomplete"
    made["usage"] = {"input_tokens": 20, "output_tokens": usage["completion_tokens"]}
    return made


def message(text: str, usage: dict[str, int], reason: str, *, stream: bool) -> fake.Shape:
    """Of the Messages API, with a thought before it."""
    thought = {"type": "thinking", "thinking": "Is it 5? No.", "signature": "c2ln"}
    said = {"type": "text", "text": text, "citations": [{"type": "page", "url": "u"}]}
    counted = {"input_tokens": 20, "output_tokens": usage["completion_tokens"]}
    whole = fake.message(
        thought, said, usage=counted, stop_reason={"length": "max_tokens"}.get(reason, "end_turn")
    )
    if not stream:
        return fake.document(whole)
    return fake.stream([whole_stream(whole, include_usage=True)])


@asynccontextmanager
async def cascading(
    answers: dict[str, str] | None = None,
    *,
    learned: float | None = None,
    **sections: Any,
) -> AsyncIterator[Running]:
    """a and b are asked at once, and c where they do not agree; answers: what each says.

    learned: the price of plans by hand that decide in place of the agreement rule.
    """
    async with running(**sections) as here:
        names = ("a", "b", "c")
        scores = np.array([0.5, 0.5, 0.5])
        rule: AgreementRule | PlanPolicy = AgreementRule((0, 1), 2, 0.25)
        costs = np.array([1e-5, 2e-5, 3e-5])
        allowed = np.ones(3, dtype=bool)
        if learned is not None:
            rule = PlanPolicy(by_hand(), learned)
        here.planner.cascade = QueryPlan(
            models=names,
            rule=rule,
            action=AgreementRule((0, 1), 2, 0.25).first(costs),
            scores=scores,
            costs=costs,
            feasible=allowed,
        )
        here.planner.order = [("c", UPPERS["c"]), ("a", UPPERS["a"]), ("b", UPPERS["b"])]
        for model, text in (answers or {}).items():
            here.upstream.answers(f"{model}-theirs", saying(model, text))
        yield here


AGREE = {"a": "It is 7.", "b": "So, 7", "c": "7 it is"}
DIFFER = {"a": "It is 7.", "b": "So, 8", "c": "8 it is"}


def paid(here: Running) -> int:
    """What the last request was settled with, which its record must agree with."""
    [(end, nano_usd)] = here.admission.tickets[-1].ended
    assert end == "settled"
    assert here.record.cost_nusd == nano_usd
    assert nano_usd == sum(attempt.cost_nusd or 0 for attempt in here.record.attempts)
    return nano_usd


def asked(here: Running) -> Sequence[tuple[str, str | None]]:
    """Who was called, and as what, by name in each round."""
    calls = [(attempt.model, attempt.role) for attempt in here.record.attempts]
    return sorted(calls[:2]) + calls[2:]


def said_in(body: bytes, *, stream: bool) -> str:
    """What a chat completion says; a stream must end well."""
    if not stream:
        return str(orjson.loads(body)["choices"][0]["message"]["content"])
    events = [line[6:] for line in body.split(b"\n\n") if line]
    assert events[-1] == b"[DONE]"
    documents = [orjson.loads(event) for event in events[:-1]]
    said = [choice["delta"].get("content") or "" for one in documents for choice in one["choices"]]
    return "".join(said)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_two_give_is_served_and_both_are_paid(stream: bool) -> None:
    async def run() -> None:
        async with cascading(AGREE, cascade={"audit_share": 0}) as here:
            response = await here.chat(AUTO, stream=stream)
            body = await response.read()
            assert response.status == 200
            assert said_in(body, stream=stream) == "It is 7."
            headers = response.headers
            assert headers["x-equirouter-model"] == "a"
            assert headers["x-equirouter-calls"] == "2"
            assert headers["x-equirouter-cascade"] == "a,b; agree"
            assert headers["x-equirouter-cost-usd"] == f"{BOTH / 1e9:.9f}".rstrip("0")
            # both calls, and a third in one case of four
            predicted = 1e-5 + 2e-5 + 0.25 * 3e-5
            assert float(headers["x-equirouter-predicted-cost-usd"]) == pytest.approx(predicted)
            assert sorted(here.upstream.models) == ["a-theirs", "b-theirs"]
            assert not any("stream" in one.body for one in here.upstream.seen)
            assert paid(here) == BOTH
            assert here.record.served_model == "a"
            assert here.admission.tickets[-1].reserved == UPPERS["a"] + UPPERS["b"]
            assert here.admission.tickets[-1].tokens == 20 + 10 + 20 + 20

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_one_more_model_is_asked_where_two_disagree(stream: bool) -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            response = await here.chat(AUTO, stream=stream, stream_options={"include_usage": True})
            body = await response.read()
            assert said_in(body, stream=stream) == "8 it is"
            assert response.headers["x-equirouter-model"] == "c"
            assert response.headers["x-equirouter-calls"] == "3"
            assert response.headers["x-equirouter-cascade"] == "a,b>c; disagree"
            assert asked(here) == [("a", "first"), ("b", "first"), ("c", "escalation")]
            assert paid(here) == ALL
            # reserved before it is called: what two have cost, and the most of the third
            assert here.admission.tickets[-1].reserved == BOTH + UPPERS["c"]
            tokens = here.record.tokens
            assert tokens is not None
            assert (tokens.input, tokens.output) == (60, 60)
            assert not here.record.is_fallback

    asyncio.run(run())


def test_the_saving_is_counted_with_the_tokens_of_what_is_served() -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            here.planner.strongest = "c"
            await here.chat(AUTO)
            assert here.record.strongest_nusd == COST["c"]
            assert here.record.cost_nusd == ALL
            for model in ("a", "b"):
                here.upstream.answers(f"{model}-theirs", saying(model, "9"))
            await here.chat(AUTO)
            assert here.record.strongest_nusd == COST["a"]

    asyncio.run(run())


def test_the_calls_are_logged_with_role_answer_tokens_and_cost() -> None:
    async def run(log_texts: bool) -> list[Attempt]:
        async with cascading(DIFFER, log={"log_texts": log_texts}) as here:
            await here.chat(AUTO)
            return sorted(here.record.attempts, key=lambda one: one.model)

    for log_texts in (False, True):
        calls = asyncio.run(run(log_texts))
        assert [one.cost_nusd for one in calls] == [COST[one.model] for one in calls]
        assert [one.output_tokens for one in calls] == [10, 20, 30]
        assert [one.input_tokens for one in calls] == [20, 20, 20]
        a, b, c = (one.answer_id for one in calls)
        assert a != b == c
        answers = [one.answer for one in calls]
        assert answers == (["7", "8", "8"] if log_texts else [None, None, None])


@pytest.mark.parametrize("down", ["a", "b"])
def test_where_one_is_down_the_other_goes_on_and_the_third_is_asked(down: str) -> None:
    async def run() -> None:
        async with cascading(AGREE) as here:
            here.upstream.answers(f"{down}-theirs", fake.error(503))
            response = await here.chat(AUTO)
            assert response.status == 200
            assert response.headers["x-equirouter-cascade"] == "a,b>c; failed"
            assert here.upstream.models.count(f"{down}-theirs") == 1
            assert paid(here) == ALL - COST[down]

    asyncio.run(run())


def test_where_both_are_down_others_answer_as_ever() -> None:
    async def run() -> None:
        async with cascading(AGREE) as here:
            for model in ("a", "b"):
                here.upstream.answers(f"{model}-theirs", fake.error(500))
            response = await here.chat(AUTO)
            assert (await response.json())["choices"][0]["message"]["content"] == "7 it is"
            assert paid(here) == COST["c"]
            # calls that were planned are no retries: the third is called again in its turn
            here.upstream.answers("c-theirs", fake.error(500), saying("c", "3"))
            response = await here.chat(AUTO)
            assert response.status == 200
            assert here.upstream.models[-2:] == ["c-theirs", "c-theirs"]
            here.upstream.answers("c-theirs", fake.error(500))
            response = await here.chat(AUTO)
            assert response.status == 502
            detail = (await response.json())["error"]["attempts"]
            assert {one["model"] for one in detail} == {"a", "b", "c"}
            assert here.admission.tickets[-1].ended == [("released", 0)]

    asyncio.run(run())


def test_where_the_third_is_down_the_first_that_replied_is_served() -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            here.upstream.answers("c-theirs", fake.error(500))
            for stream in (False, True):
                response = await here.chat(AUTO, stream=stream)
                assert response.status == 200
                assert response.headers["x-equirouter-model"] == "a"
                assert response.headers["x-equirouter-cascade"] == "a,b; disagree; c failed"
                assert paid(here) == BOTH

    asyncio.run(run())


def test_when_time_is_over_the_third_is_asked_and_what_came_is_charged() -> None:
    async def run() -> None:
        async with cascading(AGREE, cascade={"max_wait_ms": 500}) as here:
            here.upstream.answers("b-theirs", fake.silent())
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-cascade"] == "a,b>c; late"
            assert response.headers["x-equirouter-model"] == "c"
            async with asyncio.timeout(5):
                await here.upstream.hung_up.wait()
            # of b its prompt, and what is generated in that time, at 50 a second: of the 0.5 s some
            # went by before it was called
            assert paid(here) >= COST["a"] + 20_000 + 15 * 2000 + COST["c"]
            outcomes = {one.model: one.outcome for one in here.record.attempts}
            assert outcomes == {"a": "ok", "b": "cancelled", "c": "ok"}

    asyncio.run(run())


def test_a_client_that_hangs_up_ends_both_calls() -> None:
    async def run() -> None:
        async with cascading() as here:
            for model in ("a", "b"):
                here.upstream.answers(f"{model}-theirs", fake.silent())
            waiting = asyncio.ensure_future(here.chat(AUTO))
            async with asyncio.timeout(5):
                while len(here.upstream.seen) < 2:
                    await asyncio.sleep(0.001)
                waiting.cancel()
                while not here.log:
                    await asyncio.sleep(0.001)
            assert here.record.status == 499
            assert asked(here) == [("a", "first"), ("b", "first")]
            assert {one.outcome for one in here.record.attempts} == {"cancelled"}
            # two prompts, and what is generated in that time
            assert 2 * 20_000 <= paid(here) <= UPPERS["a"] + UPPERS["b"]

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_whose_budget_has_no_room_for_a_third_call_gets_the_cheap_answer(
    stream: bool,
) -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            here.admission.most = BOTH + UPPERS["c"] - 1
            response = await here.chat(AUTO, stream=stream)
            assert response.status == 200
            assert response.headers["x-equirouter-cascade"] == "a,b; disagree; c over budget"
            assert response.headers["x-equirouter-model"] == "a"
            assert paid(here) == BOTH
            assert "c-theirs" not in here.upstream.models

    asyncio.run(run())


@pytest.mark.parametrize(
    ("budget_nusd", "called"),
    [
        (UPPERS["a"] + UPPERS["b"] - 1, ["c"]),  # no room for two at once: one, as ever
        (BOTH + UPPERS["c"] - 1, ["a", "b"]),
        (BOTH + UPPERS["c"], ["a", "b", "c"]),
    ],
)
def test_a_budget_of_the_request_holds_for_the_sum(budget_nusd: int, called: list[str]) -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            await here.chat(AUTO, equirouter={"budget_usd": budget_nusd / 1e9})
            assert sorted(here.upstream.models) == [f"{model}-theirs" for model in called]
            assert paid(here) == sum(COST[model] for model in called)
            assert here.record.over_budget_nusd is None

    asyncio.run(run())


def test_a_key_whose_budget_has_no_room_for_two_calls_has_it_for_one() -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            admit = here.admission.admit
            refused = GatewayError(429, "no", code="insufficient_quota")

            async def small(key: Any, upper_nusd: int, **options: Any) -> Any:
                if upper_nusd == UPPERS["a"] + UPPERS["b"]:
                    raise refused
                return await admit(key, upper_nusd, **options)

            here.admission.admit = small  # type: ignore[method-assign]
            response = await here.chat(AUTO)
            assert response.status == 200
            assert here.upstream.models == ["c-theirs"]
            assert "x-equirouter-cascade" not in response.headers
            assert paid(here) == COST["c"]
            refused.code = "invalid_api_key"
            assert (await here.chat(AUTO)).status == 429

    asyncio.run(run())


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_answers_that_were_cut_agree_with_none(reason: str) -> None:
    async def run() -> None:
        async with cascading(AGREE) as here:
            here.upstream.answers("a-theirs", saying("a", "It is 7", reason=reason))
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-cascade"] == "a,b>c; no answer"
            assert paid(here) == ALL

    asyncio.run(run())


def test_an_answer_without_a_final_one_is_served_only_where_no_other_is_left() -> None:
    async def run() -> None:
        nothing = {"a": "I do not know.", "b": "Nor do I.", "c": "Who knows?"}
        async with cascading(nothing) as here:
            response = await here.chat(AUTO)  # nobody has one: the last word counts
            assert response.headers["x-equirouter-model"] == "c"
            here.upstream.answers("c-theirs", fake.error(500))
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-cascade"] == "a,b; no answer; c failed"
            here.upstream.answers("b-theirs", saying("b", "8"))
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-model"] == "b"

    asyncio.run(run())


@pytest.mark.parametrize("audit_share", [0.0, 1.0])
def test_a_share_of_the_accepted_is_asked_of_one_more_once_the_answer_is_sent(
    audit_share: float,
) -> None:
    async def run() -> None:
        async with cascading(AGREE, cascade={"audit_share": audit_share}) as here:
            until = asyncio.Event()

            async def late(seen: fake.Seen) -> Any:
                await until.wait()
                return await saying("c", "8")(seen)

            here.upstream.answers("c-theirs", late)
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-cost-usd"] == f"{BOTH / 1e9:.9f}".rstrip("0")
            assert len(here.log) == (audit_share == 0)
            until.set()
            async with asyncio.timeout(5):
                while not here.log:
                    await asyncio.sleep(0.001)
            assert paid(here) == (ALL if audit_share else BOTH)
            assert here.record.served_model == "a"
            assert [one.role for one in here.record.attempts][2:] == ["audit"] * bool(audit_share)

    asyncio.run(run())


def test_one_of_a_hundred_that_were_accepted_is_asked_of_one_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        async with cascading(AGREE) as here:  # the settings as they are without a word
            for draw, total in ((0.0099, ALL), (0.0101, BOTH)):
                monkeypatch.setattr("equirouter.serve.http.cascade.random", lambda draw=draw: draw)
                await here.chat(AUTO)
                async with asyncio.timeout(5):
                    while not here.log or here.record.cost_nusd != total:
                        await asyncio.sleep(0.001)
                assert paid(here) == total

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_while_the_third_is_asked_ends_that(stream: bool) -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            here.upstream.answers("c-theirs", fake.silent())
            waiting = asyncio.ensure_future(here.chat(AUTO, stream=stream))
            async with asyncio.timeout(5):
                while "c-theirs" not in here.upstream.models:
                    await asyncio.sleep(0.001)
                waiting.cancel()
                await here.upstream.hung_up.wait()
                while not here.log:
                    await asyncio.sleep(0.001)
            assert here.record.status == 499
            assert asked(here) == [("a", "first"), ("b", "first"), ("c", "escalation")]
            assert here.record.attempts[-1].outcome == "cancelled"
            assert BOTH + 20_000 <= paid(here) <= BOTH + UPPERS["c"]

    asyncio.run(run())


def test_the_responses_api_is_asked_twice_and_streams_what_was_accepted() -> None:
    async def run(responses: bool) -> list[str]:
        upstream = {"responses": responses}
        async with cascading(AGREE, upstream=upstream, cascade={"audit_share": 0}) as here:
            body = {"model": AUTO, "input": "3 + 4?", "stream": True}
            async with here.http.post("/v1/responses", json=body) as answer:
                raw = await answer.read()
            assert answer.headers["x-equirouter-cascade"] == "a,b; agree"
            assert paid(here) == BOTH
            assert here.record.error is None
            documents = [
                orjson.loads(event.split(b"data: ")[1]) for event in raw.split(b"\n\n") if event
            ]
            assert [one["sequence_number"] for one in documents] == list(range(len(documents)))
            said = [one["delta"] for one in documents if one["type"].endswith("text.delta")]
            assert said == ["It is 7."]
            assert documents[-1]["response"]["status"] == "completed"
            return [one["type"] for one in documents]

    kinds = asyncio.run(run(responses=True))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert asyncio.run(run(responses=False)) == kinds


def told(raw: bytes, *, stream: bool) -> tuple[list[str], dict[str, Any]]:
    """The kinds of events of the Messages API, and the message as a client puts it together."""
    if not stream:
        return [], orjson.loads(raw)
    events = [orjson.loads(one.split(b"data: ")[1]) for one in raw.split(b"\n\n") if one]
    made: dict[str, Any] = {}
    for event in events:
        if event["type"] == "message_start":
            made = event["message"]
        elif event["type"] == "content_block_start":
            made["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            delta, block = event["delta"], made["content"][event["index"]]
            for name in {"text", "thinking", "signature"} & delta.keys():
                block[name] += delta[name]
            if "citation" in delta:
                block.setdefault("citations", []).append(delta["citation"])
        elif event["type"] == "message_delta":
            made |= {**event["delta"], "usage": event["usage"]}
    return [event["type"] for event in events], made


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("differ", [False, True])
def test_the_messages_api_is_asked_like_chat_completions(
    native: bool, stream: bool, differ: bool
) -> None:
    async def run() -> None:
        says, on = DIFFER if differ else AGREE, {"audit_share": 0}
        async with cascading(says, upstream={"messages": native}, cascade=on) as here:
            body = {"model": AUTO, "max_tokens": 50, "stream": stream}
            body["messages"] = [{"role": "user", "content": "3 + 4?"}]
            async with here.http.post("/v1/messages", json=body) as answer:
                kinds, made = told(await answer.read(), stream=stream)
            served = "c" if differ else "a"
            headers = answer.headers
            assert headers["x-equirouter-model"] == served
            assert headers["x-equirouter-cascade"] == (
                "a,b>c; disagree" if differ else "a,b; agree"
            )
            assert paid(here) == (ALL if differ else BOTH)
            assert ("x-equirouter-cost-usd" in headers) == (not stream or not differ)
            assert here.record.error is None
            answers = {one.model: one.answer_id for one in here.record.attempts}
            assert (answers["a"] == answers["b"]) == (not differ)  # thoughts are not read
            if differ:
                assert answers["c"] == answers["b"]
            assert made["content"][-1]["text"] == says[served]
            assert made["stop_reason"] == "end_turn"
            assert made["usage"]["output_tokens"] == TOKENS[served]
            if stream:
                assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
            if native:  # the message as it came, thought, citation and all
                cited = [{"type": "page", "url": "u"}]
                said = {"type": "text", "text": says[served], "citations": cited}
                thought = {"type": "thinking", "thinking": "Is it 5? No.", "signature": "c2ln"}
                assert made["content"] == [thought, said]
            paths = {seen.path for seen in here.upstream.seen}
            assert paths == {"/v1/messages" if native else "/v1/chat/completions"}

    asyncio.run(run())


@pytest.mark.parametrize("native", [False, True])
def test_a_message_that_was_cut_agrees_with_none(native: bool) -> None:
    async def run() -> None:
        async with cascading(AGREE, upstream={"messages": native}) as here:
            here.upstream.answers("a-theirs", saying("a", "It is 7", reason="length"))
            body = {"model": AUTO, "max_tokens": 50}
            body["messages"] = [{"role": "user", "content": "3 + 4?"}]
            async with here.http.post("/v1/messages", json=body) as answer:
                assert answer.headers["x-equirouter-cascade"] == "a,b>c; no answer"

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_the_responses_api_escalates(native: bool, stream: bool) -> None:
    async def run() -> None:
        async with cascading(DIFFER, upstream={"responses": native}) as here:
            if native and stream:
                here.upstream.answers("c-theirs", fake.ok())
            body = {"model": AUTO, "input": "3 + 4?", "stream": stream}
            async with here.http.post("/v1/responses", json=body) as answer:
                assert await answer.read()
            assert answer.headers["x-equirouter-cascade"] == "a,b>c; disagree"
            assert answer.headers["x-equirouter-model"] == "c"
            assert paid(here) > BOTH
            assert here.record.error is None

    asyncio.run(run())


def test_free_models_are_asked_like_others() -> None:
    async def run() -> None:
        free = {name: {"price": {"input": 0.0, "output": 0.0}} for name in ("a", "b", "c")}
        async with cascading(DIFFER, models=free) as here:
            here.planner.order = [("c", 0), ("a", 0), ("b", 0)]
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-cascade"] == "a,b>c; disagree"
            assert response.headers["x-equirouter-cost-usd"] == "0"
            assert paid(here) == 0

    asyncio.run(run())


def test_answers_for_which_nothing_can_be_read_cost_more_and_are_never_wrongly_accepted() -> None:
    """Of ten replies of a one has no number in it: the third is asked, whose word counts."""

    async def run() -> None:
        async with cascading(AGREE, cascade={"audit_share": 0}) as here:
            replies = [saying("a", "seven" if n == 4 else "7") for n in range(10)]
            here.upstream.answers("a-theirs", *replies)
            costs = []
            for _ in range(10):
                response = await here.chat(AUTO)
                content = (await response.json())["choices"][0]["message"]["content"]
                assert "7" in content
                costs.append(paid(here))
            assert sorted(costs) == [BOTH] * 9 + [ALL]

    asyncio.run(run())


async def _slowest(here: Running, n: int) -> Sequence[aiohttp.ClientResponse]:
    return await asyncio.gather(*(here.chat(AUTO) for _ in range(n)))


def test_a_pair_that_never_agrees_always_asks_the_third() -> None:
    async def run() -> None:
        async with cascading(DIFFER) as here:
            for response in await _slowest(here, 8):
                assert response.headers["x-equirouter-model"] == "c"
            assert {record.cost_nusd for record in here.log} == {ALL}

    asyncio.run(run())


def test_route_says_who_would_be_asked_and_what_that_may_come_to() -> None:
    async def run() -> None:
        async with cascading() as here:
            body = {"model": AUTO, "messages": [{"role": "user", "content": "3 + 4?"}]}
            async with here.http.post("/v1/route", json=body) as response:
                document = await response.json()
            assert document["cascade"] == {
                "models": ["a", "b"],
                "expected_cost_usd": pytest.approx(1e-5 + 2e-5 + 0.25 * 3e-5),
                "p_escalate": 0.25,
            }
            assert not here.upstream.seen
            here.planner.cascade = None
            async with here.http.post("/v1/route", json=body) as response:
                assert (await response.json())["cascade"] is None

    asyncio.run(run())


def test_metrics_count_ends_waits_and_audits_and_each_model_its_own_money() -> None:
    async def run() -> None:
        async with cascading(DIFFER, cascade={"audit_share": 1}) as here:
            await here.chat(AUTO)
            here.upstream.answers("b-theirs", saying("b", "7"))
            await here.chat(AUTO)
            async with asyncio.timeout(5):
                while len(here.log) < 2:
                    await asyncio.sleep(0.001)
            async with here.http.get("/metrics") as response:
                said = (await response.text()).splitlines()
            for line in (
                'equirouter_cascades_total{ended="escalated",why="disagree"} 1.0',
                'equirouter_cascades_total{ended="accepted",why="agree"} 1.0',
                'equirouter_cascade_audits_total{agrees="no"} 1.0',
                "equirouter_cascade_wait_seconds_count 2.0",
                f'equirouter_tokens_total{{kind="output",model="b"}} {2 * TOKENS["b"]}.0',
                f'equirouter_tokens_total{{kind="output",model="c"}} {2 * TOKENS["c"]}.0',
            ):
                assert line in said
            for model, nusd in COST.items():
                [cost] = [one for one in said if one.startswith("equirouter_cost_usd_total")
                          and f'model="{model}"' in one]  # fmt: skip
                assert float(cost.split()[-1]) == pytest.approx(2 * nusd / 1e9)

    asyncio.run(run())


def test_learned_plans_serve_the_best_supported_and_say_how_sure_that_is() -> None:
    """Alone right with .5, where two agree with .88; a third brings .95, less lambda * .00003."""

    async def run() -> None:
        async with cascading(AGREE, learned=10_000.0, cascade={"audit_share": 0}) as here:
            response = await here.chat(AUTO)
            # .95 - .3 is less than .88: stop
            assert response.headers["x-equirouter-cascade"] == "a,b; agree"
            assert response.headers["x-equirouter-check"] == "0.881"
            # .65 is more than .5: ask; then b, which says what c says, has .982, and c .980
            here.upstream.answers("b-theirs", saying("b", "8"))
            here.upstream.answers("c-theirs", saying("c", "8"))
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-cascade"] == "a,b>c; disagree"
            assert response.headers["x-equirouter-model"] == "b"
            assert response.headers["x-equirouter-check"] == "0.982"
            assert paid(here) == ALL
            # a stream of the third goes on as it comes, before anything is known of it
            response = await here.chat(AUTO, stream=True)
            assert response.headers["x-equirouter-model"] == "c"
            assert "x-equirouter-check" not in response.headers
        async with cascading(DIFFER, learned=20_000.0) as here:
            response = await here.chat(AUTO)  # .95 - .6 is less than .5: stop all the same
            assert response.headers["x-equirouter-cascade"] == "a,b; disagree"
            assert response.headers["x-equirouter-check"] == "0.500"
        async with cascading(AGREE, learned=0.0) as here:
            response = await here.chat(AUTO)  # a third costs nothing: .95 is more than .88
            assert response.headers["x-equirouter-cascade"] == "a,b>c; agree"

    asyncio.run(run())


@pytest.mark.parametrize(
    "message", [{"content": "7", "refusal": "I cannot."}, {"content": "  "}, {"content": None}]
)
def test_a_refused_or_empty_answer_is_not_served(message: dict[str, Any]) -> None:
    async def run() -> None:
        async with cascading(AGREE) as here:
            document = fake.completion(usage=fake.USAGE)
            document["choices"][0]["message"] |= message
            here.upstream.answers("a-theirs", fake.document(document))
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-cascade"] == "a,b>c; no answer"
            assert response.headers["x-equirouter-model"] == "c"

    asyncio.run(run())
