"""Without keys, only programs of this machine are answered."""

import asyncio
import json
from pathlib import Path

import pytest

from equirouter.serve.http.access import is_loopback
from equirouter.serve.records import Key
from tests.serve.assembled import assembled
from tests.serve.gateways import running

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Host": "rebound.example:8080"},
    {"Host": "rebound.example", "Origin": "http://rebound.example"},
    {"Host": "["},
    {"Origin": "http://["},
]
PASSED_ON = [
    {"X-Forwarded-For": "203.0.113.7"},
    {"x-forwarded-proto": "https"},
    {"Forwarded": "for=203.0.113.7"},
    {"X-Real-IP": "203.0.113.7"},
    {"Via": "1.1 proxy"},
    {"CF-Connecting-IP": "203.0.113.7"},
    {"X-Forwarded-For": "127.0.0.1", "Host": "localhost"},  # as a proxy on this machine says it
]
ENDPOINTS = ["chat/completions", "responses", "embeddings", "route", "feedback"]


@pytest.mark.parametrize("headers", FOREIGN + PASSED_ON)
def test_what_a_page_or_a_proxy_sends_is_refused_without_a_key(
    headers: dict[str, str],
) -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.chat("a", headers=headers)
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "local_only"
            assert not here.upstream.seen
            here.admission.key = Key("k", "k")  # whoever has a key is meant to
            assert (await here.chat("a", headers=headers)).status == 200

    asyncio.run(run())


def test_a_gateway_that_was_opened_answers_others_and_lets_none_administer(tmp_path: Path) -> None:
    async def run() -> None:
        server = {"host": "0.0.0.0"}  # noqa: S104
        async with assembled(tmp_path, server=server, keys={"required": False}) as here:
            chat = {"model": "a", "messages": [{"role": "user", "content": "Hi"}]}
            for headers in PASSED_ON:
                asked = await here.ask("POST", "/v1/chat/completions", json=chat, headers=headers)
                assert asked[0] == 200
                assert (await here.ask("GET", "/admin/status", headers=headers))[0] == 403
            page = {"Origin": "https://evil.example"}
            asked = await here.ask("POST", "/v1/chat/completions", json=chat, headers=page)
            assert asked[0] == 403

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Host": "rebound.example:8080"}, "this request called it 'rebound.example:8080'"),
        ({"X-Forwarded-For": "203.0.113.7"}, "the header X-Forwarded-For of this request"),
    ],
)
def test_a_refusal_says_what_was_found(headers: dict[str, str], says: str) -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.chat("a", headers=headers)
            message = (await response.json())["error"]["message"]
            assert says in message
            assert "equirouter keys create gateway.toml --name NAME" in message

    asyncio.run(run())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_endpoint_answers_a_proxy_without_a_key(endpoint: str) -> None:
    async def run() -> None:
        async with running() as here:
            sent = here.http.post(f"/v1/{endpoint}", json={}, headers={"X-Real-IP": "203.0.113.7"})
            async with sent as response:
                assert response.status == 403

    asyncio.run(run())


@pytest.mark.parametrize(
    ("header", "status"),
    [(b"Host", 403), (b"Origin", 403), (b"x-equirouter-exclude", 400), (b"x-api-key", 200)],
)
def test_a_header_that_is_no_text_is_answered_as_any_other(
    header: bytes, status: int, tmp_path: Path
) -> None:
    async def run() -> None:
        async with assembled(tmp_path) as here:
            host, _, port = here.url.removeprefix("http://").partition(":")
            body = b'{"model": "a", "messages": [{"role": "user", "content": "Hi"}]}'
            lines = [b"POST /v1/chat/completions HTTP/1.1", header + b": \xff\xed\xa0\x80"]
            if header != b"Host":
                lines.append(b"Host: 127.0.0.1")
            lines += [b"Connection: close", b"Content-Length: %d" % len(body), b"", body]
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"\r\n".join(lines))
            head, _, sent = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert ("error" in json.loads(sent)) == (status != 200)

    asyncio.run(run())


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:1"])
def test_this_machine_has_several_names(host: str) -> None:
    async def run() -> None:
        async with running() as here:
            headers = {"Host": host, "Origin": f"http://{host}"}
            assert (await here.chat("a", headers=headers)).status == 200

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("0.0.0.0", False),  # noqa: S104  # that it is not
        ("127.0.0.1.example", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_loopback(host: str | None, expected: bool) -> None:
    assert is_loopback(host) is expected
