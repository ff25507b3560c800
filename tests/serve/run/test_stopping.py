"""The gateway stops in time, and what it cuts off is charged and logged as that."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from equirouter.serve.settings import ServerSettings
from equirouter.serve.stopping import grace_seconds, stop_seconds
from tests.serve import fake_upstream as fake
from tests.serve.assembled import Assembled, assembled
from tests.serve.gateways import running
from tests.serve.run.test_server import BODY, config, key_of, serving


def rows(folder: Path, question: str) -> list[Any]:
    """The answer of the store, which nobody writes any more."""
    connection = sqlite3.connect(folder / "gateway.db")
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def check_cut_off(folder: Path, count: int) -> None:
    """So many streams were cut off by the gateway, and are charged by what came."""
    said = rows(folder, "SELECT status, error, output_tokens FROM log WHERE stream")
    # "Hello" came: 5 bytes are 2 tokens
    assert said == [(503, "cut off: the gateway stopped", 2)] * count
    assert rows(folder, "SELECT * FROM reservations") == []
    ((spent, reserved),) = rows(folder, "SELECT sum(spent_nusd), sum(reserved_nusd) FROM accounts")
    ((logged,),) = rows(folder, "SELECT sum(cost_nusd) FROM log")
    assert (spent, reserved) == (logged, 0)
    assert 0 < spent < count * 100_000  # of 4,096 tokens of answer 8 million nano-USD are reserved


async def begun(here: Assembled, key: str) -> aiohttp.ClientResponse:
    """A stream that stands still after "Hello"."""
    body = {"model": "a", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    response = await here.http.post("/v1/chat/completions", json=body, headers=headers)
    came = b""
    while b"lo" not in came.replace(b"Hel", b""):
        came += await response.content.readany()
    return response


def standing() -> fake.Shape:
    """A stream of two words, and then nothing."""
    return fake.stream(fake.streamed(), before={2: asyncio.Event()})


def test_a_stream_that_is_cut_off_is_no_hang_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path, server={"shutdown_seconds": 0.05}) as here:
            key = await here.new_key(budget_usd=1.0)
            here.upstream.answers("a-theirs", standing())
            response = await begun(here, key)
            await here.runner.cleanup()
            with pytest.raises(aiohttp.ClientError):
                await response.read()

    asyncio.run(run())
    check_cut_off(tmp_path, 1)


def test_an_answer_in_one_piece_that_is_cut_off_is_charged_for_what_it_may_have_come_to(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with assembled(tmp_path, server={"shutdown_seconds": 0.05}) as here:
            key = await here.new_key(budget_usd=1.0)
            here.upstream.answers("a-theirs", fake.silent())
            asked = asyncio.ensure_future(here.chat(key=key))
            while not here.upstream.seen:
                await asyncio.sleep(0.001)
            await here.runner.cleanup()
            with pytest.raises(aiohttp.ClientError):
                await asked

    asyncio.run(run())
    said = rows(tmp_path, "SELECT status, error, charged_by FROM log")
    assert said == [(503, "cut off: the gateway stopped", "estimate")]
    ((spent, reserved),) = rows(tmp_path, "SELECT spent_nusd, reserved_nusd FROM accounts")
    assert rows(tmp_path, "SELECT cost_nusd FROM log") == [(spent,)]
    assert spent > 0
    assert reserved == 0


def test_running_requests_are_waited_for_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with assembled(tmp_path, server={"shutdown_seconds": 1.5}) as here:
            key = await here.new_key(budget_usd=1.0)
            here.upstream.answers("a-theirs", standing())
            response = await begun(here, key)
            began = asyncio.get_running_loop().time()
            await here.runner.cleanup()
            assert asyncio.get_running_loop().time() - began < 2 * 1.5
            response.close()

    asyncio.run(run())


def test_a_request_that_does_not_end_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equirouter.serve.http.gateway.CUT_SECONDS", 0.05)

    async def run() -> None:
        async with running(server={"shutdown_seconds": 0.05}) as here:
            end = asyncio.Event()

            async def stubborn() -> None:
                here.gateway.runs()
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    await end.wait()

            request = asyncio.ensure_future(stubborn())
            await asyncio.sleep(0)
            await asyncio.wait_for(here.gateway.stop(), 10)
            assert not request.done()
            end.set()
            await request

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_cuts_off_streams_in_every_worker(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with fake.fake_upstream() as upstream:
            upstream.answers("m", standing())
            path = config(tmp_path, upstream.url, workers=workers, shutdown_seconds=0.8)
            headers = {"Authorization": f"Bearer {await key_of(path)}"}
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            connector = aiohttp.TCPConnector(force_close=True)
            async with (
                serving(path) as served,
                aiohttp.ClientSession(headers=headers, connector=connector) as http,
            ):
                for _ in range(8):
                    response = await http.post(f"{served.url}/v1/chat/completions", json=body)
                    await response.content.readuntil(b"lo")
                served.process.terminate()
                assert await served.ended() == 0
                assert not any("are killed" in line for line in served.said)
                assert any("running requests are cut off" in line for line in served.said)

    asyncio.run(run())
    check_cut_off(tmp_path, 8)


def test_the_times_of_a_stop_add_up() -> None:
    server = ServerSettings(shutdown_seconds=7)
    assert stop_seconds(server) == 7 + 2 + 1 + 15 + 2
    assert grace_seconds(server) == stop_seconds(server) + 5


def test_replicas_are_replaced_one_by_one_and_no_request_is_lost(tmp_path: Path) -> None:
    """Two gateways on one store, each stopped and started again as a load balancer goes on."""

    async def run() -> None:
        async with fake.fake_upstream() as upstream:
            path = config(tmp_path, upstream.url)
            headers = {"Authorization": f"Bearer {await key_of(path, budget_nusd=10**10)}"}
            urls: list[str] = []
            statuses: list[int] = []
            is_over = asyncio.Event()

            async def client(http: aiohttp.ClientSession, turn: int) -> None:
                while not is_over.is_set():
                    turn += 1
                    url = urls[turn % len(urls)]
                    try:
                        answer = await http.post(
                            f"{url}/v1/chat/completions", json=BODY, headers=headers
                        )
                    except aiohttp.ClientOSError:
                        continue  # refused, or reset as nobody took it: the log has none of it
                    async with answer:
                        await answer.read()
                        statuses.append(answer.status)

            async def replaced(stack: AsyncExitStack, i: int) -> None:
                before = len(statuses)
                old = urls[i]
                urls[i] = (await stack.enter_async_context(serving(path))).url
                served[i].process.terminate()
                assert await served[i].ended() == 0
                assert old not in urls
                assert len(statuses) > before

            connector = aiohttp.TCPConnector(force_close=True)
            async with (
                aiohttp.ClientSession(connector=connector) as http,
                AsyncExitStack() as stack,
            ):
                served = [await stack.enter_async_context(serving(path)) for _ in range(2)]
                urls += [one.url for one in served]
                clients = [asyncio.create_task(client(http, turn)) for turn in range(4)]
                for i in range(2):
                    await replaced(stack, i)
                is_over.set()
                await asyncio.gather(*clients)
            assert set(statuses) == {200}
            logged = rows(tmp_path, "SELECT count(*), sum(cost_nusd), count(note) FROM log")
            (spent,) = rows(tmp_path, "SELECT spent_nusd, reserved_nusd FROM accounts")
            assert logged == [(len(statuses), spent[0], 0)]
            assert spent[1] == 0

    asyncio.run(run())
