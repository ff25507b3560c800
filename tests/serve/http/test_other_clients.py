"""The official Node clients and LiteLLM's, each in a process of its own, against a gateway."""

import asyncio
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.serve.gateways import Running, running

CLIENTS = Path(__file__).parents[1] / "clients"
WHOLE = "Hello wörld"


async def said_by(here: Running, *command: str) -> dict[str, Any]:
    """What the client's process printed, after it ended well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        f"{here.url}/v1",
        "a-key",
        "a",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))


PACKAGES = [CLIENTS / "node_modules" / name for name in ("openai", "@anthropic-ai")]
has_node = pytest.mark.skipif(
    shutil.which("node") is None or not all(package.is_dir() for package in PACKAGES),
    reason="no node here, or not its clients: npm ci --prefix tests/serve/clients",
)


@has_node
@pytest.mark.parametrize("native", [True, False])
def test_messages_by_the_official_node_client(native: bool) -> None:
    async def run() -> None:
        async with running(upstream={"messages": native}) as here:
            found = await said_by(here, "node", str(CLIENTS / "anthropic_client.mjs"))
            assert found["whole"] == found["streamed"] == WHOLE
            assert found["served"] == "a"
            assert found["usage"] == found["streamUsage"] == 30
            assert (found["kinds"][0], found["kinds"][-1]) == ("message_start", "message_stop")
            assert found["counted"] == 17 if native else found["counted"] > 17
            assert found["error"]["status"] == 400
            assert found["error"]["type"] == "invalid_request_error"
            assert here.upstream.seen[0].path.endswith("messages") == native

    asyncio.run(run())


@has_node
@pytest.mark.parametrize("responses", [True, False])
def test_responses_by_the_official_node_client(responses: bool) -> None:
    async def run() -> None:
        async with running(upstream={"responses": responses}) as here:
            script = str(CLIENTS / "openai_responses.mjs")
            found = await said_by(here, "node", script)
            assert found["whole"] == found["streamed"] == WHOLE
            assert found["usage"] == found["streamUsage"] == 30
            assert (found["kinds"][0], found["kinds"][-1]) == (
                "response.created",
                "response.completed",
            )
            assert here.upstream.seen[0].path.endswith("responses") == responses
            if not responses:  # what the fake provider itself streams is no full sequence
                assert found["final"] == WHOLE

    asyncio.run(run())


@has_node
def test_the_official_node_client() -> None:
    async def run() -> None:
        async with running() as here:
            found = await said_by(here, "node", str(CLIENTS / "openai_client.mjs"))
            assert found["whole"] == found["streamed"] == WHOLE
            assert found["served"] == "a"
            assert found["usage"] == found["streamUsage"] == 30
            assert found["chunks"] > 1
            assert {"a", "b", "c"} <= set(found["models"])
            assert found["error"]["status"] == 400
            assert "budget" in found["error"]["message"]
            whole, streamed = here.upstream.seen
            assert whole.body["tool_choice"] == {
                "type": "function",
                "function": {"name": "weather"},
            }
            assert whole.body["messages"][2]["content"] is None
            assert [call["id"] for call in whole.body["messages"][2]["tool_calls"]] == [
                "call_1",
                "call_2",
            ]
            assert whole.body["response_format"]["json_schema"]["strict"] is True
            assert whole.body["metadata"] == {"team": "a"}
            assert streamed.body == {
                **whole.body,
                "stream": True,
                "stream_options": {"include_usage": True},
            }

    asyncio.run(run())


@pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed")
def test_the_client_of_litellm() -> None:
    async def run() -> None:
        async with running() as here:
            found = await said_by(here, sys.executable, str(CLIENTS / "litellm_client.py"))
            assert found["whole"] == found["streamed"] == WHOLE
            assert found["usage"] == found["streamUsage"] == 30
            whole, streamed = here.upstream.seen
            assert whole.body["tools"][0]["function"]["name"] == "weather"
            assert streamed.body["stream"] is True

    asyncio.run(run())
