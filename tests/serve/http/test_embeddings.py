"""Embeddings: passed through, bounded and paid."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from equirouter.serve.records import Key
from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running

MODELS = {"b": {"kind": "embedding"}}


def embedding_gateway() -> Any:
    return running(models=MODELS)


async def embed(here: Running, given: object, **body: Any) -> Any:
    content = {"model": "b", "input": given, **body}
    return await here.http.post("/v1/embeddings", json=content)


def test_an_embedding_is_passed_through_and_paid() -> None:
    async def run() -> None:
        async with embedding_gateway() as here:
            response = await embed(here, ["Hi", "you"], encoding_format="float")
            assert await response.json() == fake.EMBEDDING
            [seen] = here.upstream.seen
            assert seen.path == "/v1/embeddings"
            assert seen.body == {
                "model": "b-theirs",
                "input": ["Hi", "you"],
                "encoding_format": "float",
            }
            # 2 + 3 bytes and 2 for the ends of each text: 9 tokens at most, 4 in fact
            assert here.admission.tickets[0].reserved == 9_000
            assert here.admission.tickets[0].ended == [("settled", 4_000)]
            assert here.record.endpoint == "embeddings"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "tokens"), [("Hi", 4), ([1, 2, 3], 3), ([[1, 2], [3]], 3), (["ü"], 4)]
)
def test_the_bound_of_every_form_of_input(given: object, tokens: int) -> None:
    async def run() -> None:
        async with embedding_gateway() as here:
            assert (await embed(here, given)).status == 200
            assert here.admission.tickets[0].reserved == tokens * 1_000

    asyncio.run(run())


@pytest.mark.parametrize("given", [None, "", [], 7, [1.5], ["x", 1], [[1], "x"], [True], [-1]])
def test_other_input_is_a_400(given: object) -> None:
    async def run() -> None:
        async with embedding_gateway() as here:
            response = await embed(here, given)
            assert response.status == 400
            assert "input" in (await response.json())["error"]["message"]

    asyncio.run(run())


def test_a_chat_model_makes_no_embeddings() -> None:
    async def run() -> None:
        async with embedding_gateway() as here:
            for model in ("a", "equirouter/auto", "nobody"):
                response = await embed(here, "x", model=model)
                assert response.status == 404
                assert "those that do: b" in (await response.json())["error"]["message"]

    asyncio.run(run())


def test_regions_hold_for_embeddings_too() -> None:
    async def run() -> None:
        limits = {"regions": ["eu"]}
        async with running(models=MODELS, limits=limits, upstream={"region": "us"}) as here:
            response = await embed(here, "x")
            assert response.status == 400
            assert "allowed eu" in (await response.json())["error"]["message"]
        async with running(models=MODELS, limits=limits, upstream={"region": "eu"}) as here:
            assert (await embed(here, "x")).status == 200

    asyncio.run(run())


def test_a_key_and_a_budget_limit_it() -> None:
    async def run() -> None:
        async with embedding_gateway() as here:
            tight = {"equirouter": {"budget_usd": 1e-9}}
            assert (await embed(here, "x", **tight)).status == 400
            here.admission.key = Key("k", "k", models=frozenset({"a"}))
            assert (await embed(here, "x")).status == 403
            here.admission.key = replace(here.admission.key, models=frozenset({"b"}))
            assert (await embed(here, "x")).status == 200
            assert len(here.upstream.seen) == 1

    asyncio.run(run())


def test_a_service_tier_without_a_price_is_refused_under_a_budget() -> None:
    async def run() -> None:
        async with embedding_gateway() as here:
            assert (await embed(here, "Hi", service_tier="flex")).status == 200
            here.admission.key = Key("k", "k", budget_nusd=10**9)
            assert (await embed(here, "Hi", service_tier="auto")).status == 200
            response = await embed(here, "Hi", service_tier="flex")
            assert response.status == 400
            error = (await response.json())["error"]
            assert (error["param"], error["code"]) == ("service_tier", "no_feasible_model")

    asyncio.run(run())
