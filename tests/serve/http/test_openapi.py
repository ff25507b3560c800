"""The OpenAPI document against the running gateway: random requests, right and wrong ones."""

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from equirouter.serve.http.endpoints import ROUTES
from equirouter.serve.http.openapi import openapi_document
from tests.serve import fake_upstream as fake
from tests.serve.assembled import assembled
from tests.serve.run.test_server import config, serving

SOURCE = Path(__file__).parents[3] / "src"


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_no_request_makes_the_gateway_fail_or_answer_other_than_it_says(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake.fake_upstream() as upstream:
            path = config(tmp_path, upstream.url)
            path.write_text(path.read_text() + EMBEDDER)
            key = (await ran("equirouter", "keys", "create", path, "--name=k", "--admin"))[1]
            async with serving(path) as served:
                code, said = await ran(
                    "schemathesis.cli",
                    *("run", f"{served.url}/openapi.json", "--max-examples=8", "--seed=1"),
                    *("-H", f"Authorization: Bearer {key.strip()}", "--no-color"),
                    # controls that exclude each other cannot be told in a schema
                    "--exclude-checks=positive_data_acceptance",
                    cwd=tmp_path,
                )
                assert code == 0, said
                assert "Selected: 16/16" in said
            assert "failed" not in "".join(served.said)

    asyncio.run(run())


EMBEDDER = """
[models.e]
upstream = "u"
kind = "embedding"
price = { input = 1, output = 0 }
"""


async def ran(module: str, *arguments: object, cwd: Path | None = None) -> tuple[int | None, str]:
    """Exit code and stdout of a command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/chat/completions", "did you mean /v1/chat/completions? A client's base URL ends in"),
        ("/v1/v1/chat/completions", "did you mean /v1/chat/completions? A client's"),
        ("/v1/completions", "/openapi.json says what there is"),
        ("/api/chat", "chat by /v1/chat/completions"),
    ],
)
def test_a_wrong_path_says_which_may_be_meant(tmp_path: Path, path: str, says: str) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            status, found = await here.ask("POST", path, json={})
            assert status == 404
            assert says in found["error"]["message"]

    asyncio.run(run())


def test_every_path_is_in_the_document(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            status, document = await here.ask("GET", "/openapi.json")
            assert status == 200
            assert document == openapi_document(["equirouter/auto", "a", "b", "c"])
            of_parts = {
                (route.method, route.path)
                for route in here.gateway.routes
                if not route.path.startswith("/dashboard")
                and route.path.split("/")[2] in ("status", "reload", "keys")
            }
            said = {
                (method.upper(), path)
                for path, operations in document["paths"].items()
                for method in operations
            }
            assert (
                said
                == {(method, path.replace(r":[\s\S]+", "")) for method, path, _ in ROUTES}
                | of_parts
            )

    asyncio.run(run())


def test_what_is_no_http_is_answered_and_not_logged(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(config(tmp_path, "http://127.0.0.1:9/v1")) as served:
            port = int(served.url.rsplit(":", 1)[1])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x16\x03\x01 hello\r\n\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()
            served.process.terminate()
            assert await served.ended() == 0
            assert not [line for line in served.said if "Traceback" in line]

    asyncio.run(run())
