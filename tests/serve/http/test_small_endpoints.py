"""What models there are, the root, HEAD, pages of other origins, headers that are handed on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from equirouter.serve.http.controls import VIRTUAL_MODELS
from equirouter.serve.records import Key
from equirouter.serve.settings import ServerSettings, UpstreamSettings
from tests.serve.assembled import assembled
from tests.serve.gateways import Running, running

PAGE = "https://app.example"
KNOWN = {"context_tokens": 8000, "max_output_tokens": 500, "abilities": ["tools", "json"]}


def test_a_model_is_listed_with_what_clients_ask_for() -> None:
    async def run() -> None:
        price = {"input": 0.4, "output": 1.6, "cached_input": 0.04}
        models = {"a": {**KNOWN, "price": price}}
        async with running(models=models) as here:
            async with here.http.get("/v1/models") as response:
                listed = (await response.json())["data"]
            async with here.http.get("/v1/models/a") as response:
                one = await response.json()
            assert one == listed[0]
            assert (one["id"], one["owned_by"], one["type"]) == ("a", "a", "model")
            assert (one["context_length"], one["max_output_tokens"]) == (8000, 500)
            assert one["abilities"] == ["json", "tools"]
            assert one["pricing"] == {
                "prompt": "0.0000004",
                "completion": "0.0000016",
                "input_cache_read": "0.00000004",
            }
            assert listed[1]["context_length"] is None
            here.admission.key = Key("k", "k", models=frozenset({"b"}))
            async with here.http.get("/v1/models/a") as response:
                assert response.status == 404
                assert (await response.json())["error"]["code"] == "model_not_found"

    asyncio.run(run())


async def ask(here: Running, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with here.http.request(method, path, **options) as response:
        return response.status, await response.json()


def test_a_client_that_lists_as_ollama_does_finds_the_models_and_what_they_can() -> None:
    """As GitHub Copilot in VS Code asks; then it chats by /v1/chat/completions."""

    async def run() -> None:
        async with running(models={"a": KNOWN}) as here:
            status, version = await ask(here, "GET", "/api/version")
            assert (status, [*map(int, version["version"].split("."))] >= [0, 6, 4]) == (200, True)
            _, tags = await ask(here, "GET", "/api/tags")
            _, listed = await ask(here, "GET", "/v1/models")
            assert [model["model"] for model in tags["models"]] == [
                model["id"] for model in listed["data"]
            ]
            _, shown = await ask(here, "POST", "/api/show", json={"model": "a"})
            assert shown["capabilities"] == ["completion", "tools"]
            facts = shown["model_info"]
            assert facts[f"{facts['general.architecture']}.context_length"] == 8000
            # what nobody stated is not said to be missing, nor is a size made up
            _, shown = await ask(here, "POST", "/api/show", json={"name": "b"})
            assert shown["capabilities"] == ["completion", "tools", "vision"]
            assert set(shown["model_info"]) == {"general.architecture", "general.basename"}
            assert (await ask(here, "POST", "/api/show", json={"model": "nobody"}))[0] == 404
            assert (await ask(here, "POST", "/api/show", json={}))[0] == 400
            assert (await ask(here, "POST", "/api/show", json=["a"]))[0] == 400
            here.admission.key = Key("k", "k", models=frozenset({"b"}))
            _, tags = await ask(here, "GET", "/api/tags")
            assert [m["name"] for m in tags["models"] if "equirouter" not in m["name"]] == ["b"]
            assert (await ask(here, "POST", "/api/show", json={"model": "a"}))[0] == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    ("abilities", "expected"),
    [
        ({"a": ["tools"], "b": ["json"], "c": []}, ["completion", "tools"]),
        ({"a": ["tools"], "b": ["json"]}, ["completion", "tools", "vision"]),  # c may see
    ],
)
def test_a_virtual_model_can_what_one_of_the_pool_can(
    abilities: dict[str, list[str]], expected: list[str]
) -> None:
    async def run() -> None:
        models = {name: {"abilities": able} for name, able in abilities.items()}
        async with running(models=models) as here:
            settings = here.gateway.settings
            pipeline = settings.pipeline.model_copy(update={"path": Path("p")})
            here.gateway.settings = settings.model_copy(update={"pipeline": pipeline})
            _, shown = await ask(here, "POST", "/api/show", json={"model": "equirouter/auto"})
            assert shown["capabilities"] == expected

    asyncio.run(run())


@pytest.mark.parametrize("name", ["equirouter-auto", "equirouter-budget-0.01"])
def test_a_virtual_model_may_be_named_without_a_slash(name: str) -> None:
    async def run() -> None:
        async with running() as here:
            here.planner.order = [("b", 300)]
            response = await here.chat(name)
            assert response.headers["x-equirouter-model"] == "b"
            chat, control, _ = here.planner.asked[0]
            assert chat.model == name.replace("-", "/", 1)
            assert control.budget_usd == (0.01 if "budget" in name else None)

    asyncio.run(run())


def test_the_root_leads_to_the_dashboard_and_head_is_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            async with here.http.get("/", allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (302, "dashboard")
            for path in ("/", "/healthz", "/v1/models"):
                async with here.http.head(path) as response:
                    assert response.status == 200
        async with assembled(tmp_path, telemetry={"dashboard": False}) as here:
            assert await here.ask("GET", "/") == (200, {"status": "ok"})

    asyncio.run(run())


async def allowed(here: Any, method: str, path: str, **options: Any) -> tuple[int, Any]:
    headers = {"Origin": PAGE, **options.pop("headers", {})}
    async with here.http.request(method, path, headers=headers, **options) as response:
        return response.status, response.headers.get("Access-Control-Allow-Origin")


BODY = {"model": "a", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("origins", "has_key", "status", "expected"),
    [
        ([], False, 403, None),
        ([], True, 200, None),
        ([PAGE], False, 200, PAGE),
        (["https://other.example"], True, 200, None),
        (["*"], False, 403, PAGE),  # any page could use a gateway without keys
        (["*"], True, 200, PAGE),
    ],
)
def test_pages_of_other_origins(
    origins: list[str], has_key: bool, status: int, expected: str | None
) -> None:
    async def run() -> None:
        async with running(server={"cors_origins": origins}) as here:
            here.admission.key = Key("k", "k") if has_key else None
            for body in (BODY, {**BODY, "stream": True}):
                asked = await allowed(here, "POST", "/v1/chat/completions", json=body)
                assert asked == (status, expected)
            asked = await allowed(here, "POST", "/v1/chat/completions", json={"model": "nobody"})
            assert asked[1] == expected  # a page reads errors as well
            wish = {"Access-Control-Request-Headers": "authorization,x-stainless-os"}
            path = "/v1/chat/completions"
            headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST", **wish}
            async with here.http.options(path, headers=headers) as response:
                assert (response.status == 204) == bool(origins)
                assert response.headers.get("Access-Control-Allow-Origin") == expected
                if expected is not None:
                    shown = response.headers["Access-Control-Allow-Headers"]
                    assert shown == wish["Access-Control-Request-Headers"]

    asyncio.run(run())


def test_an_origin_that_is_allowed_is_no_way_through_a_proxy_without_a_key() -> None:
    async def run() -> None:
        async with running(server={"cors_origins": [PAGE]}) as here:
            headers = {"X-Forwarded-For": "203.0.113.7"}
            asked = await allowed(here, "POST", "/v1/chat/completions", json=BODY, headers=headers)
            assert asked[0] == 403

    asyncio.run(run())


def test_chosen_headers_are_handed_on_and_no_others() -> None:
    async def run() -> None:
        async with running(upstream={"pass_headers": ["X-Trace-Id"], "headers": {"x-b": "1"}}) as r:
            await r.chat("a", headers={"x-trace-id": "t", "x-other": "o", "x-b": "2"})
            sent = r.upstream.seen[0].request.headers
            assert sent["x-trace-id"] == "t"
            assert "x-other" not in sent
            assert sent.getall("x-b") == ["1"]

    asyncio.run(run())


@pytest.mark.parametrize("name", ["Authorization", "cookie", "Content-Type", "x api"])
def test_headers_that_are_never_handed_on(name: str) -> None:
    with pytest.raises(ValidationError, match="never handed on"):
        UpstreamSettings(base_url="https://a.example/v1", pass_headers=[name])  # type: ignore[arg-type]


def test_defaults_are_closed() -> None:
    assert ServerSettings().cors_origins == frozenset()
    assert all("/" in name for name in VIRTUAL_MODELS)
