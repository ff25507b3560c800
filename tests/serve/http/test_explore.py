"""Exploration through a running gateway: what the client is told, what is logged and counted."""

import asyncio
from typing import Any

from equirouter.errors import GatewayError
from tests.serve.gateways import Running, running

AUTO = "equirouter/auto"


def metric(here: Running, name: str) -> list[str]:
    text = here.gateway.metrics.render()[0].decode()
    return [line for line in text.splitlines() if line.startswith(name)]


def test_another_model_answers_and_everybody_is_told() -> None:
    async def run() -> None:
        async with running(explore={"share": 0.1}) as here:
            here.planner.order = [("a", 100_000), ("b", 200_000)]
            response = await here.chat(AUTO)
            assert response.headers["x-equirouter-model"] == "b"
            assert response.headers["x-equirouter-explored"] == "yes"
            plan = here.record.plan
            assert plan is not None
            assert (plan.decided_by, plan.chances) == ("explore", {"a": 0.9, "b": 0.1})
            assert here.admission.tickets[-1].reserved == 200_000
            [cost] = metric(here, 'equirouter_explored_cost_usd_total{model="b"}')
            assert float(cost.split()[-1]) > 0
            response = await here.chat(AUTO, headers={"x-equirouter-explore": "off"})
            assert response.headers["x-equirouter-model"] == "a"
            assert "x-equirouter-explored" not in response.headers
            response = await here.chat(AUTO, equirouter={"explore": False})
            assert response.headers["x-equirouter-model"] == "a"

    asyncio.run(run())


def test_where_the_budget_has_no_room_the_routers_choice_answers() -> None:
    async def run() -> None:
        async with running(explore={"share": 0.1}) as here:
            here.planner.order = [("a", 100_000), ("b", 200_000)]
            admit = here.admission.admit

            async def poor(key: Any, upper_nusd: int, **others: Any) -> Any:
                if upper_nusd > 150_000:
                    raise GatewayError(429, "the budget is used up", code="insufficient_quota")
                return await admit(key, upper_nusd, **others)

            here.admission.admit = poor  # type: ignore[method-assign]
            response = await here.chat(AUTO)
            assert (response.status, response.headers["x-equirouter-model"]) == (200, "a")
            plan = here.record.plan
            assert plan is not None
            assert (plan.decided_by, plan.chances) == ("policy", {})

    asyncio.run(run())


def test_without_exploration_a_plan_is_handed_on_as_it_is() -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("a", 100_000), ("b", 200_000)]
            await here.chat(AUTO)
            assert here.record.plan is not None
            plan = here.record.plan
            assert here.gateway.explored(plan, *here.planner.asked[-1]) is plan
            assert plan.chances == {}
            assert not metric(here, "equirouter_explored_cost_usd_total{")

    asyncio.run(run())
