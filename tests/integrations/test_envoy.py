"""Envoy, set up as docs/integrations.md says, asks the gateway and routes by its answer."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml  # type: ignore[import-untyped]
from aiohttp import web
from aiohttp.test_utils import TestServer

from equirouter.serve.records import Key
from tests.serve.gateways import Running, running

PAGE = Path(__file__).parents[2] / "docs" / "integrations.md"
EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"
BODY = {"model": "equirouter/auto", "messages": [{"role": "user", "content": "Hi"}]}


def filters_on_the_page() -> list[dict[str, Any]]:
    section = PAGE.read_text("utf-8").split("## Envoy\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    filters = yaml.safe_load(block)
    assert isinstance(filters, list)
    return filters


def cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def configuration(port: int, gateway: int, models: dict[str, int]) -> dict[str, Any]:
    """Listen on a port, ask the gateway, and send a request to the server of its model."""
    routes = [
        {
            "match": {
                "prefix": "/",
                "headers": [{"name": "x-equirouter-model", "string_match": {"exact": name}}],
            },
            "route": {"cluster": name},
        }
        for name in models
    ]
    elsewhere = {"match": {"prefix": "/"}, "direct_response": {"status": 599}}
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"},
    }
    http = "network.http_connection_manager.v3.HttpConnectionManager"
    manager = {
        "@type": f"{EXTENSIONS}.{http}",
        "stat_prefix": "test",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [*routes, elsewhere]}]
        },
        "http_filters": [*filters_on_the_page(), router],
    }
    chain = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    servers = {"equirouter": gateway, **models}
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [{"filters": [chain]}],
                }
            ],
            "clusters": [cluster(name, of) for name, of in servers.items()],
        }
    }


@asynccontextmanager
async def model(name: str) -> AsyncIterator[int]:
    """The port of a server that answers for a model."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"by": name, "path": request.path, "got": await request.json()})

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


@asynccontextmanager
async def envoy(here: Running, folder: Path, models: Sequence[str]) -> AsyncIterator[str]:
    """The URL of an Envoy before the gateway and a server per model."""
    command = shutil.which("envoy")
    if command is None:
        pytest.skip("envoy is not installed (.ci/run gets it)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here.admission.key = Key("k", "k")  # without keys the gateway answers no proxy
    async with AsyncExitStack() as stack:
        ports = {name: await stack.enter_async_context(model(name)) for name in models}
        config = folder / "envoy.yaml"
        gateway = int(here.url.rstrip("/").rsplit(":", 1)[1])
        config.write_text(yaml.safe_dump(configuration(port, gateway, ports)), "utf-8")
        process = await asyncio.create_subprocess_exec(
            *(command, "--config-path", str(config), "--concurrency", "1", "--use-dynamic-base-id"),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        said = []
        try:
            async with asyncio.timeout(60):
                async for line in process.stderr:
                    said.append(line.decode())
                    if b"starting main dispatch loop" in line:
                        break
                else:
                    pytest.fail("".join(said))
            yield f"http://127.0.0.1:{port}/v1/chat/completions"
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def test_envoy_sends_a_request_to_the_model_that_the_gateway_chose(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            running() as here,
            envoy(here, tmp_path, ["a", "b"]) as url,
            aiohttp.ClientSession() as client,
        ):
            for name in ("b", "a"):
                here.planner.order = [(name, 300)]
                async with client.post(url, json=BODY) as response:
                    assert response.status == 200, await response.text()
                    answer = await response.json()
                assert answer == {"by": name, "path": "/v1/chat/completions", "got": BODY}
            assert [record.endpoint for record in here.log] == ["route", "route"]

    asyncio.run(run())


def test_what_the_gateway_refuses_reaches_no_model(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            running() as here,
            envoy(here, tmp_path, ["a"]) as url,
            aiohttp.ClientSession() as client,
        ):
            response = await client.post(url, json={**BODY, "model": "nobody"})
            assert response.status == 404, await response.text()
            assert (await response.json())["error"]["code"] == "model_not_found"

    asyncio.run(run())
