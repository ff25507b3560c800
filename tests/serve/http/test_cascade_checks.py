"""Checks of the replies of two models: of programs, and of a judge that is paid."""

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from equirouter.errors import ConfigError, UnknownNameError
from equirouter.policy.plan import PlanPolicy
from equirouter.serve.call.answer_check import response_of
from tests.policy.plans_by_hand import by_signal
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running
from tests.serve.http.test_cascade import (
    ALL,
    AUTO,
    BOTH,
    COST,
    UPPERS,
    asked,
    cascading,
    paid,
    saying,
)

FREE_TEXT = {"a": "The sky is blue.", "b": "Green, mostly.", "c": "It scatters."}
JUDGE_NUSD = 20 * 1 + 10 * 1
"""At a nano-USD a token, with the usage of the fake provider."""


def judging(**marks: str) -> fake.Shape:
    """Say a mark for the reply that is in the prompt."""

    async def shape(seen: fake.Seen) -> Any:
        [message] = seen.body["messages"]
        [mark] = [mark for model, mark in marks.items() if FREE_TEXT[model] in message["content"]]
        assert "Why is the sky so?" in message["content"]
        return await fake.document(fake.completion(mark, usage=fake.USAGE))(seen)

    return shape


@asynccontextmanager
async def checked(signal: str = "judge", **sections: Any) -> AsyncIterator[Running]:
    """a and b are asked for free text, of which a signal alone decides; c brings .65, all told."""
    price = {"input": 0.001, "output": 0.001}
    judge = {"upstream": "a", "upstream_model": "d-theirs", "price": price}
    models = {"d": judge | sections.pop("judge", {})}
    cascade = {"audit_share": 0.0} | sections.pop("cascade", {"judge": "d"})
    async with cascading(
        FREE_TEXT, learned=1.0, models=models, cascade=cascade, **sections
    ) as here:
        planner = here.planner
        assert planner.cascade is not None
        object.__setattr__(planner.cascade, "rule", PlanPolicy(by_signal(signal), 10_000.0))
        planner.extractor, planner.strongest = "exact@1", "c"
        yield here


async def ask(here: Running, **body: Any) -> tuple[str, str]:
    """Who was served, and how that came."""
    messages = [{"role": "user", "content": "Why is the sky so?"}]
    response = await here.chat(AUTO, messages=messages, **body)
    assert response.status == 200
    headers = response.headers
    return headers["x-equirouter-model"], headers["x-equirouter-cascade"]


def test_free_text_that_a_judge_likes_is_served_and_the_judge_is_paid(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "equirouter.serve")

    async def run() -> None:
        async with checked() as here:
            here.upstream.answers("d-theirs", judging(a="2", b="10"))
            response = await here.chat(
                AUTO, messages=[{"role": "user", "content": "Why is the sky so?"}]
            )
            assert (await response.json())["choices"][0]["message"]["content"] == FREE_TEXT["b"]
            headers = response.headers
            assert headers["x-equirouter-cascade"] == "a,b; disagree"
            assert headers["x-equirouter-check"] == "0.881"
            assert headers["x-equirouter-calls"] == "3"  # the judge is one of them
            assert headers["x-equirouter-cost-usd"] == "0.00010006"
            assert paid(here) == BOTH + 2 * JUDGE_NUSD == 100_060
            checks = [one for one in here.record.attempts if one.role == "check"]
            assert [(one.model, one.cost_nusd) for one in checks] == [("d", JUDGE_NUSD)] * 2
            said = {one.model: one.signals for one in here.record.attempts if one.signals}
            cost = {"judge.cost_usd": JUDGE_NUSD / 1e9}
            assert said == {"a": {"judge": 0.2, **cost}, "b": {"judge": 1.0, **cost}}
            assert [(one.input_tokens, one.output_tokens) for one in checks] == [(20, 10)] * 2
            assert here.record.tokens is not None
            assert here.record.tokens.output == 10 + 20 + 2 * 10
            assert here.record.strongest_nusd == COST["b"]  # by the answer's tokens alone
            assert not here.record.is_fallback
            assert not caplog.records  # nothing was tried again

    asyncio.run(run())


def test_where_a_judge_likes_neither_one_more_is_asked_and_judged() -> None:
    async def run() -> None:
        async with checked() as here:
            here.upstream.answers("d-theirs", judging(a="0", b="3", c="9"))
            assert await ask(here) == ("c", "a,b>c; disagree")
            assert paid(here) == ALL + 3 * JUDGE_NUSD
            here.upstream.answers("d-theirs", judging(a="0", b="5", c="1"))
            assert await ask(here) == ("b", "a,b>c; disagree")
            # a stream of the third goes on as it comes, and is not judged
            assert await ask(here, stream=True) == ("c", "a,b>c; disagree")
            assert paid(here) == ALL + 2 * JUDGE_NUSD

    asyncio.run(run())


@pytest.mark.parametrize(
    ("shape", "charged"),
    [
        (fake.error(500), 0),
        (fake.document(fake.completion("I cannot say.", usage=fake.USAGE)), 2 * JUDGE_NUSD),
    ],
)
def test_a_judge_that_fails_or_says_nothing_is_not_known(shape: fake.Shape, charged: int) -> None:
    async def run() -> None:
        async with checked() as here:
            here.upstream.answers("d-theirs", shape)
            assert await ask(here, stream=True) == ("c", "a,b>c; disagree")
            assert paid(here) == ALL + charged

    asyncio.run(run())


def test_a_judge_that_takes_too_long_is_cut_off_and_charged() -> None:
    async def run() -> None:
        async with checked(cascade={"judge": "d", "max_check_ms": 50}) as here:
            here.upstream.answers("d-theirs", fake.silent())
            assert await ask(here, stream=True) == ("c", "a,b>c; disagree")
            checks = [one for one in here.record.attempts if one.role == "check"]
            assert {one.outcome for one in checks} == {"cancelled"}
            assert paid(here) > ALL

    asyncio.run(run())


def test_a_judge_that_is_cut_off_with_the_pair_does_not_make_it_late() -> None:
    async def run() -> None:
        async with checked(cascade={"judge": "d", "max_wait_ms": 200}) as here:
            here.upstream.answers("d-theirs", fake.silent())
            assert await ask(here, stream=True) == ("c", "a,b>c; disagree")

    asyncio.run(run())


@pytest.mark.parametrize(
    "judge",
    [
        {"price": {"input": 0.05, "output": 0.05}},  # c is expected to cost 30,000 nano-USD
        {"upstream_model": "a-theirs"},  # of the same model as a; b is judged by it
    ],
)
def test_a_judge_that_is_expensive_or_wrote_the_reply_is_not_asked(judge: dict[str, Any]) -> None:
    async def run() -> None:
        async with checked(judge=judge) as here:
            assert await ask(here, stream=True) == ("c", "a,b>c; disagree")
            checks = [one for one in here.record.attempts if one.role == "check"]
            assert len(checks) == ("upstream_model" in judge)

    asyncio.run(run())


def test_a_judge_is_asked_only_with_money_for_it_and_for_the_others() -> None:
    async def run() -> None:
        async with checked() as here:
            here.upstream.answers("d-theirs", judging(a="0", b="10"))
            most = here.admission.most = UPPERS["a"] + UPPERS["b"]
            both = {"equirouter": {"budget_usd": most / 1e9}}
            for body in ({}, both):
                # once a is over there is room for its judge
                await ask(here, **body)
                assert here.admission.tickets[-1].reserved <= most
                assert paid(here) <= most
            here.admission.most = BOTH
            assert (await ask(here))[1] == "a,b; disagree; c over budget"
            assert paid(here) == BOTH

    asyncio.run(run())


def test_no_check_runs_whose_signal_the_plans_do_not_read() -> None:
    async def run() -> None:
        async with checked("other") as here:
            assert await ask(here, stream=True) == ("c", "a,b>c; disagree")
            assert "d-theirs" not in here.upstream.models
            assert asked(here) == [("a", "first"), ("b", "first"), ("c", "escalation")]

    asyncio.run(run())


PROGRAM = "import json, sys; print(float('Green' in json.load(sys.stdin)['text']))"


@pytest.mark.parametrize("max_check_ms", [30_000, 1])
def test_a_command_says_which_reply_is_right_if_it_ends_in_time(
    tmp_path: Path, max_check_ms: int
) -> None:
    program = tmp_path / "check.py"
    program.write_text(PROGRAM, "utf-8")
    cascade = {
        "checks": [f"command:run={shlex.join((sys.executable, str(program)))}:seconds=20"],
        "max_check_ms": max_check_ms,
        "max_wait_ms": 60_000,
    }

    async def run() -> None:
        async with checked("command", cascade=cascade) as here:
            in_time = ("b", "a,b; disagree")
            late = ("c", "a,b>c; disagree")
            assert await ask(here, stream=True) == (late if max_check_ms == 1 else in_time)
            assert paid(here) == (ALL if max_check_ms == 1 else BOTH)

    asyncio.run(run())


def test_a_reply_that_is_sql_is_served_before_one_that_is_not() -> None:
    pytest.importorskip("sqlglot")

    async def run() -> None:
        async with checked("sql", cascade={"checks": ["sql:dialect=sqlite"]}) as here:
            here.upstream.answers("a-theirs", saying("a", "SELECT name FROM"))
            here.upstream.answers("b-theirs", saying("b", "```sql\nSELECT name FROM users\n```"))
            assert await ask(here) == ("b", "a,b; disagree")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("cascade", "error", "says"),
    [
        ({"judge": "e"}, ConfigError, "'e', and the models that chat are a, b, c"),
        ({"checks": ["xml"]}, UnknownNameError, "no check named 'xml'"),
        ({"checks": ["sql:dialect=x"]}, ConfigError, r"dialect is 'x', expected .*postgres"),
        ({"checks": ["json", "json"]}, ConfigError, "named twice"),
        ({"checks": ["judge:model=a"], "judge": "b"}, ConfigError, "named twice"),
    ],
)
def test_a_check_that_cannot_be_is_an_error_at_the_start(
    cascade: dict[str, Any], error: type[Exception], says: str
) -> None:
    async def run() -> None:
        async with running(cascade=cascade):
            pass

    with pytest.raises(error, match=says):
        asyncio.run(run())


def test_log_probabilities_are_read_where_a_provider_gives_them() -> None:
    tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": None}, {"logprob": -1}]
    chat = fake.completion("ab")
    assert response_of(chat, "q").log_probs is None
    chat["choices"][0]["logprobs"] = {"content": tokens}
    assert response_of(chat, "q").log_probs == [-0.5, -1]
    other = orjson.loads(orjson.dumps(fake.response()))
    other["output"][0]["content"][0]["logprobs"] = tokens
    assert response_of(other, "q").log_probs == [-0.5, -1]
