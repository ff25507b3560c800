"""Without keys, only programs of this machine are answered."""

import asyncio

import pytest

from equirouter.serve.local import is_loopback
from equirouter.serve.records import Key
from tests.serve.gateways import running

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Host": "rebound.example:8080"},
    {"Host": "rebound.example", "Origin": "http://rebound.example"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_what_a_foreign_page_sends_is_refused_without_a_key(headers: dict[str, str]) -> None:
    async def run() -> None:
        async with running() as here:
            response = await here.chat("a", headers=headers)
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "local_only"
            assert not here.upstream.seen
            here.admission.key = Key("k", "k")  # whoever has a key is meant to
            assert (await here.chat("a", headers=headers)).status == 200

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
        ("0.0.0.0", False),  # noqa: S104  # that it is not
        ("127.0.0.1.example", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_loopback(host: str | None, expected: bool) -> None:
    assert is_loopback(host) is expected
