"""Streams that break: what the client sees, and that no end is made up."""

import asyncio
import json
import logging
import socket
from typing import Any

import pytest

from tests.serve import fake_upstream as fake
from tests.serve.gateways import Running, running


async def streamed(here: Running, shape: fake.Shape) -> bytes:
    """What the client gets of a stream."""
    here.upstream.answers("a-theirs", shape)
    return await (await here.chat("a", stream=True)).read()


def last_error(sent: bytes) -> dict[str, Any]:
    """The error in the last event."""
    found: dict[str, Any] = json.loads(sent.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]
    return found


def test_a_stream_that_is_cut_ends_with_an_error_and_no_done() -> None:
    async def run() -> None:
        async with running() as here:
            pieces = fake.streamed()[:2]
            sent = await streamed(here, fake.stream([*pieces, b'data: {"half'], cut=True))
            assert sent.startswith(b"".join(pieces) + b"data: ")
            assert b"half" not in sent
            assert b"[DONE]" not in sent
            assert last_error(sent)["type"] == "upstream_error"
            assert here.record.error is not None
            # "Hello" was generated, and is paid for: 2 tokens beside the 20 of the prompt
            assert here.admission.tickets[0].ended == [("settled", 24_000)]
            assert len(here.upstream.seen) == 1  # nobody is asked again after the first byte

    asyncio.run(run())


def test_a_stream_that_ends_early_without_a_sign_is_said_to_be_broken() -> None:
    async def run() -> None:
        async with running() as here:
            sent = await streamed(here, fake.stream(fake.streamed()[:2]))
            assert b"[DONE]" not in sent
            assert "before the answer was complete" in last_error(sent)["message"]

    asyncio.run(run())


def test_a_complete_stream_without_done_gets_none() -> None:
    async def run() -> None:
        async with running() as here:
            pieces = fake.streamed(usage=None)[:-1]
            assert await streamed(here, fake.stream(pieces)) == b"".join(pieces)
            assert here.record.error is None

    asyncio.run(run())


def test_a_last_event_without_an_empty_line_is_not_lost() -> None:
    async def run() -> None:
        async with running() as here:
            whole = b"".join(fake.streamed(usage=None)).rstrip(b"\n")
            assert await streamed(here, fake.stream([whole])) == whole
            assert here.record.error is None

    asyncio.run(run())


def test_an_error_of_the_upstream_in_the_stream_is_passed_on_as_it_is() -> None:
    async def run() -> None:
        async with running() as here:
            said = fake.event({"error": {"message": "overloaded", "code": 529}})
            pieces = [*fake.streamed()[:2], said]
            assert await streamed(here, fake.stream(pieces)) == b"".join(pieces)
            assert here.record.error is not None
            assert here.record.status == 200

    asyncio.run(run())


def test_a_stream_that_stalls_is_given_up_after_the_total_time() -> None:
    async def run() -> None:
        async with running(upstream={"total_seconds": 0.05}) as here:
            never = asyncio.Event()
            sent = await streamed(here, fake.stream(fake.streamed(), before={2: never}))
            assert sent.startswith(b"".join(fake.streamed()[:2]))
            assert b"[DONE]" not in sent
            assert "broke off" in last_error(sent)["message"]
            await asyncio.wait_for(here.upstream.hung_up.wait(), 10)

    asyncio.run(run())


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {not json}\n\n",
        b": a comment\n\n",
        b"id: 7\nretry: 100\n\n",
        b"data: 17\n\n",
        b"nonsense\n\n",
        b'data: {"usage": {"prompt_tokens": "many"}}\n\n',
        b'data: {"type": [], "usage": {}}\n\n',
        b"data: {\ndata: }\n\n",
        b"\xff\xfe\x00\n\n",
        b"\n\n\n\n",
    ],
)
def test_malformed_events_are_passed_on_as_they_are(odd: bytes) -> None:
    async def run() -> None:
        async with running() as here:
            pieces = [odd, *fake.streamed(usage=None)]
            assert await streamed(here, fake.stream(pieces)) == b"".join(pieces)
            assert here.record.status == 200

    asyncio.run(run())


def test_an_endless_event_is_cut_off() -> None:
    async def run() -> None:
        async with running(limits={"max_answer_bytes": 3000}) as here:
            pieces = [*fake.streamed()[:2], b"data: " + b"x" * 4000]
            sent = await streamed(here, fake.stream(pieces))
            assert sent.startswith(b"".join(pieces[:2]))
            assert "more than 3000 bytes" in last_error(sent)["message"]

    asyncio.run(run())


def test_a_client_that_does_not_read_keeps_no_upstream_and_no_money(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        async with running(upstream={"total_seconds": 1.0, "max_concurrency": 1}) as here:
            piece = fake.event(fake.text_chunk("x" * 100_000))
            here.upstream.answers("a-theirs", fake.stream([piece] * 500), fake.ok())
            content = {"model": "a", "stream": True, "messages": [{"role": "user"}]}
            body = json.dumps(content).encode()
            host, _, port = here.url.removeprefix("http://").partition(":")
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect((host, int(port)))
                head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
                client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                async with asyncio.timeout(20):
                    while not here.log:
                        await asyncio.sleep(0.01)
            assert here.record.status == 499
            assert [kind for kind, _ in here.admission.tickets[0].ended] == ["settled"]
            assert (await here.chat("a")).status == 200  # the only place is free again

    asyncio.run(run())
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
