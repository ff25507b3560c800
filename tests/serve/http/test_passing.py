"""Endpoints that are passed on: to whom, with which key, what is charged and logged."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.serve import fake_upstream as fake
from tests.serve.assembled import assembled
from tests.serve.gateways import Running, running

OPEN = {"pass_through": True}
OLD = {
    "object": "text_completion",
    "model": "theirs",
    "choices": [{"text": "Hello", "index": 0, "finish_reason": "stop"}],
    "usage": fake.USAGE,
}


async def asked(here: Running, method: str, path: str, **options: Any) -> tuple[int, bytes]:
    async with here.http.request(method, path, **options) as response:
        return response.status, await response.read()


def test_a_completion_is_charged_and_logged() -> None:
    async def run() -> None:
        async with running(upstreams={"a": OPEN}) as here:
            here.upstream.answers("a-theirs", fake.document(OLD))
            body = {"model": "a", "prompt": "Hi", "max_tokens": 10, "echo": True}
            status, sent = await asked(here, "POST", "/v1/completions", json=body)
            assert (status, b"Hello" in sent) == (200, True)
            [seen] = here.upstream.seen
            assert seen.path == "/v1/completions"
            assert seen.body == {**body, "model": "a-theirs"}
            assert (here.record.endpoint, here.record.served_model) == ("passed", "a")
            assert here.record.cost_nusd == 40_000
            [ticket] = here.admission.tickets
            assert ticket.ended == [("settled", 40_000)]
            assert ticket.reserved > 20_000  # ten tokens of answer, and the prompt

    asyncio.run(run())


def test_a_stream_is_charged_by_its_usage() -> None:
    async def run() -> None:
        async with running(upstreams={"a": OPEN}) as here:
            here.upstream.answers("a-theirs", fake.stream(fake.streamed()))
            body = {"model": "a", "prompt": "Hi", "stream": True}
            _, sent = await asked(here, "POST", "/v1/completions", json=body)
            assert sent == b"".join(fake.streamed())
            assert here.record.cost_nusd == 40_000

    asyncio.run(run())


def test_files_go_as_they_are_with_their_query_and_the_providers_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THEIR_KEY", "sk-theirs")

    async def run() -> None:
        upstream = {**OPEN, "api_key_env": "THEIR_KEY", "query": {"api-version": "1"}}
        async with running(upstreams={"a": upstream, "b": OPEN}) as here:
            here.upstream.answers("", fake.document({"id": "file-1"}))
            form = aiohttp.FormData({"purpose": "batch"})
            form.add_field("file", b"\x00\xff{}", filename="x.jsonl")
            headers = {"x-equirouter-upstream": "a", "Authorization": "Bearer eq-mine"}
            status, sent = await asked(
                here, "POST", "/v1/files?after=f", data=form, headers=headers
            )
            assert (status, sent) == (200, b'{"id": "file-1"}')
            [seen] = here.upstream.seen
            assert seen.request.content_type == "multipart/form-data"
            assert b"\x00\xff{}" in seen.raw
            assert dict(seen.request.query) == {"after": "f", "api-version": "1"}
            assert seen.request.headers["Authorization"] == "Bearer sk-theirs"
            assert here.admission.tickets[0].ended == [("released", 0)]
            assert here.record.cost_nusd is None
            # two upstreams are open, and nobody said which
            assert (await asked(here, "GET", "/v1/files"))[0] == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    "path",
    ["/v1/files/../chat/completions", "/v1/filesystem", "/v1/files/a%2Fb", "/v1/images/%2e%2e/x"],
)
def test_no_other_path_is_passed_on(path: str) -> None:
    async def run() -> None:
        async with running(upstreams={"a": OPEN}) as here:
            url = URL(here.url + path, encoded=True)
            async with here.http.get(url) as response:
                assert response.status in (404, 405)
            assert not here.upstream.seen

    asyncio.run(run())


def test_nothing_is_passed_on_where_no_upstream_is_open() -> None:
    async def run() -> None:
        async with running() as here:
            assert (await asked(here, "GET", "/v1/files"))[0] == 404

    asyncio.run(run())


def test_an_error_of_the_provider_is_the_clients_to_read() -> None:
    async def run() -> None:
        async with running(upstreams={"a": OPEN}) as here:
            here.upstream.answers("a-theirs", fake.error(429, retry_after="7"))
            async with here.http.post("/v1/completions", json={"model": "a"}) as response:
                assert (response.status, response.headers["Retry-After"]) == (429, "7")
                assert "no: 429" in await response.text()
            assert here.record.status == 429
            assert here.admission.tickets[0].ended == [("released", 0)]

    asyncio.run(run())


def test_keys_hold(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path, upstreams={"a": OPEN}) as here:
            admin = await here.new_key(is_admin=True)
            poor = await here.new_key(by=admin, budget_usd=0.001)
            narrow = await here.new_key(by=admin, models=["b"])
            here.upstream.answers("a-theirs", fake.document(OLD))
            body = {"model": "a", "prompt": "Hi", "max_tokens": 10}
            assert (await here.ask("POST", "/v1/completions", json=body, key=poor))[0] == 200
            long = {**body, "max_tokens": 100_000}
            assert (await here.ask("POST", "/v1/completions", json=long, key=poor))[0] == 429
            image = {"model": "a", "prompt": "a cat"}
            status, said = await here.ask("POST", "/v1/images/generations", json=image, key=poor)
            assert (status, "budget" in said["error"]["message"]) == (400, True)
            assert (await here.ask("POST", "/v1/completions", json=body, key=narrow))[0] == 403
            assert (await here.ask("GET", "/v1/files"))[0] == 401
            assert len(here.upstream.seen) == 1

    asyncio.run(run())
