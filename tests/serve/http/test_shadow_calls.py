"""Shadow answers through a running gateway: behind the client's, logged, paid by nobody's key."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from equirouter.serve.records import Key, RequestRecord
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

AUTO = "equirouter/auto"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
SAID = [{"role": "user", "content": "Hi"}]


def shadowed(shadow: dict[str, Any], **sections: Any) -> AbstractAsyncContextManager[Running]:
    return running(shadow={"share": 1.0, **shadow}, **sections)


def rank(here: Running) -> None:
    here.planner.order = [("a", 100_000), ("b", 200_000), ("c", 300_000)]


async def logged(here: Running) -> list[RequestRecord]:
    """The log, once nothing is left to do."""
    await here.gateway._all_ended(10)
    return here.log


@pytest.mark.parametrize("stream", [False, True])
def test_other_models_answer_behind_the_client(stream: bool) -> None:
    async def run() -> None:
        async with shadowed({}, log={"log_texts": True}) as here:
            rank(here)
            here.admission.key = Key("key_1", "mine")
            until = asyncio.Event()

            async def late(seen: fake.Seen) -> Any:
                await until.wait()
                assert not seen.body.get("stream")
                return await fake.document(fake.completion("from b"))(seen)

            here.upstream.answers("b-theirs", late)
            here.upstream.answers("c-theirs", fake.error(500))
            if stream:
                pieces = [*fake.streamed()]
                here.upstream.answers("a-theirs", fake.stream(pieces))
            response = await here.chat(AUTO, stream=stream)
            assert response.headers["x-equirouter-model"] == "a"  # while b has not answered
            assert here.log[0].key_id == "key_1"
            until.set()
            records = {one.attempts[0].model: one for one in await logged(here)}
            assert len(here.log) == len(records) == 3
            b, c = records["b"], records["c"]
            for one in (b, c):
                assert one.key_id is None
                assert one.plan is not None
                assert one.plan.decided_by == "shadow"
                assert one.plan.scores == {one.attempts[0].model: 0.5}
                assert one.plan.predicted_costs_usd == {one.attempts[0].model: 0.0001}
            assert (b.served_model, b.answer, b.status) == ("b", "from b", 200)
            assert b.prompt == records["a"].prompt
            assert b.cost_nusd
            assert b.strongest_nusd is None
            assert (c.served_model, c.status, len(c.attempts)) == (None, 500, 1)
            assert all(len(ticket.ended) == 1 for ticket in here.admission.tickets)
            text = here.gateway.metrics.render()[0].decode()
            assert 'equirouter_shadow_cost_usd_total{model="b"}' in text

    asyncio.run(run())


@pytest.mark.parametrize(
    ("shadow", "body", "n"),
    [
        ({}, {}, 2),
        ({"models": ["c"]}, {}, 1),
        ({"models": ["a"]}, {}, 0),  # which answered
        ({"limit_usd_per_day": 0.0002}, {}, 1),  # b takes 200,000 nano-USD, c has no room
        ({"except_keys": ["mine"]}, {}, 0),
        ({}, {"tools": TOOLS}, 0),
        ({}, {"messages": [*SAID, {"role": "tool", "tool_call_id": "1", "content": "x"}]}, 0),
        ({}, {"equirouter": {"explore": False}}, 0),
        ({}, {"model": "a"}, 0),
        ({}, {"n": 2}, 0),
    ],
)
def test_which_requests_are_answered_by_whom(
    shadow: dict[str, Any], body: dict[str, Any], n: int
) -> None:
    async def run() -> None:
        async with shadowed(shadow) as here:
            rank(here)
            here.admission.key = Key("key_1", "mine")
            response = await here.chat(**{"model": AUTO, **body})
            assert response.status == 200
            plans = [one.plan for one in await logged(here)]
            shadows = [plan for plan in plans if plan is not None and plan.decided_by == "shadow"]
            assert len(shadows) == n
            assert len(here.log) == n + 1

    asyncio.run(run())
